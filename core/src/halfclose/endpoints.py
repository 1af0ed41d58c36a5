"""Where to connect or listen, as values and as strings.

``tcp:HOST:PORT`` (``tcp:[::1]:80`` for IPv6, ``tcp:*:80`` to listen on every address of both
families), ``unix:PATH`` (``unix:@NAME`` for an abstract one), ``stdio:``, ``memory:NAME``. As a
string an endpoint holds nothing but printable characters, whatever a peer calls itself: it can go
into any log. In a path, ``\\x`` and two hexadecimal digits stand for one byte.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from .reasons import EndpointError

__all__ = ["TCP", "UNIX", "Endpoint", "Memory", "StandardIO", "as_endpoint", "parse_endpoint"]

UNIX_PATH_BYTES = 107
"""The longest path that a unix socket can have on Linux, in bytes; also the longest abstract name,
without its ``@``."""

EVERY_ADDRESS = "*"
"""The host of ``tcp:*:PORT``."""

_ABSTRACT = "@"

_EXAMPLES = "tcp:127.0.0.1:8000, tcp:[::1]:8000, unix:/tmp/echo.sock, stdio: or memory:echo"


_NOT_IN_A_HOST = frozenset("[]/\0 ")


@dataclass(frozen=True, slots=True)
class TCP:
    """A TCP host and port.

    :param host: a name or an address, IPv6 without brackets; a link-local one has its zone, as in
        ``fe80::1%eth0``. For ``listen``, ``*`` is every address of both families; ``0.0.0.0`` is
        every IPv4 address, and ``::`` every IPv6 address and no other.
    :param port: 0 to 65535; 0 lets ``listen`` choose.
    :raises EndpointError: the host is empty, or has what no host's name has, or the port is out of
        range.
    """

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

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp:{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UNIX:
    """The path of a unix socket; empty for the unnamed end of a connection.

    With an ``@`` at its beginning it is no file but a name in Linux's abstract namespace, which
    nothing has to remove and everybody may connect to; a file that is called so is ``./@name``.
    An abstract name is bytes, of which those that are no UTF-8 are in the string what
    `os.fsdecode` makes of them.

    :raises EndpointError: the path is longer than 107 bytes (an abstract name's ``@`` not
        counted), or one of a file holds a NUL.
    """

    path: str

    def __post_init__(self) -> None:
        if not isinstance(self.path, str):
            raise EndpointError(f"unix path {self.path!r}: not a string")
        if "\0" in self.path and not self.is_abstract:
            raise EndpointError(
                f"unix path {self.path!r}: holds a NUL character; an abstract name begins with @"
            )
        try:
            length = len(os.fsencode(self.path)) - self.is_abstract
        except UnicodeEncodeError as error:
            raise EndpointError(f"unix path {self.path!r}: {error.reason}") from None
        if length > UNIX_PATH_BYTES:
            raise EndpointError(
                f"unix path {self.path!r}: {length} bytes long, at most {UNIX_PATH_BYTES} fit"
            )

    @property
    def is_abstract(self) -> bool:
        """Whether it is a name in the abstract namespace, and no file."""
        return self.path.startswith(_ABSTRACT)

    def __str__(self) -> str:
        return f"unix:{_escaped(self.path)}"


_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})")


def _escaped(path: str) -> str:
    """*path* in printable characters, of which `_unescaped` makes it again."""
    # A backslash is a character like others, unless it looks like one of our escapes.
    path = re.sub(r"\\(?=x[0-9A-Fa-f]{2})", r"\\x5c", path)
    if path.isprintable():
        return path
    return "".join(
        each if each.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(each))
        for each in path
    )


def _unescaped(text: str) -> str:
    if "\\x" not in text:
        return text
    whole = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), os.fsencode(text))
    return os.fsdecode(whole)


@dataclass(frozen=True)
class StandardIO:
    """Descriptors 0 and 1 of this process: input and output of one connection."""

    def __str__(self) -> str:
        return "stdio:"


@dataclass(frozen=True)
class Memory:
    """A name in the network of the backend ``memory``, which lives in this process.

    :param name: one or more printable characters, no spaces.
    :raises EndpointError: it is anything else.
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise EndpointError(f"memory name {self.name!r}: a name is missing")
        if " " in self.name or not self.name.isprintable():
            raise EndpointError(
                f"memory name {self.name!r}: holds a space or a character that cannot be printed"
            )

    def __str__(self) -> str:
        return f"memory:{self.name}"


Endpoint: TypeAlias = "TCP | UNIX | StandardIO | Memory"

E = TypeVar("E", UNIX, Memory)


def _wrong(text: str, what: str, right: str = _EXAMPLES) -> EndpointError:
    return EndpointError(f"endpoint {text!r}: {what}; write it like {right}")


def _parse_tcp(text: str, rest: str) -> TCP:
    right = "tcp:127.0.0.1:8000 or tcp:[::1]:8000"
    host, colon, port = rest.rpartition(":")
    if not colon:
        raise _wrong(text, "the port is missing" if rest else "host and port are missing", right)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise _wrong(text, "only an IPv6 address stands in brackets", right)
    elif ":" in host:
        raise _wrong(text, "an IPv6 address needs brackets", right)
    if not (port.isascii() and port.isdigit()) or len(port) > 9:
        raise _wrong(text, f"the port {port!r} is not a number from 0 to 65535", right)
    try:
        return TCP(host, int(port))
    except EndpointError as error:
        raise _wrong(text, str(error), right) from None


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint that *text* names; ``str(endpoint)`` gives it back.

    :raises EndpointError: *text* is no endpoint; the message says what is wrong with it.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in ("tcp", "unix", "stdio", "memory"):
        raise _wrong(text, f"no kind of endpoint is called {kind!r}")
    if kind == "tcp":
        return _parse_tcp(text, rest)
    if kind == "stdio":
        if rest:
            raise _wrong(text, f"nothing may follow 'stdio:', here {rest!r}", "stdio:")
        return StandardIO()
    if kind == "memory":
        return _parse_name(text, Memory, rest, "the name is missing", "memory:echo")
    try:
        path = _unescaped(rest)
    except UnicodeEncodeError:
        path = rest
    return _parse_name(text, UNIX, path, "the path is missing", "unix:/tmp/echo.sock")


def _parse_name(text: str, kind: type[E], rest: str, missing: str, right: str) -> E:
    if not rest:
        raise _wrong(text, missing, right)
    try:
        return kind(rest)
    except EndpointError as error:
        raise _wrong(text, str(error), right) from None


def as_endpoint(value: str | Endpoint) -> Endpoint:
    """*value*, parsed if it is a string.

    :raises EndpointError: the string is malformed, or *value* is no endpoint.
    """
    if isinstance(value, str):
        return parse_endpoint(value)
    if isinstance(value, (TCP, UNIX, StandardIO, Memory)):
        return value
    raise EndpointError(f"{value!r} is no endpoint; write it like {_EXAMPLES}")
