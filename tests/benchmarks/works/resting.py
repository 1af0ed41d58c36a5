"""(e) the memory of an idle connection, and (g) the time that an import takes."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from ..catalogue import Server
from ..cores import raise_limit
from ..load.connections import greet_all, opened
from ..metric import Figures, Metric
from ..running_server import RunningServer, python
from .work import Unable, Work, check_room

__all__ = ["Imports", "Memory"]

_OTHER_DESCRIPTORS = 100
"""That a process has beside its connections."""


class Memory(Work):
    """What the server's memory grows by, divided by the connections; each was served once."""

    name = "memory"
    title = "Memory per idle connection"
    metrics = (Metric("memory", "per connection", "B"),)
    most_rounds = 1

    def measure(self, server: Server) -> Figures:
        count = self.scale.idle
        check_room(server, count)
        if raise_limit() < count + _OTHER_DESCRIPTORS:
            raise Unable(f"this system allows no {count} descriptors")
        with (
            RunningServer(server, "echo", self.cores.server) as running,
            opened(running.port, 10) as warm,
        ):
            greet_all(warm)
            before = running.memory()
            with opened(running.port, count) as socks:
                greet_all(socks)
                after = running.memory()
                # The server first, since the end of so many is not what is measured here.
                running.close()
        return {"memory": (after - before) / count}


_TIMED = """
import time
begun = time.perf_counter()
{statement}
print(time.perf_counter() - begun)
"""


class Imports(Work):
    """The time to import what a server needs, in a fresh interpreter that finds it compiled.

    Where that comes in part when a loop first runs, one is run. Of ours also what a library takes
    that depends on the core, and leaves the backend to its users.
    """

    name = "import"
    title = "Import time"
    metrics = (
        Metric("time", "import", "ms"),
        Metric("core", "halfclose alone", "ms", documented=True),
    )
    most_rounds = 3

    @contextmanager
    def begun(self) -> Iterator[None]:
        # Of its own, since where no byte code is kept, to compile would be most of the time.
        with tempfile.TemporaryDirectory() as compiled:
            self._environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
            self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
            yield

    @contextmanager
    def prepared(self, server: Server) -> Iterator[None]:
        self.measure(server)
        yield

    def measure(self, server: Server) -> Figures:
        figures = {"time": self._milliseconds(server.imports)}
        if server.ours:
            figures["core"] = self._milliseconds("import halfclose")
        return figures

    def _milliseconds(self, statement: str) -> float:
        done = subprocess.run(
            python("-c", _TIMED.format(statement=statement)),
            capture_output=True,
            text=True,
            check=True,
            env=self._environment,
        )
        return 1000 * float(done.stdout)
