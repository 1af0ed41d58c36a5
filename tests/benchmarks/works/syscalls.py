"""System calls per message, as strace counts them; that it slows the server down matters not."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ..catalogue import Server
from ..load.connections import MESSAGE, connected
from ..metric import Figures, Metric
from ..running_server import RunningServer
from .work import Unable, Work

__all__ = ["SystemCalls"]

_CONNECTIONS = 64
_FEW, _MANY = 5, 25
"""Rounds of a message on each connection; what both runs have in common is no message's."""


class SystemCalls(Work):
    """64 messages at a time, one on each of 64 connections."""

    name = "syscalls"
    title = "System calls per echoed message, 64 connections"
    metrics = (Metric("calls", "calls", ""),)
    most_rounds = 1

    @contextmanager
    def prepared(self, server: Server) -> Iterator[None]:
        if shutil.which("strace") is None:
            raise Unable("strace is not installed")
        yield

    def measure(self, server: Server) -> Figures:
        few, many = self._count(server, _FEW), self._count(server, _MANY)
        messages = (_MANY - _FEW) * _CONNECTIONS
        found = {name: (many[name] - few[name]) / messages for name in many}
        return {
            "calls": sum(found.values()),
            **{name: calls for name, calls in sorted(found.items()) if calls > 0.001},
        }

    def _count(self, server: Server, rounds: int) -> Counter[str]:
        with tempfile.NamedTemporaryFile("r") as log:
            strace = ("strace", "-f", "-c", "-o", log.name)
            with (
                RunningServer(server, "echo", self.cores.server, strace) as running,
                connected(running.port, _CONNECTIONS) as socks,
            ):
                for _ in range(rounds):
                    for sock in socks:
                        os.write(sock.fileno(), MESSAGE)
                    for sock in socks:
                        sock.recv(len(MESSAGE))
            # time, seconds, usecs/call, calls, [errors,] name
            rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", log.read(), re.M)
        return Counter({name: int(calls) for calls, name in rows if name != "total"})
