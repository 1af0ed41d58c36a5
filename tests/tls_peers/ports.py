"""A port for a program that cannot say which one it has taken."""

from __future__ import annotations

import itertools
import os
import socket

__all__ = ["free_port"]

_EACH = 60
"""How many ports a process has to itself, so that no other one takes a port before its server."""

_numbers = itertools.cycle(range(_EACH))


def free_port() -> int:
    """A port at which nobody listens, below those that Linux gives to whom wants any port."""
    for _ in range(_EACH):
        port = 20_000 + os.getpid() % 200 * _EACH + next(_numbers)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")
