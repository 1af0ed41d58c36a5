"""Listens on sockets, and accepts connections from them."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..endpoints import EVERY_ADDRESS, TCP, UNIX, Endpoint, Memory, StandardIO
from ..listener import Listener
from ..options import ConnectionOptions
from ..reasons import ListenError
from ..text import printable
from .addresses import Address, distinct, endpoint_of, literal, unix_address
from .poller import READ, Registration
from .syscalls import reset, stop_listening
from .unix_paths import FolderLock, OwnPath, bind_path

if TYPE_CHECKING:
    from ..backend import Backend, TimerHandle

__all__ = ["SocketListener", "listen_sockets"]

_log = logging.getLogger("halfclose")

BACKLOG = 1024
"""How many connections the kernel keeps for a listener that has not accepted them yet."""

ACCEPTS_A_TURN = 64
"""How many connections one listener accepts in a turn of the loop."""

RETRY_DELAY = 0.1
"""Seconds until a listener tries again after something was missing, such as a descriptor."""

OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors of accept(2) after which the connection still waits to be accepted (ERR-09)."""

FOR_GOOD = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSOCK, errno.EOPNOTSUPP, errno.EFAULT})
"""Errors of accept(2) on a socket that listens no more (ERR-16): somebody has shut it down, or has
put something else at its descriptor."""

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
"""Errors of accept(2) that concern one connection, which is out of the queue then.

After any other error the listener waits a little before it tries again, since the same error may
come at once.
"""

_ENDED = select.POLLHUP | getattr(select, "POLLRDHUP", 0)
"""Events that poll(2) reports of a listening socket only after it was shut down."""

_TRIES = 100
"""How many ports are tried, since one that the system chooses may be taken on another address."""

_EVERYWHERE = "0.0.0.0", "::"
"""The addresses that stand for all addresses of their family."""

_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""Errors of bind(2) if this machine has no such address or family."""

Accepted = Callable[[socket.socket, "Endpoint | None", "Endpoint | None"], OSError | None]
"""Takes a new, non-blocking socket, the endpoint of its peer and that of its own end. Either
endpoint may be None; the socket has to be asked then.

It returns None, or the error because of which it can take the socket only later."""


class SocketListener(Listener):
    """A listener on one or more sockets. Closing it removes the path of a unix socket."""

    def __init__(
        self,
        backend: Backend,
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
            # At once, while it is ours: another program would find a stale socket there, and take
            # the path over.
            self._path.remove()

    def descriptors(self) -> list[int]:
        return [fd for accepting in self._accepting for fd in accepting.descriptors()]

    def close(self) -> None:
        """Stop accepting, and remove the path of a unix socket if it is still ours. Idempotent."""
        if self._backend.foreign is not None:
            # In a forked child: it has closed its copies already, and the path is the parent's.
            return
        if self._path is not None:
            self._path.remove()
        for accepting in self._accepting:
            accepting.close()
        self._backend.forget(self)


class _ListeningSocket(socket.socket):
    """A stream socket that remembers its family and type.

    Python's ``accept`` asks a socket for both, and to look up the members of the two enumerations
    takes as long as to accept.
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
    """Accepts from one listening socket."""

    def __init__(
        self,
        backend: Backend,
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
        # A socket that listens on all addresses does not know to which one a connection came.
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
                # What ERR-09 and ERR-16 say of each kind of error.
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
        """The endpoint for the address that came with the connection.

        The system forgets the address when the peer resets the connection, so it is kept now.
        """
        try:
            return endpoint_of(self._family, address)
        except (TypeError, ValueError):
            # Some systems give no address if the peer has gone, and a name may be no endpoint.
            return None

    def _make_room(self, error: OSError) -> bool:
        """Get a descriptor by closing a lingering channel, or pause.

        :returns: whether the listener has paused; False if a descriptor is free now.
        """
        pause = self._backend.lingering.make_room(error)
        if pause is None:
            self._wait(error)
        elif pause:
            self._pause(pause)
        return pause != 0

    def _keep(self, sock: socket.socket, peer: Endpoint | None, missing: object) -> None:
        """Keep an accepted socket, which is not to be lost, until the framework can take it."""
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
            # The system cannot watch one more descriptor now (ENOSPC, ENOMEM).
            self._wait(error)

    def _broken(self, error: Exception) -> None:
        """Pause, since `_ready` raised and may do so again at once. The poller has logged it."""
        self._poll = None
        if not self._closed:
            self._pause(RETRY_DELAY)

    def descriptors(self) -> list[int]:
        """The descriptors of the listening socket, and of one that was accepted and waits."""
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
        # Errors are ignored: somebody may have put something else at the descriptor (ERR-16).
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
    """Whether *sock* listens no more, after it was ready and nobody could be accepted.

    Of a TCP socket that was shut down, Linux says EINVAL. Of a non-blocking unix socket it says
    EAGAIN, as it does when another process was quicker, and goes on reporting that it is ready
    (ERR-16).
    """
    poll = select.poll()
    poll.register(sock, _ENDED)
    return any(events & _ENDED for _, events in poll.poll(0))


async def listen_sockets(
    backend: Backend, endpoint: Endpoint, options: ConnectionOptions, accepted: Accepted
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
        # The backend may have been left while the name was looked up.
        backend.check_open()
        socks = _listen_tcp(addresses, endpoint.port)
        with _undone_if_it_fails(socks):
            endpoint = TCP(endpoint.host, socks[0].getsockname()[1])
            return SocketListener(backend, endpoint, socks, None, accepted)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"cannot listen on {endpoint}: {printable(str(error))}") from error


@contextmanager
def _undone_if_it_fails(socks: list[socket.socket], path: OwnPath | None = None) -> Iterator[None]:
    """Remove *path* and close *socks* if the block raises."""
    try:
        yield
    except BaseException:
        if path is not None:
            path.remove()
        for sock in socks:
            sock.close()
        raise


async def _addresses(backend: Backend, endpoint: TCP) -> list[Address]:
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
    """A listening socket for each of *addresses*, all on the same port.

    :param port: 0 chooses one that is free on all of them.
    :raises OSError: there is no such port, or *port* is taken.
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
    """The sockets that could be made, and the error that ended that, if one did."""
    socks: list[socket.socket] = []
    for place, address in enumerate(addresses, 1):
        try:
            socks.append(_bind_tcp(address, port))
        except (AttributeError, TypeError, ValueError):
            return socks, _no_address(address)
        except OSError as error:
            # A name may have addresses that this machine has not, such as those of IPv6.
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
        # Accepted sockets inherit this.
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


async def _listen_unix(
    backend: Backend, endpoint: UNIX, mode: int, accepted: Accepted
) -> SocketListener:
    if endpoint.is_abstract:
        return _serve_unix(backend, endpoint, mode, accepted)
    async with FolderLock(backend, endpoint.path):
        backend.check_open()
        return _serve_unix(backend, endpoint, mode, accepted)


def _serve_unix(backend: Backend, endpoint: UNIX, mode: int, accepted: Accepted) -> SocketListener:
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
