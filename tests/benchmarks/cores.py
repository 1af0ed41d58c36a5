"""Which processor core runs what, and how many descriptors a process may have."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["Cores", "crowded", "pin", "raise_limit"]


class Cores:
    """One core for the server and another for the load generator, where there are two."""

    def __init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        two = len(cores) > 1
        self.server: int | None = cores[0] if two else None
        self.load: int | None = cores[1] if two else None

    def __str__(self) -> str:
        if self.server is None:
            return "one, for both"
        return f"{self.server} for the server, {self.load} for the load generator"


def pin(core: int | None) -> None:
    """Run this process on *core* only; None: wherever the system likes."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def raise_limit() -> int:
    """Allow this process as many descriptors as it may have, and say how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


_SPIN = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
print(flush=True)
while True:
    pass
"""


@contextmanager
def crowded(cores: Cores) -> Iterator[None]:
    """Leave the server a quarter of its core, so that the generator is the faster one."""
    with ExitStack() as stack:
        for _ in range(0 if cores.server is None else _CROWD):
            spin = [sys.executable, "-c", _SPIN, str(cores.server)]
            process = stack.enter_context(subprocess.Popen(spin, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
        yield


_CROWD = 3
"""Processes that want the server's core as much as the server."""
