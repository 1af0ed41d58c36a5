"""Questions to a connected socket that the socket module has no name for."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios

__all__ = [
    "end_is_real",
    "end_stream",
    "pending_error",
    "reset_on_close",
    "set_tcp_option",
    "unsent",
]


def unsent(sock: socket.socket) -> int:
    """Bytes of *sock* that the peer has not acknowledged; 0 where the system cannot tell."""
    try:
        packed = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    except (OSError, ValueError):
        return 0
    return int(struct.unpack("i", packed)[0])


def pending_error(sock: socket.socket) -> OSError | None:
    """The error that *sock* has to report, taken from it."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return OSError(code, os.strerror(code)) if code else None


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


def reset_on_close(sock: socket.socket) -> None:
    """Have a TCP socket send a reset when it is closed, in place of an end of stream."""
    if sock.family != socket.AF_UNIX:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
