"""Endpoints of the schemes ``tls:`` and ``tls+unix:``."""

from __future__ import annotations

from dataclasses import dataclass

from .endpoint import Endpoint
from .tcp import TCP
from .unix import UNIX

__all__ = ["TLS", "TLSUNIX"]


@dataclass(frozen=True, slots=True)
class TLS(Endpoint):
    """A TCP host and port at which TLS is spoken.

    :param host: as for `TCP`. A client checks that the server's certificate is for this name, and
        sends it as the server name, unless `TLSOptions.server_hostname` is another.
    :param port: 0 to 65535. With 0, ``listen`` lets the system choose a free port.
    :raises EndpointError: see `TCP`.
    """

    scheme = "tls"

    host: str
    port: int

    def __post_init__(self) -> None:
        # Checked as those of the endpoint below.
        TCP(self.host, self.port)

    @classmethod
    def parse(cls, rest: str) -> TLS:
        """The endpoint that is written as ``tls:`` and *rest*.

        :param rest: what stands after the colon, such as ``example.org:443``.
        :raises EndpointError: *rest* is no host and port. The message says what is wrong.
        """
        below = TCP.parse(rest)
        return cls(below.host, below.port)

    @property
    def below(self) -> TCP:
        """The endpoint of the TCP connection that carries the TLS."""
        return TCP(self.host, self.port)

    def __str__(self) -> str:
        return f"tls:{str(self.below).removeprefix('tcp:')}"


@dataclass(frozen=True, slots=True)
class TLSUNIX(Endpoint):
    """The path of a unix socket at which TLS is spoken.

    :param path: as for `UNIX`. It is no host name, so a client that checks certificates needs
        `TLSOptions.server_hostname`.
    :raises EndpointError: see `UNIX`.
    """

    scheme = "tls+unix"

    path: str

    def __post_init__(self) -> None:
        UNIX(self.path)

    @classmethod
    def parse(cls, rest: str) -> TLSUNIX:
        """The endpoint that is written as ``tls+unix:`` and *rest*.

        :param rest: what stands after the colon, as for ``unix:``.
        :raises EndpointError: *rest* is no valid path. The message says why.
        """
        return cls(UNIX.parse(rest).path)

    @property
    def below(self) -> UNIX:
        """The endpoint of the unix connection that carries the TLS."""
        return UNIX(self.path)

    def __str__(self) -> str:
        return f"tls+unix:{str(self.below).removeprefix('unix:')}"
