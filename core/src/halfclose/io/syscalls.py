"""System calls on sockets and pipes for which Python's socket module has no function."""

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
"""A flag for each send: a peer that is gone is an error then, and sends us no SIGPIPE."""

_SO_NOSIGPIPE = 0x1022
"""Darwin's option for the same, which is set once for the whole socket; Python does not name it."""


def mute(sock: socket.socket) -> None:
    """Keep every send on *sock* from raising SIGPIPE, on platforms without a flag for each send."""
    if not NO_SIGNAL and sys.platform == "darwin":
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_NOSIGPIPE, 1)
        except OSError:
            # The connection was reset already, and then no option can be set.
            pass


def without_sigpipe(write: Callable[[bytes | memoryview], int], data: bytes | memoryview) -> int:
    """Write to a pipe, and if its reader is gone have that as an error without SIGPIPE.

    Pipes have no flag for that. The system sends the signal to the thread that writes, so this
    blocks it in that thread, and takes it away before it unblocks it; other threads are not
    touched. Python ignores SIGPIPE unless a program changes that, and then no system call is made.

    :param write: writes *data* and returns how many bytes it took.
    :raises BrokenPipeError: nobody reads the pipe any more.
    """
    if signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN:
        return write(data)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        # A signal that was pending before is not ours to take.
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
    """A socket object that owns *fd* and has no timeout.

    The file description may be shared with another process, so its flags stay as they are, whatever
    `socket.setdefaulttimeout` says. The socket may therefore block: ask it not to in each call, by
    MSG_DONTWAIT.

    :param kind: the class of the object.
    :raises OSError: *fd* is no socket; it still belongs to the caller then.
    """
    without_waiting: int = getattr(socket, "SOCK_NONBLOCK", 0)
    if without_waiting:
        # Given this flag, Python takes the socket for a non-blocking one and sets no timeout.
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
    """How many sent bytes the peer has not acknowledged; 0 where the system cannot tell."""
    return _count(sock.fileno(), termios.TIOCOUTQ)


def untaken(fd: int, *, is_pipe: bool) -> int:
    """How many written bytes nobody has taken from the pipe or terminal at *fd* yet; 0 where the
    system cannot tell."""
    return _count(fd, termios.FIONREAD if is_pipe else termios.TIOCOUTQ)


def _count(fd: int, request: int) -> int:
    try:
        packed = fcntl.ioctl(fd, request, b"\0" * 4)
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", packed)[0])


_FATAL = frozenset({errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT})
"""Errors that a socket reports only if its connection is lost."""


def pending_error(sock: socket.socket) -> OSError | None:
    """Take the error that broke *sock* from it; None if nothing has.

    Linux also reports here what a router says, such as "no route to host". A connection must not
    end because of that (RFC 1122, 4.2.3.9): the system sends again, and mostly gets through.
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
    """Whether an end of stream that is read after *error* really came from the peer.

    A failed send takes the reset out of the socket. From then on reading gives an end of stream
    that the peer never sent. Only if the send failed with EPIPE had the peer's own end of stream
    come first, on Linux.

    :param error: the error that was taken from the socket before, or None if there was none.
    """
    return error is None or getattr(error, "errno", None) == errno.EPIPE


def set_tcp_option(sock: socket.socket, level: int, option: int, enabled: bool) -> None:
    """Set an option of a TCP socket. Does nothing if it was reset: the next read tells of that."""
    try:
        sock.setsockopt(level, option, enabled)
    except OSError:
        pass


def end_stream(sock: socket.socket) -> None:
    """Send our end of stream.

    :raises OSError: the connection was reset. This asks for that first, because shutdown(2) on a
        unix socket does not tell (FLU-11), and the end must not count as sent then (ERR-07).
    """
    error = pending_error(sock)
    if error is not None:
        raise error
    sock.shutdown(socket.SHUT_WR)


def reset(sock: socket.socket, *, shared: bool = False) -> None:
    """Make closing *sock* a reset for the peer; on a unix socket, which has no resets, an end.

    So the peer of a connection that is aborted knows that it has not got everything (ERR-06,
    FLU-05).

    close(2) acts only when the last copy of a descriptor is closed, and a forked child may hold
    one. So if this process has forked, the connection is reset at once, which Linux does when a
    socket is disconnected. Other systems send the reset when the last copy is closed.

    :param shared: whether another process may hold a copy, although this one has not forked.
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
    """Show the peer the end of *sock*, although a forked child may hold a copy of it.

    To be called before *sock* is closed. The peer sees what close(2) alone would show it if there
    were no copy: a reset if input is unread, which nobody will read any more, and an end of stream
    otherwise. Does nothing if this process has never forked, for then close(2) is enough.
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
    """Close the listening *sock*, so that the kernel accepts nobody any more.

    If this process has forked, a child may hold a copy for a moment, for which the kernel would go
    on accepting. So the socket is shut down first, which stops that on Linux; other systems have no
    such means. A socket that was made inheritable may serve another program: it is only closed.
    """
    if has_forked() and sock.fileno() >= 0 and not sock.get_inheritable():
        _shut_down(sock)
    sock.close()


def _shut_down(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It is not connected, or the connection was reset.
        pass


_ANY_FAMILY = bytes(16)
"""An address of the family AF_UNSPEC: connect(2) to it disconnects a socket."""

_connect: Callable[[int, bytes, int], int] | None = None


def _disconnected(sock: socket.socket) -> bool:
    """Disconnect a TCP socket, for which Linux sends a reset.

    :returns: False if that cannot be done here.
    """
    global _connect
    if sys.platform != "linux":
        return False
    try:
        if _connect is None:
            # Python's own connect takes no address of AF_UNSPEC.
            import ctypes

            _connect = ctypes.CDLL(None).connect
        return _connect(sock.fileno(), _ANY_FAMILY, len(_ANY_FAMILY)) == 0
    except Exception:
        # This Python has no ctypes; or no descriptor was left to load it, but one may be next time.
        return False
