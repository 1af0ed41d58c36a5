"""The scheme ``tcp:``. It connects by IPv4 and IPv6, and listens with a socket for each address."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import ExitStack
from itertools import chain, zip_longest

from ..channel import Channel
from ..endpoints import TCP
from ..loop import Address
from ..options import ConnectionOptions
from ..scheme import Scheme
from ..text import printable
from .addresses import distinct, literal
from .connecting import connect_channel
from .host import SocketHost
from .listening import BACKLOG, ListeningSocket, SocketListener, undone_if_it_fails

__all__ = ["TCPScheme"]

_TRIES = 100
"""How many ports are tried, since one that the system chooses may be taken on another address."""

_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""Errors of bind(2) if this machine has no such address or family."""


class TCPScheme(Scheme[TCP, SocketHost]):
    """The scheme ``tcp:``: a port of a host, by IPv4 and IPv6."""

    name = "tcp"
    examples: tuple[str, ...] = ("tcp:127.0.0.1:8000", "tcp:[::1]:8000")

    def parse(self, rest: str) -> TCP:
        return TCP.parse(rest)

    def cannot_connect(self, endpoint: TCP) -> str | None:
        if endpoint.is_every_address:
            return "it is to listen on; name the host to connect to"
        return None

    async def connect(self, backend: SocketHost, endpoint: TCP, timeout: float | None) -> Channel:
        async def look_up() -> list[Address]:
            found = await backend.resolve(endpoint.host, endpoint.port)
            return _in_turns(distinct(found or ()))

        address = literal(endpoint.host, endpoint.port)
        where = look_up if address is None else [address]
        return await connect_channel(backend, endpoint, where, timeout)

    async def listen(
        self,
        backend: SocketHost,
        endpoint: TCP,
        options: ConnectionOptions,
        accepted: Callable[[Channel], None],
    ) -> SocketListener:
        addresses = await _addresses(backend, endpoint)
        # The backend may have been left while the name was looked up.
        backend.check_open()
        socks = _listen(addresses, endpoint.port)
        with undone_if_it_fails(socks):
            bound = TCP(endpoint.host, socks[0].getsockname()[1])
            return SocketListener(backend, bound, socks, accepted)


async def _addresses(backend: SocketHost, endpoint: TCP) -> list[Address]:
    """The addresses to listen on for *endpoint*, looked up if its host is a name.

    :raises OSError: the host has no address, or the resolver gave something else than addresses.
    """
    if endpoint.is_every_address:
        return [
            (socket.AF_INET, ("0.0.0.0", endpoint.port)),
            (socket.AF_INET6, ("::", endpoint.port, 0, 0)),
        ]
    address = literal(endpoint.host, endpoint.port)
    if address is not None:
        return distinct([address])
    found = await backend.resolve(endpoint.host, endpoint.port)
    try:
        addresses = distinct(found)
    except Exception as error:
        raise _no_address(found) from error
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
    return addresses


def _no_address(found: object) -> OSError:
    """The error for something that a resolver gave and that is no address."""
    return OSError(errno.EINVAL, f"the resolver gave {printable(repr(found))}")


def _listen(addresses: list[Address], port: int) -> list[socket.socket]:
    """A listening socket for each of *addresses*, all on the same port.

    :param port: 0 chooses a port that is free on all of them.
    :raises OSError: *port* is taken, no port is free on all addresses, or this machine has none of
        the addresses.
    """
    with ExitStack() as held:
        for left in reversed(range(_TRIES)):
            socks, error = _listen_on_each(addresses, port)
            if error is None:
                return socks
            if port or not socks or error.errno != errno.EADDRINUSE or not left:
                for sock in socks:
                    sock.close()
                raise error
            # The port is taken on another address. While these sockets stay open, the system gives
            # another port next time.
            for sock in socks:
                held.callback(sock.close)
    raise AssertionError("unreachable")


def _listen_on_each(
    addresses: list[Address], port: int
) -> tuple[list[socket.socket], OSError | None]:
    """Listen on one address after the other, until one fails.

    :returns: the sockets that listen, and the error that ended this; None if there was none.
    """
    socks: list[socket.socket] = []
    for place, address in enumerate(addresses, 1):
        try:
            socks.append(_bind(address, port))
        except (AttributeError, TypeError, ValueError):
            return socks, _no_address(address)
        except OSError as error:
            # A name may have addresses that this machine lacks, such as IPv6 ones. The others are
            # enough, if there are any.
            if error.errno not in _NOT_HERE or (place == len(addresses) and not socks):
                return socks, error
        else:
            port = socks[-1].getsockname()[1]
    return socks, None


def _bind(address: Address, port: int) -> socket.socket:
    """A non-blocking socket that listens on *address* with *port* in place of its own port."""
    family, (host, _, *rest) = address
    sock = ListeningSocket(family)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Set here because accepted sockets inherit it, which saves a system call for each of them.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            # Never IPv4 as well, whatever the system's default is: each family has its own socket.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port, *rest))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _in_turns(addresses: list[Address]) -> list[Address]:
    """*addresses* sorted so that families alternate, the first address's first (RFC 8305, 4)."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None]
