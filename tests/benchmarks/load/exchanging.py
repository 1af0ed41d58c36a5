"""Connect, send one message, end our half, read the reply to its end, close; many side by side."""

from __future__ import annotations

import select
import socket

from ..servers.sizes import HOST
from .connections import MESSAGE
from .round import Round, Stopwatch, undisturbed

__all__ = ["AT_ONCE", "converse"]

AT_ONCE = 64
"""Connections that are open side by side."""


def converse(port: int, count: int) -> Round:
    """*count* connections, one after the other but for `AT_ONCE` that overlap."""
    with select.epoll() as epoll, undisturbed():
        open_now: dict[int, socket.socket] = {}
        try:
            watch = Stopwatch()
            _go_through(epoll, open_now, port, count)
            return watch.stop(count)
        finally:
            for sock in open_now.values():
                sock.close()


def _go_through(
    epoll: select.epoll, open_now: dict[int, socket.socket], port: int, count: int
) -> None:
    def begin() -> None:
        sock = socket.socket()
        fd = sock.fileno()
        open_now[fd] = sock
        sock.connect((HOST, port))
        sock.send(MESSAGE)
        sock.shutdown(socket.SHUT_WR)
        epoll.register(fd, select.EPOLLIN)

    replied: set[int] = set()
    begun = min(count, AT_ONCE)
    for _ in range(begun):
        begin()
    while open_now:
        for fd, _ in epoll.poll():
            data = open_now[fd].recv(65536)
            if data:
                replied.add(fd)
                continue
            if fd not in replied:
                raise ConnectionError("the server closed the connection without a reply")
            replied.discard(fd)
            open_now.pop(fd).close()
            if begun < count:
                begun += 1
                begin()
