"""(d) short half-closed connections by the second, and (f) half-closed exchanges end to end."""

from __future__ import annotations

import json
import subprocess

from ..catalogue import Server
from ..load.exchanging import converse
from ..metric import BUSY, CPU, LOAD_BUSY, Figures, Metric
from ..running_server import HERE, BenchmarkError, RunningServer, python
from .work import Serving, busy

__all__ = ["Connections", "Exchanges"]


class Connections(Serving):
    """Connect, one message, half-close, reply, close; 64 side by side, from plain sockets."""

    name = "connections"
    title = "Connect, one message, half-close, reply, close"
    metrics = (
        Metric("rate", "connections/s", "/s", more_is_better=True),
        CPU,
        BUSY,
        LOAD_BUSY,
    )
    more_rounds = 5
    service = "reply"
    connections = 64

    def warm_up(self, running: RunningServer) -> None:
        converse(running.port, self.scale.connections // 4)

    def round(self, running: RunningServer) -> Figures:
        before = running.cpu()
        round = converse(running.port, self.scale.connections)
        cpu = running.cpu() - before
        return {
            "rate": round.count / round.seconds,
            CPU.name: 1e6 * cpu / round.count,
            **busy(round, cpu),
        }


_REQUEST = 16 * 1024

_PATIENCE = 60.0


class Exchanges(Serving):
    """Both ends are the framework's: 16 KiB, half-close, 16 KiB back, close; one by one."""

    name = "exchange"
    title = "A half-closed exchange end to end, both ends on the same framework"
    metrics = (
        Metric("time", "an exchange", "µs"),
        CPU,
        Metric("client_cpu", "client CPU", "µs"),
    )
    most_rounds = 3
    service = "reply"

    def warm_up(self, running: RunningServer) -> None:
        """Each round's client does so itself."""

    def round(self, running: RunningServer) -> Figures:
        count = self.scale.connections // 2
        before = running.cpu()
        client = self._run(running.server, running.port, count)
        cpu = running.cpu() - before
        return {
            "time": 1e6 * client["seconds"] / count,
            CPU.name: 1e6 * cpu / count,
            "client_cpu": 1e6 * client["cpu"] / count,
        }

    def _run(self, server: Server, port: int, count: int) -> Figures:
        where = [] if self.cores.load is None else ["--core", str(self.cores.load)]
        command = python(
            *("-m", "benchmarks.servers", *where, "exchange"),
            *(server.name, str(port), str(count), str(_REQUEST)),
        )
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=_PATIENCE)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:]
            raise BenchmarkError(" ".join([f"the client of {server.name} failed", *last]))
        figures: Figures = json.loads(done.stdout)
        return figures
