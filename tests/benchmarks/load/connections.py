"""Many connections at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from ..servers.sizes import HOST

__all__ = ["MESSAGE", "connected", "end_all", "greet_all", "opened"]

MESSAGE = bytes(64)

_PATIENCE = 60.0
"""Seconds that one send or read may take, outside what is measured."""


@contextmanager
def opened(port: int, count: int) -> Iterator[list[socket.socket]]:
    """*count* connections, blocking; closed at the end of the block."""
    socks: list[socket.socket] = []
    try:
        for _ in range(count):
            sock = socket.create_connection((HOST, port), _PATIENCE)
            socks.append(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield socks
    finally:
        for sock in socks:
            sock.close()


def greet_all(socks: list[socket.socket]) -> None:
    """Send a message on each and read its echo: each has been served then.

    :raises ConnectionError: there is no whole echo.
    """
    for sock in socks:
        sock.sendall(MESSAGE)
    for sock in socks:
        if sock.recv(len(MESSAGE), socket.MSG_WAITALL) != MESSAGE:
            raise ConnectionError("the echo is not what was sent")


def end_all(socks: list[socket.socket]) -> None:
    """End our half of each and wait until the server has ended its own."""
    for sock in socks:
        sock.shutdown(socket.SHUT_WR)
    for sock in socks:
        if sock.recv(1):
            raise ConnectionError("more came than was asked for")


@contextmanager
def connected(port: int, count: int) -> Iterator[list[socket.socket]]:
    """*count* connections to an echo server, each served once.

    Where the block ends well, the server has closed each: its work on them is over before
    another server is measured.
    """
    with opened(port, count) as socks:
        greet_all(socks)
        yield socks
        end_all(socks)
