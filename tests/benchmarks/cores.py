"""Which processor core runs what, and how many descriptors a process may have."""

from __future__ import annotations

import os
import resource

__all__ = ["Cores", "pin", "raise_limit"]


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
