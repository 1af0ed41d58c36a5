"""Plain TCP and unix sockets: the raw peers, and where they listen and dial."""

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
    """A blocking TCP or unix socket."""

    def __init__(self, backend: Backend, sock: socket.socket) -> None:
        super().__init__(backend)
        self.sock = sock
        sock.settimeout(LIMIT)

    # -- at once -------------------------------------------------------------------------------

    def send_now(self, data: bytes) -> None:
        # One that has to wait for a moment, as TCP may for memory, does.
        assert self.sock.send(data) == len(data)

    def send_some(self, data: bytes) -> int:
        try:
            # A socket with a timeout does not block; only its methods do.
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
        """Reset, and wait until the kernel has told *other*: it may take its time for a packet."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        if other is not None:
            poll = select.poll()
            # For nothing but errors and the end of both halves, of which it always tells.
            poll.register(other, 0)
            poll.poll(LIMIT * 1000)

    @contextmanager
    def _other_end(self) -> Iterator[socket.socket | None]:
        """The TCP socket under test, found by its addresses, as another descriptor of the same.

        None, where it is not in this process, not accepted yet, or closed; or where this socket was
        reset, and so has no other end.
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
            # It has one queue for both: what is here is also still unsent there.
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
    :param backlog: how many more than one may wait to be accepted.
    """

    def __init__(self, backend: Backend, scheme: str, backlog: int = 8) -> None:
        self._backend = backend
        with ExitStack() as stack:
            self.sock = stack.enter_context(_bound(scheme, stack))
            self.sock.listen(backlog)
            self.sock.settimeout(LIMIT)
            self.endpoint = endpoint_of(self.sock.family, self.sock.getsockname())
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
    """A socket with an address of its own; *stack* takes its path away."""
    if scheme == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(os.path.join(stack.enter_context(temporary_unix_path()), "s"))
    else:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
    return sock


@contextmanager
def black_hole(backend: Backend, scheme: str) -> Iterator[Endpoint]:
    """Where nobody answers: the queue of the listener is full, and nobody accepts."""
    with SocketListener(backend, scheme, backlog=0) as listener, ExitStack() as stack:
        assert isinstance(listener, SocketListener)
        for _ in range(8):
            filler = stack.enter_context(socket.socket(listener.sock.family))
            filler.setblocking(False)
            filler.connect_ex(listener.sock.getsockname())
        yield listener.endpoint


@contextmanager
def refusing(scheme: str) -> Iterator[Endpoint]:
    """Where nobody listens, nor can come to listen meanwhile."""
    with ExitStack() as stack:
        sock = stack.enter_context(_bound(scheme, stack))
        yield endpoint_of(sock.family, sock.getsockname())


def dial(backend: Backend, endpoint: Endpoint) -> SocketPeer:
    """A raw peer connected to *endpoint*, whose listener has room in its queue."""
    if isinstance(endpoint, UNIX):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(unix_address(endpoint))
    else:
        assert isinstance(endpoint, TCP)
        sock = socket.create_connection((endpoint.host, endpoint.port))
    return SocketPeer(backend, sock)


def shut_down_listener(endpoint: Endpoint) -> None:
    """Shut the socket down that listens on *endpoint* in this process, behind its owner's back."""

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
    """The socket of this process that *matches*, as another descriptor of the same, or None.

    :param matches: may raise OSError, of a socket that has not what it asks for.
    """
    for name in os.listdir("/dev/fd"):
        try:
            # The list has the descriptor that it was read from, which is closed by now.
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
    """A folder for a unix socket, with a path that is short enough."""
    return tempfile.TemporaryDirectory(prefix="hc")


def open_sockets() -> set[object]:
    """The identity of every socket that this process holds."""
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
