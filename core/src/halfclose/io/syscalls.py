"""What is asked of descriptors, and the socket module has no name for."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import TypeVar

from ..forking import has_forked

__all__ = [
    "NO_SIGNAL",
    "end_is_real",
    "end_stream",
    "let_go",
    "mute",
    "pending_error",
    "reset",
    "set_tcp_option",
    "socket_of",
    "stop_listening",
    "unsent",
    "untaken",
    "without_sigpipe",
]

S = TypeVar("S", bound=socket.socket)

NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)
"""For each send: that nobody is there to receive is an error, and kills no process by SIGPIPE."""

_SO_NOSIGPIPE = 0x1022
"""The same on Darwin, which has it for the whole socket; Python has no name for it."""


def mute(sock: socket.socket) -> None:
    """Have no send on *sock* raise SIGPIPE, where that cannot be said of each send."""
    if not NO_SIGNAL and sys.platform == "darwin":
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_NOSIGPIPE, 1)
        except OSError:
            # Reset already: so it says of every option.
            pass


def without_sigpipe(write: Callable[[bytes | memoryview], int], data: bytes | memoryview) -> int:
    """``write(data)``, to a pipe: where its reader has gone that is an error, and no signal.

    There is no flag for pipes. The signal goes to the thread that writes, so it waits there until
    it is taken; what another thread does meanwhile is not touched. Python ignores the signal from
    its start, and then this costs no call of the system.
    """
    if signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN:
        return write(data)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        # One that waited before is somebody else's.
        theirs = signal.SIGPIPE in signal.sigpending()
        try:
            return write(data)
        except BrokenPipeError:
            if not theirs and signal.SIGPIPE in signal.sigpending():
                signal.sigwait({signal.SIGPIPE})
            raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def socket_of(fd: int, kind: type[S]) -> S:
    """A socket object of the class *kind* that owns *fd*, and waits for nothing.

    The flags of its description stay as they are, whatever `socket.setdefaulttimeout` says: they
    may be shared with another process. So it has to be asked not to block, call by call.

    :raises OSError: *fd* is no socket. It stays the caller's then.
    """
    without_waiting: int = getattr(socket, "SOCK_NONBLOCK", 0)
    if without_waiting:
        # Python then takes it for one that does not block, and looks at no default.
        return kind(-1, socket.SOCK_STREAM | without_waiting, -1, fd)
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    sock = kind(fileno=fd)
    try:
        if sock.gettimeout() is not None:
            sock.settimeout(None)
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
    return sock


def unsent(sock: socket.socket) -> int:
    """Bytes of *sock* that the peer has not acknowledged; 0 where the system cannot tell."""
    return _count(sock.fileno(), termios.TIOCOUTQ)


def untaken(fd: int, *, is_pipe: bool) -> int:
    """Bytes in the pipe, or on their way to the terminal, at *fd*; 0 where it cannot be told."""
    return _count(fd, termios.FIONREAD if is_pipe else termios.TIOCOUTQ)


def _count(fd: int, request: int) -> int:
    try:
        packed = fcntl.ioctl(fd, request, b"\0" * 4)
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", packed)[0])


_FATAL = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT})
"""What a socket reports only if it is lost."""


def pending_error(sock: socket.socket) -> OSError | None:
    """The error that broke *sock*, taken from it.

    Linux also reports here what a router says of a route, "no route to host" for one, of which a
    connection must not die (RFC 1122, 4.2.3.9): it sends again, and mostly gets through.
    """
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if not code or (code not in _FATAL and _is_connected(sock)):
        return None
    return OSError(code, os.strerror(code))


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def end_is_real(error: Exception | None) -> bool:
    """Whether an end of stream that is read after *error* is the peer's own.

    A send that failed has taken the reset out of the socket, which reads as an end of stream from
    then on. Linux says EPIPE where the peer's end of stream came first.

    :param error: what was taken from the socket before, or None.
    """
    return error is None or getattr(error, "errno", None) == errno.EPIPE


def set_tcp_option(sock: socket.socket, level: int, option: int, enabled: bool) -> None:
    """Set a flag of a TCP socket; nothing once it was reset, which the next read tells."""
    try:
        sock.setsockopt(level, option, enabled)
    except OSError:
        pass


def end_stream(sock: socket.socket) -> None:
    """Send the end of stream.

    :raises OSError: the connection was reset; shutdown(2) alone says nothing on a unix socket.
    """
    error = pending_error(sock)
    if error is not None:
        raise error
    sock.shutdown(socket.SHUT_WR)


def reset(sock: socket.socket, *, shared: bool = False) -> None:
    """Have the peer see a reset when *sock* is closed, or where there is none an end.

    close(2) does nothing while a forked child holds a copy of the descriptor: it acts when the last
    is closed. So where this process has forked the peer sees it now. On Linux to disconnect does
    that; elsewhere the reset comes with the last close.
    """
    if sock.family == socket.AF_UNIX:
        if shared or has_forked():
            _shut_down(sock)
    elif not ((shared or has_forked()) and _disconnected(sock)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass


def let_go(sock: socket.socket) -> None:
    """Have the peer see the end of *sock* that close(2) alone would make it see.

    That is a reset where input is unread, as nobody will ever read it, and an end of stream
    otherwise; whichever child holds a copy of the descriptor. To be called before it is closed;
    where this process has never forked, close(2) is enough, and nothing is done.
    """
    if not has_forked():
        return
    try:
        unread = sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        unread = b""
    if unread:
        reset(sock)
    else:
        _shut_down(sock)


def stop_listening(sock: socket.socket) -> None:
    """Close the listening *sock*, so that nobody is accepted any more.

    Where this process has forked, a child may hold a copy for a moment, and the kernel would go
    on accepting; shut down, it does not (Linux; others know no such thing). A socket that was made
    inheritable is another program's to go on with, and only closed.
    """
    if has_forked() and sock.fileno() >= 0 and not sock.get_inheritable():
        _shut_down(sock)
    sock.close()


def _shut_down(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It is not connected, or was reset.
        pass


_ANY_FAMILY = bytes(16)
"""A socket address of no family, AF_UNSPEC: to connect to it is to disconnect."""

_connect: Callable[[int, bytes, int], int] | None = None


def _disconnected(sock: socket.socket) -> bool:
    """Disconnect a TCP socket, by which Linux sends a reset; False where that cannot be done."""
    global _connect
    if sys.platform != "linux":
        return False
    try:
        if _connect is None:
            # Python's own connect has no word for no family.
            import ctypes

            _connect = ctypes.CDLL(None).connect
        return _connect(sock.fileno(), _ANY_FAMILY, len(_ANY_FAMILY)) == 0
    except Exception:
        # A Python without ctypes; or no descriptor is left to load it by, and then the next may.
        return False
