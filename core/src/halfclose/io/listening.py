"""Listening sockets, and accepting from them."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from ..endpoints import EVERY_ADDRESS, TCP, UNIX, Endpoint, Memory, StandardIO
from ..listener import Listener
from ..loop import Address, TimerHandle
from ..options import ConnectionOptions
from ..reasons import ListenError
from ..text import printable
from .addresses import distinct, endpoint_of, literal, unix_address
from .host import SocketHost
from .poller import READ, Registration
from .syscalls import reset, stop_listening
from .unix_paths import FolderLock, OwnPath, bind_path

__all__ = ["SocketListener", "listen_sockets"]

_log = logging.getLogger("halfclose")

BACKLOG = 1024

ACCEPTS_A_TURN = 64
"""Connections that one listener accepts before others have their turn."""

RETRY_DELAY = 0.1
"""Seconds after which accepting is tried again, once resources were missing."""

OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accept(2) fails with although the connection is still there (ERR-09)."""

FOR_GOOD = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSOCK, errno.EOPNOTSUPP, errno.EFAULT})
"""What accept(2) fails with once a socket does not listen any more (ERR-16): somebody has shut it
down, or has put something else at its descriptor."""

OF_ONE_CONNECTION = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "ECONNRESET",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ENETDOWN",
        "ENETUNREACH",
        "ENONET",
        "ENOPROTOOPT",
        "ENOSR",
        "EPERM",
        "EPROTO",
        "EPROTONOSUPPORT",
        "ESOCKTNOSUPPORT",
        "ETIMEDOUT",
    )
    if hasattr(errno, name)
)
"""What accept(2) fails with for one connection, which it has taken out of the queue.

Any other error may come again at once; the listener tries again a little later.
"""

_ENDED = select.POLLHUP | getattr(select, "POLLRDHUP", 0)
"""What poll(2) says of a listening socket only once it was shut down."""

_TRIES = 100
"""Ports that are tried where the system chooses one that is taken on another of the addresses."""

_EVERYWHERE = "0.0.0.0", "::"
"""Where a socket listens on all addresses of its family."""

_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

Accepted = Callable[[socket.socket, "Endpoint | None", "Endpoint | None"], OSError | None]
"""Takes a new, non-blocking socket, its peer and its own end; None: it has to be asked for.

It returns what was missing if it can take the socket later only."""


class SocketListener(Listener):
    """A listener on one or more sockets; it takes the path of a unix socket away at its end."""

    def __init__(
        self,
        backend: SocketHost,
        endpoint: Endpoint,
        socks: list[socket.socket],
        path: OwnPath | None,
        accepted: Accepted,
    ) -> None:
        super().__init__(endpoint)
        self._backend = backend
        self._path = path
        self._accepting: list[_Accepting] = []
        self._failure: OSError | None = None
        try:
            for sock in socks:
                self._accepting.append(_Accepting(backend, sock, accepted, self._failed))
        except BaseException:
            for accepting in self._accepting:
                accepting.close()
            raise

    @property
    def failure(self) -> OSError | None:
        return self._failure

    def _failed(self, error: OSError) -> None:
        self._failure = self._failure or error
        if self._path is not None:
            # Later it may be somebody else's, who finds a stale socket there.
            self._path.remove()

    def descriptors(self) -> list[int]:
        return [fd for accepting in self._accepting for fd in accepting.descriptors()]

    def close(self) -> None:
        """Stop accepting, and remove the path of a unix socket if it is still ours. Idempotent."""
        if self._backend.foreign is not None:
            # A forked child has let go of its copies, and the path is the parent's.
            return
        if self._path is not None:
            self._path.remove()
        for accepting in self._accepting:
            accepting.close()
        self._backend.forget(self)


class _ListeningSocket(socket.socket):
    """A stream socket to listen on, which remembers its family and type.

    ``accept`` asks for both, and to find the enumerations' members takes as long as to accept.
    """

    def __init__(self, family: int) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._family = super().family

    @property
    def family(self) -> socket.AddressFamily:
        return self._family

    @property
    def type(self) -> socket.SocketKind:
        return socket.SOCK_STREAM


class _Accepting:
    """One listening socket."""

    def __init__(
        self,
        backend: SocketHost,
        sock: socket.socket,
        accepted: Accepted,
        failed: Callable[[OSError], object],
    ) -> None:
        self._backend = backend
        self._sock = sock
        self._accepted = accepted
        self._failed = failed
        self._retry: TimerHandle | None = None
        self._kept: tuple[socket.socket, Endpoint | None] | None = None
        self._told = False
        self._closed = False
        self._family = sock.family
        self._own = endpoint_of(self._family, sock.getsockname())
        # On all addresses, each connection has the one that it came to.
        everywhere = isinstance(self._own, TCP) and self._own.host in _EVERYWHERE
        self._host = None if everywhere else self._own
        self._poll: Registration | None = self._register()

    def _register(self) -> Registration:
        poll = self._backend.lane.poller.register(self._sock.fileno(), self._ready, self._broken)
        poll.want(READ)
        return poll

    def _ready(self, ready: int) -> None:
        for found in range(ACCEPTS_A_TURN):
            if self._closed:
                return
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                if not found and _is_shut_down(self._sock):
                    self._end(OSError(errno.EINVAL, os.strerror(errno.EINVAL)))
                return
            except OSError as error:
                # ERR-09, ERR-16.
                if error.errno in OF_ONE_CONNECTION:
                    continue
                if error.errno in FOR_GOOD:
                    self._end(error)
                elif not self._make_room(error):
                    continue
                return
            self._told = False
            sock.setblocking(False)
            peer = self._peer(address)
            missing = self._backend.guarded(self._accepted, sock, peer, self._host)
            if missing is not None:
                self._keep(sock, peer, missing)
                return

    def _peer(self, address: Any) -> Endpoint | None:
        """The system forgets the peer of a connection that is reset: it is told now, or never."""
        try:
            return endpoint_of(self._family, address)
        except (TypeError, ValueError):
            # Some systems have no address of one that has gone; and a name may be no endpoint.
            return None

    def _make_room(self, error: OSError) -> bool:
        """Whether to wait: not if one that lingered has given us its descriptor at once."""
        pause = self._backend.lingering.make_room(error)
        if pause is None:
            self._wait(error)
        elif pause:
            self._pause(pause)
        return pause != 0

    def _keep(self, sock: socket.socket, peer: Endpoint | None, missing: object) -> None:
        """It was accepted, and the framework cannot take it now: it is not for that to be lost."""
        assert isinstance(missing, OSError)
        self._kept = sock, peer
        pause = self._backend.lingering.make_room(missing)
        if pause is None:
            self._wait(missing)
        else:
            self._pause(pause)

    def _wait(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            _log.error("accepting on %s waits: %s", self._own, printable(str(error)))
        self._pause(RETRY_DELAY)

    def _pause(self, seconds: float) -> None:
        if self._poll is not None:
            self._poll.want(0)
        self._retry = self._backend.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._retry = None
        if self._closed:
            return
        kept, self._kept = self._kept, None
        if kept is not None:
            missing = self._backend.guarded(self._accepted, *kept, self._host)
            if missing is not None:
                self._keep(*kept, missing)
                return
        try:
            if self._poll is None:
                self._poll = self._register()
            else:
                self._poll.want(READ)
        except OSError as error:
            # The system has no room to watch it (ENOSPC, ENOMEM).
            self._wait(error)

    def _broken(self, error: Exception) -> None:
        """A failure of ours, which may come again at once: the poller has logged it."""
        self._poll = None
        if not self._closed:
            self._pause(RETRY_DELAY)

    def descriptors(self) -> list[int]:
        """What it listens on, and what it has accepted and still keeps."""
        return [sock.fileno() for sock in (self._sock, *(self._kept or ())[:1])]

    def _end(self, error: OSError) -> None:
        _log.error("%s accepts no more: %s", self._own, printable(str(error)))
        self._failed(error)
        self.close()

    def close(self) -> None:
        """Stop accepting. Idempotent."""
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        # What is at its descriptor now may be something else.
        if self._poll is not None:
            with suppress(OSError):
                self._poll.stop()
        with suppress(OSError):
            stop_listening(self._sock)
        if self._kept is not None:
            reset(self._kept[0])
            self._kept[0].close()
            self._kept = None


def _is_shut_down(sock: socket.socket) -> bool:
    """Whether *sock*, which was ready and had nobody to accept, listens no more.

    Linux says EINVAL of TCP then. Of a unix socket that does not block it says EAGAIN, as where
    another process was quicker, and goes on saying that it is ready.
    """
    poll = select.poll()
    poll.register(sock, _ENDED)
    return any(events & _ENDED for _, events in poll.poll(0))


async def listen_sockets(
    backend: SocketHost, endpoint: Endpoint, options: ConnectionOptions, accepted: Accepted
) -> SocketListener:
    """A listener on *endpoint* that gives each new connection to *accepted*.

    :raises ListenError: see `Backend.listen`.
    :raises RuntimeError: the backend was left meanwhile.
    """
    if isinstance(endpoint, StandardIO):
        raise ListenError("cannot listen on stdio: it is one connection; connect to it instead")
    if isinstance(endpoint, Memory):
        raise ListenError(f"cannot listen on {endpoint}: only the backend 'memory' has it")
    try:
        if isinstance(endpoint, UNIX):
            return await _listen_unix(backend, endpoint, options.unix_mode, accepted)
        addresses = await _addresses(backend, endpoint)
        # While names are looked up, much can happen.
        backend.check_open()
        socks = _listen_tcp(addresses, endpoint.port)
        with _undone_if_it_fails(socks):
            endpoint = TCP(endpoint.host, socks[0].getsockname()[1])
            return SocketListener(backend, endpoint, socks, None, accepted)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"cannot listen on {endpoint}: {printable(str(error))}") from error


@contextmanager
def _undone_if_it_fails(socks: list[socket.socket], path: OwnPath | None = None) -> Iterator[None]:
    """Take *path* away and close *socks* where the block raises."""
    try:
        yield
    except BaseException:
        if path is not None:
            path.remove()
        for sock in socks:
            sock.close()
        raise


async def _addresses(backend: SocketHost, endpoint: TCP) -> list[Address]:
    if endpoint.host == EVERY_ADDRESS:
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
    return OSError(errno.EINVAL, f"the resolver gave {printable(repr(found))}")


def _listen_tcp(addresses: list[Address], port: int) -> list[socket.socket]:
    """A socket for each of *addresses*, all with the same port.

    :param port: 0: any that is free on all of them.
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
            # It is taken on another address. Held meanwhile, so that the system gives another one.
            for sock in socks:
                held.callback(sock.close)
    raise AssertionError("unreachable")


def _listen_on_each(
    addresses: list[Address], port: int
) -> tuple[list[socket.socket], OSError | None]:
    """The sockets that were made, and what failed then."""
    socks: list[socket.socket] = []
    for place, address in enumerate(addresses, 1):
        try:
            socks.append(_bind_tcp(address, port))
        except (AttributeError, TypeError, ValueError):
            return socks, _no_address(address)
        except OSError as error:
            # A name may have an address that this machine has not, IPv6's for one.
            if error.errno not in _NOT_HERE or (place == len(addresses) and not socks):
                return socks, error
        else:
            port = socks[-1].getsockname()[1]
    return socks, None


def _bind_tcp(address: Address, port: int) -> socket.socket:
    family, (host, _, *rest) = address
    sock = _ListeningSocket(family)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What is accepted inherits it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            # Each family has a socket of its own, whatever the system's default is.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port, *rest))
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


async def _listen_unix(
    backend: SocketHost, endpoint: UNIX, mode: int, accepted: Accepted
) -> SocketListener:
    if endpoint.is_abstract:
        return _serve_unix(backend, endpoint, mode, accepted)
    async with FolderLock(backend, endpoint.path):
        backend.check_open()
        return _serve_unix(backend, endpoint, mode, accepted)


def _serve_unix(
    backend: SocketHost, endpoint: UNIX, mode: int, accepted: Accepted
) -> SocketListener:
    sock = _ListeningSocket(socket.AF_UNIX)
    with _undone_if_it_fails([sock]):
        sock.setblocking(False)
        path = None
        if endpoint.is_abstract:
            sock.bind(unix_address(endpoint))
        else:
            path = bind_path(sock, endpoint, mode)
        with _undone_if_it_fails([], path):
            sock.listen(BACKLOG)
            return SocketListener(backend, endpoint, [sock], path, accepted)
