"""Questions to a connected socket that the socket module has no name for."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios

__all__ = ["end_stream", "pending_error", "reset_on_close", "unsent"]


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
