"""Many bytes over one connection.

The generator must not be what limits them: it sends a file that is in memory with sendfile(2), and
has the kernel discard what it receives (MSG_TRUNC), so that it copies nothing.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..servers.sizes import HOST
from .round import Round, Stopwatch, undisturbed

__all__ = ["back_and_forth", "receive_all", "send_all"]

_STEP = 1 << 20


def _discard(sock: socket.socket, buffer: bytearray) -> int:
    return sock.recv_into(buffer, _STEP, socket.MSG_TRUNC)


@contextmanager
def _zeros() -> Iterator[int]:
    """A file of `_STEP` bytes in memory."""
    fd = os.memfd_create("zeros")
    try:
        os.truncate(fd, _STEP)
        yield fd
    finally:
        os.close(fd)


def back_and_forth(sock: socket.socket, size: int) -> Round:
    """Send *size* bytes to an echo and receive them meanwhile."""
    buffer = bytearray(_STEP)
    with _zeros() as zeros, select.epoll() as epoll, undisturbed():
        sock.setblocking(False)
        fd = sock.fileno()
        epoll.register(fd, select.EPOLLIN | select.EPOLLOUT)
        watch = Stopwatch()
        sent = received = 0
        while received < size:
            for _, ready in epoll.poll():
                if ready & select.EPOLLOUT:
                    sent += os.sendfile(fd, zeros, 0, min(_STEP, size - sent))
                    if sent == size:
                        epoll.modify(fd, select.EPOLLIN)
                if ready & select.EPOLLIN:
                    received += _count(_discard(sock, buffer))
        return watch.stop(size)


def _count(received: int) -> int:
    if not received:
        raise ConnectionError("the server closed the connection too early")
    return received


def send_all(port: int, size: int) -> Round:
    """Send *size* bytes, end our half, and wait until the server has ended its own."""
    with _zeros() as zeros, socket.create_connection((HOST, port)) as sock, undisturbed():
        watch = Stopwatch()
        left = size
        while left:
            left -= os.sendfile(sock.fileno(), zeros, 0, min(_STEP, left))
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)
        return watch.stop(size)


def receive_all(port: int, size: int, before: Callable[[], object] = lambda: None) -> Round:
    """Ask for *size* bytes and receive them, to the end of stream.

    :param before: what is done after they were asked for and before any is received.
    """
    buffer = bytearray(_STEP)
    with socket.create_connection((HOST, port)) as sock, undisturbed():
        watch = Stopwatch()
        sock.sendall(str(size).encode())
        before()
        received = 0
        while count := _discard(sock, buffer):
            received += count
        if received != size:
            raise ConnectionError(f"{received} bytes came where {size} were asked for")
        return watch.stop(size)
