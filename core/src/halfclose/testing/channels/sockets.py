"""Raw peers and raw listeners on TCP and unix sockets."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
import struct
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from ...backend import Backend
from ...endpoints import TCP, UNIX, Endpoint
from ...io.addresses import endpoint_of, unix_address
from .peers import LIMIT, RawListener, RawPeer
from .threads import ThreadedPeer, in_thread

__all__ = [
    "SocketListener",
    "SocketPeer",
    "black_hole",
    "dial",
    "open_sockets",
    "refusing",
    "shut_down_listener",
    "temporary_unix_path",
]


class SocketPeer(ThreadedPeer):
    """A blocking TCP or unix socket.

    :param backend: the backend in whose loop the test waits for this peer.
    :param sock: the connected socket, which is the peer's from now on.
    """

    def __init__(self, backend: Backend, sock: socket.socket) -> None:
        super().__init__(backend)
        self.sock = sock
        sock.settimeout(LIMIT)

    # -- at once -------------------------------------------------------------------------------

    def send_now(self, data: bytes) -> None:
        # Unlike `send_some` this may wait a moment, because TCP may have to wait for memory.
        assert self.sock.send(data) == len(data)

    def send_some(self, data: bytes) -> int:
        try:
            # A socket object with a timeout has a non-blocking descriptor, and only its methods
            # wait.
            return os.write(self.sock.fileno(), data)
        except BlockingIOError:
            return 0

    def receive_now(self, limit: int) -> bytes | None:
        return self.sock.recv(limit) if self._is_readable(0) else None

    def shutdown(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def stop_reading(self) -> None:
        self.sock.shutdown(socket.SHUT_RD)

    def reset(self) -> None:
        if self.sock.family == socket.AF_UNIX:
            assert self._is_readable(0), "nothing unread: a unix socket is not reset; see the docs"
            self.sock.close()
            return
        with self._other_end() as other:
            self._reset(other)

    def reset_unseen(self) -> None:
        with self._other_end() as other:
            assert other is not None, "the socket under test was not found"
            self._reset(other)
            assert other.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def _reset(self, other: socket.socket | None) -> None:
        """Reset the connection, and wait until the kernel has delivered the reset to *other*."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        if other is not None:
            poll = select.poll()
            # No event is asked for: poll always reports errors and the end of both halves.
            poll.register(other, 0)
            poll.poll(LIMIT * 1000)

    @contextmanager
    def _other_end(self) -> Iterator[socket.socket | None]:
        """A duplicate of the TCP socket under test, which is found by its addresses.

        It is None if that socket is not in this process, not accepted yet, or closed, or if this
        socket was reset and so has no peer any more.
        """
        try:
            ends = self.sock.getpeername(), self.sock.getsockname()
        except OSError:
            yield None
            return
        with _found(lambda sock: (sock.getsockname(), sock.getpeername()) == ends) as other:
            yield other

    def close(self) -> None:
        self.sock.close()

    # -- what is known -------------------------------------------------------------------------

    @property
    def address(self) -> Endpoint:
        return endpoint_of(self.sock.family, self.sock.getsockname())

    @property
    def other_address(self) -> Endpoint:
        return endpoint_of(self.sock.family, self.sock.getpeername())

    def holdings(self) -> set[object]:
        return {_identity(self.sock.fileno())}

    def unread(self) -> int:
        if self.sock.family == socket.AF_UNIX:
            # A unix socket has no sending buffer of its own: what is unread here counts as unsent
            # at the other end.
            return 0
        packed = fcntl.ioctl(self.sock.fileno(), termios.FIONREAD, b"\0" * 4)
        return int.from_bytes(packed, sys.byteorder)

    def narrow(self, size: int) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)

    # -- blocking ------------------------------------------------------------------------------

    def _is_readable(self, timeout: float) -> bool:
        return bool(select.select([self.sock], [], [], timeout)[0])

    def _wait_for_input(self) -> None:
        assert self._is_readable(LIMIT), "the raw peer waited in vain for input"

    def _send(self, data: bytes) -> int:
        sent = 0
        view = memoryview(data)
        try:
            while sent < len(data):
                sent += self.sock.send(view[sent : sent + (1 << 18)])
        except (BrokenPipeError, ConnectionResetError):
            pass
        except TimeoutError:
            raise AssertionError(
                f"{sent} of {len(data)} bytes were taken, and no more within {LIMIT} s"
            ) from None
        return sent

    def _receive(self, limit: int) -> bytes:
        return self.sock.recv(limit)


class SocketListener(RawListener):
    """A listening TCP or unix socket.

    :param scheme: "tcp" or "unix".
    :param backlog: the backlog of ``listen(2)``: one connection more may wait to be accepted.
    """

    def __init__(self, backend: Backend, scheme: str, backlog: int = 8) -> None:
        self._backend = backend
        with ExitStack() as stack:
            self.sock: socket.socket = stack.enter_context(_bound(scheme, stack))
            self.sock.listen(backlog)
            self.sock.settimeout(LIMIT)
            self.endpoint: Endpoint = endpoint_of(self.sock.family, self.sock.getsockname())
            self._stack = stack.pop_all()

    async def accept(self) -> RawPeer:
        try:
            sock, _ = await in_thread(self._backend, self.sock.accept)
        except TimeoutError:
            raise AssertionError(f"nobody connected to {self.endpoint}") from None
        return SocketPeer(self._backend, sock)

    def close(self) -> None:
        self._stack.close()


def _bound(scheme: str, stack: ExitStack) -> socket.socket:
    """A socket that is bound to an unused address; *stack* removes the path of a unix socket."""
    if scheme == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(os.path.join(stack.enter_context(temporary_unix_path()), "s"))
    else:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
    return sock


@contextmanager
def black_hole(backend: Backend, scheme: str) -> Iterator[Endpoint]:
    """An endpoint that never answers: its listener accepts nothing, and its queue is full."""
    with SocketListener(backend, scheme, backlog=0) as listener, ExitStack() as stack:
        assert isinstance(listener, SocketListener)
        for _ in range(8):
            filler = stack.enter_context(socket.socket(listener.sock.family))
            filler.setblocking(False)
            filler.connect_ex(listener.sock.getsockname())
        yield listener.endpoint


@contextmanager
def refusing(scheme: str) -> Iterator[Endpoint]:
    """An endpoint that refuses connections: its socket is bound, so that no other program can
    take the address, but does not listen."""
    with ExitStack() as stack:
        sock = stack.enter_context(_bound(scheme, stack))
        yield endpoint_of(sock.family, sock.getsockname())


def dial(backend: Backend, endpoint: Endpoint) -> SocketPeer:
    """Connect a raw peer to *endpoint*. This blocks if the listener's queue is full."""
    if isinstance(endpoint, UNIX):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(unix_address(endpoint))
    else:
        assert isinstance(endpoint, TCP)
        sock = socket.create_connection((endpoint.host, endpoint.port))
    return SocketPeer(backend, sock)


def shut_down_listener(endpoint: Endpoint) -> None:
    """Shut down the socket that listens on *endpoint* in this process; its owner is not told."""

    def listens(sock: socket.socket) -> bool:
        return (
            bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            and endpoint_of(sock.family, sock.getsockname()) == endpoint
        )

    with _found(listens) as sock:
        assert sock is not None, f"nobody listens on {endpoint}"
        sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def _found(matches: Callable[[socket.socket], bool]) -> Iterator[socket.socket | None]:
    """A duplicate of the first socket of this process that *matches*; None: there is none.

    :param matches: may raise OSError, which counts as False: not every socket has an address.
    """
    for name in os.listdir("/dev/fd"):
        try:
            # This fails for one number: the descriptor that the list itself was read from, which
            # is closed by now.
            copy = os.dup(int(name))
        except OSError:
            continue
        try:
            sock = socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
            continue
        with sock:
            if _agrees(matches, sock):
                yield sock
                return
    yield None


def _agrees(matches: Callable[[socket.socket], bool], sock: socket.socket) -> bool:
    try:
        return matches(sock)
    except OSError:
        return False


def temporary_unix_path() -> tempfile.TemporaryDirectory[str]:
    """A new folder for a unix socket; its path is short, since the system limits the length."""
    return tempfile.TemporaryDirectory(prefix="hc")


def open_sockets() -> set[object]:
    """The identities of all open sockets of this process."""
    found: set[object] = set()
    for name in os.listdir("/dev/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                found.add(_identity(int(name)))
        except OSError:
            continue
    return found


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
