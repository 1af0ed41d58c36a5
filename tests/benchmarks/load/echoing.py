"""Small messages over many connections, each of which has one message under way at any time."""

from __future__ import annotations

import os
import select
import socket
import time

from .connections import MESSAGE
from .round import Round, Stopwatch, undisturbed

__all__ = ["echo"]

_NS = 1_000_000_000


def echo(socks: list[socket.socket], seconds: float) -> Round:
    """Keep every connection busy for so long."""
    with undisturbed():
        return _one(socks[0], seconds) if len(socks) == 1 else _many(socks, seconds)


def _one(sock: socket.socket, seconds: float) -> Round:
    # A socket with a timeout would poll before each call.
    sock.settimeout(None)
    send, receive, now, size = sock.send, sock.recv, time.perf_counter_ns, len(MESSAGE)
    trips: list[int] = []
    watch = Stopwatch()
    before = now()
    end = before + int(seconds * _NS)
    while before < end:
        send(MESSAGE)
        if len(receive(size)) != size:
            raise ConnectionError("the echo is cut")
        after = now()
        trips.append(after - before)
        before = after
    return watch.stop(len(trips), tuple(trips))


def _many(socks: list[socket.socket], seconds: float) -> Round:
    read, write, now, size, room = os.read, os.write, time.perf_counter, len(MESSAGE), len(socks)
    fds = [sock.fileno() for sock in socks]
    with select.epoll() as epoll:
        for fd in fds:
            epoll.register(fd, select.EPOLLIN)
        poll = epoll.poll
        count = 0
        watch = Stopwatch()
        end = now() + seconds
        for fd in fds:
            write(fd, MESSAGE)
        while now() < end:
            ready = poll(-1, room)
            for fd, _ in ready:
                if len(read(fd, 65536)) != size:
                    raise ConnectionError("the echo is cut")
                write(fd, MESSAGE)
            count += len(ready)
        left = len(fds)
        while left:
            ready = poll(-1, room)
            for fd, _ in ready:
                left -= len(read(fd, 65536)) == size
        return watch.stop(count + len(fds))
