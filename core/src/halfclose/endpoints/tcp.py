"""Endpoints of the scheme ``tcp:``."""

from __future__ import annotations

from dataclasses import dataclass

from ..reasons import EndpointError
from .endpoint import Endpoint

__all__ = ["EVERY_ADDRESS", "TCP"]

EVERY_ADDRESS = "*"
"""The host that stands for every address of this machine, in ``tcp:*:PORT``."""

_NOT_IN_A_HOST = frozenset("[]/\0 ")


@dataclass(frozen=True, slots=True)
class TCP(Endpoint):
    """A TCP host and port.

    :param host: a name or an address. An IPv6 address stands without brackets, a link-local one
        with its zone, as in ``fe80::1%eth0``. For ``listen``, ``*`` is every address of both
        families, ``0.0.0.0`` every IPv4 address, and ``::`` every IPv6 address and no IPv4 one.
    :param port: 0 to 65535. With 0, ``listen`` lets the system choose a free port.
    :raises EndpointError: the host is empty or has a character that no host's name has, or the port
        is no whole number from 0 to 65535.
    """

    scheme = "tcp"

    host: str
    port: int

    def __post_init__(self) -> None:
        if not isinstance(self.host, str) or not self.host:
            raise EndpointError(f"TCP host {self.host!r}: a host name or address is missing")
        if not self.host.isprintable() or not _NOT_IN_A_HOST.isdisjoint(self.host):
            raise EndpointError(f"TCP host {self.host!r}: not a host name or address")
        if isinstance(self.port, bool) or not isinstance(self.port, int):
            raise EndpointError(f"TCP port {self.port!r}: not a whole number")
        if not 0 <= self.port <= 65535:
            raise EndpointError(f"TCP port {self.port!r}: not between 0 and 65535")

    @classmethod
    def parse(cls, rest: str) -> TCP:
        """The endpoint that is written as ``tcp:`` and *rest*.

        :param rest: what stands after the colon, such as ``[::1]:80``.
        :raises EndpointError: *rest* is no host and port. The message says what is wrong.
        """
        host, colon, port = rest.rpartition(":")
        if not colon:
            if rest.isascii() and rest.isdigit():
                raise EndpointError(
                    f"the host is missing (tcp:*:{rest} would be every address of this machine)"
                )
            raise EndpointError("the port is missing" if rest else "host and port are missing")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            if ":" not in host:
                raise EndpointError("only an IPv6 address stands in brackets")
        elif ":" in host:
            raise EndpointError("an IPv6 address needs brackets")
        # Checked here because int() also accepts spaces, signs and other scripts' digits, and its
        # message for thousands of digits is no help.
        if not (port.isascii() and port.isdigit()) or len(port) > 9:
            raise EndpointError(f"the port {port!r} is not a number from 0 to 65535")
        return cls(host, int(port))

    @property
    def is_every_address(self) -> bool:
        """Whether this is ``tcp:*:PORT``, on which one can listen, but not connect to it."""
        return self.host == EVERY_ADDRESS

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp:{host}:{self.port}"
