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


def reset_on_close(sock: socket.socket) -> None:
    """Have a TCP socket send a reset when it is closed, in place of an end of stream."""
    if sock.family != socket.AF_UNIX:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
