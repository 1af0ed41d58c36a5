"""Listens on sockets, and accepts connections from them."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..channel import Channel
from ..endpoints import Endpoint
from ..listener import Listener
from ..loop import TimerHandle
from ..text import printable
from .addresses import endpoint_of, is_everywhere
from .host import SocketHost
from .poller import READ, Registration
from .syscalls import reset, stop_listening
from .unix_paths import OwnPath

__all__ = ["ListeningSocket", "SocketListener", "undone_if_it_fails"]

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

_LOST = frozenset({errno.ENOTCONN, errno.ECONNRESET, errno.EPIPE, errno.EINVAL, errno.EBADF})
"""Errors of using a socket that was reset before a framework's transport could be made for it."""

Accepted = Callable[[socket.socket, "Endpoint | None", "Endpoint | None"], OSError | None]
"""Takes a new, non-blocking socket, the endpoint of its peer and that of its own end. Either
endpoint may be None; the socket has to be asked then.

It returns None, or the error because of which it can take the socket only later."""

NameOf = Callable[[int, Any], Endpoint]
"""The endpoint of a family and an address of that family."""


class SocketListener(Listener):
    """A listener on one or more sockets. At its end it removes the path of a unix socket.

    :param backend: the backend that is to serve the connections.
    :param endpoint: the endpoint that it listens on, with the real port.
    :param socks: non-blocking sockets that listen already. The listener owns them from now on.
    :param accepted: is called with the channel of each new connection.
    :param path: the path of a unix socket; None if there is none.
    :param name_of: makes endpoints of the peers' addresses. The default knows the families that
        core has; a plugin with another family gives its own.
    """

    def __init__(
        self,
        backend: SocketHost,
        endpoint: Endpoint,
        socks: list[socket.socket],
        accepted: Callable[[Channel], None],
        path: OwnPath | None = None,
        name_of: NameOf = endpoint_of,
    ) -> None:
        super().__init__(endpoint)
        self._backend = backend
        self._accepted = accepted
        self._path = path
        self._accepting: list[_Accepting] = []
        self._failure: OSError | None = None
        try:
            for sock in socks:
                self._accepting.append(_Accepting(backend, sock, name_of, self._take, self._failed))
        except BaseException:
            for accepting in self._accepting:
                accepting.close()
            raise

    def _take(
        self, sock: socket.socket, peer: Endpoint | None, host: Endpoint | None
    ) -> OSError | None:
        """Make a channel of an accepted socket and pass it on; see `Accepted`."""
        try:
            channel = self._backend.driver.channel(sock, peer=peer, host=host)
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:
                return error
            sock.close()
            # If it was reset before it could be served, that is nothing to report.
            if error.errno not in _LOST:
                _log.error("a connection to %s was dropped: %s", self.endpoint, error)
            return None
        self._accepted(channel)
        return None

    @property
    def failure(self) -> OSError | None:
        return self._failure

    def _failed(self, error: OSError) -> None:
        self._failure = self._failure or error
        if self._path is not None:
            # Removed at once, while it is surely ours: later, another program may have found a
            # stale socket there and have taken the path over.
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


class ListeningSocket(socket.socket):
    """A stream socket that remembers its family and type.

    Python's ``accept`` asks a socket for both, and to look up the members of the two enumerations
    takes as long as to accept.

    :param family: the address family, such as ``socket.AF_UNIX``.
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
        backend: SocketHost,
        sock: socket.socket,
        name_of: NameOf,
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
        self._name_of = name_of
        address = sock.getsockname()
        self._own = name_of(self._family, address)
        # A socket that listens on all addresses does not know to which one a connection came.
        self._host = None if is_everywhere(self._family, address) else self._own
        self._poll: Registration | None = self._register()

    def _register(self) -> Registration:
        poll = self._backend.driver.poller.register(self._sock.fileno(), self._ready, self._broken)
        poll.want(READ)
        return poll

    def _ready(self, ready: int) -> None:
        """Accept what waits, up to `ACCEPTS_A_TURN` connections, so that others get their turn."""
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
                # The listener outlives an error of one connection, waits if something is missing
                # (ERR-09), and ends if the socket can accept no more (ERR-16).
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
            return self._name_of(self._family, address)
        except (TypeError, ValueError):
            # Some systems give no address if the peer has gone, and a peer's name may be one that
            # no endpoint can have.
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
        """Keep an accepted socket until the framework has the resources to take it."""
        assert isinstance(missing, OSError)
        self._kept = sock, peer
        pause = self._backend.lingering.make_room(missing)
        if pause is None:
            self._wait(missing)
        else:
            self._pause(pause)

    def _wait(self, error: OSError) -> None:
        """Pause because of *error*, which is logged once until a connection is accepted again."""
        if not self._told:
            self._told = True
            _log.error("accepting on %s waits: %s", self._own, printable(str(error)))
        self._pause(RETRY_DELAY)

    def _pause(self, seconds: float) -> None:
        """Stop watching the socket, which stays ready, so that the loop does not spin (ERR-09)."""
        if self._poll is not None:
            self._poll.want(0)
        self._retry = self._backend.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        """Accept again after a pause, beginning with the socket that was kept, if one was."""
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
        """The descriptors of the listening socket, and of an accepted one that is kept."""
        return [sock.fileno() for sock in (self._sock, *(self._kept or ())[:1])]

    def _end(self, error: OSError) -> None:
        """Stop for good because of *error*, and tell the listener (ERR-16)."""
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
    """Whether *sock* was shut down, which is asked if it was ready and nobody could be accepted.

    For a TCP socket that was shut down, accept(2) fails with EINVAL on Linux. For a non-blocking
    unix socket it fails with EAGAIN, as it does if another process was quicker, and the socket
    stays ready for ever (ERR-16).
    """
    poll = select.poll()
    poll.register(sock, _ENDED)
    return any(events & _ENDED for _, events in poll.poll(0))


@contextmanager
def undone_if_it_fails(socks: list[socket.socket], path: OwnPath | None = None) -> Iterator[None]:
    """Remove *path* and close *socks* if the block raises.

    :param socks: the sockets. Those that the block adds to the list are closed too.
    :param path: the path of a unix socket; None if there is none.
    """
    try:
        yield
    except BaseException:
        if path is not None:
            path.remove()
        for sock in socks:
            sock.close()
        raise
