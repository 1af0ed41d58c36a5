"""Which processor core runs what, and how many descriptors a process may have."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["Cores", "awake", "crowded", "pin", "raise_limit"]


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
if sys.argv[2:]:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
print(flush=True)
while True:
    pass
"""


@contextmanager
def _spinning(*commands: list[str]) -> Iterator[None]:
    with ExitStack() as stack:
        for command in commands:
            spin = [sys.executable, "-c", _SPIN, *command]
            process = stack.enter_context(subprocess.Popen(spin, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
        yield


@contextmanager
def awake(cores: Cores) -> Iterator[None]:
    """Keep both cores from sleeping, by processes that run only where nothing else would.

    A core that sleeps between two messages takes as long to wake as the message takes, and longer
    for a server that was done sooner.
    """
    both = [core for core in (cores.server, cores.load) if core is not None]
    with _spinning(*([str(core), "idle"] for core in both)):
        yield


@contextmanager
def crowded(cores: Cores) -> Iterator[None]:
    """Leave the server a quarter of its core, so that the generator is the faster one."""
    with _spinning(*([[str(cores.server)]] * (0 if cores.server is None else _CROWD))):
        yield


_CROWD = 3
"""Processes that want the server's core as much as the server."""
