"""What discovery reads. Importing it imports no part of the backend."""

from __future__ import annotations

import sys

from ..hooks import BackendSpec, hookimpl

__all__ = ["OCCUPANT", "halfclose_backends"]

OCCUPANT = "the scheduler of the backend 'memory'"
"""How `halfclose.run` calls what runs."""


def _runs() -> bool:
    scheduler = sys.modules.get("halfclose.memory.scheduler")
    return scheduler is not None and scheduler.running() is not None


def _occupant() -> str | None:
    return OCCUPANT if _runs() else None


@hookimpl
def halfclose_backends() -> list[BackendSpec]:
    """``memory``: never chosen unless it is named, or runs."""
    return [
        BackendSpec(
            "memory",
            "halfclose.memory.backend:MemoryBackend",
            running=_runs,
            # Inside another event loop, both are running: it is the inner one.
            priority=100,
            kinds="halfclose.testing.channels.memory:KINDS",
            automatic=False,
            occupant=_occupant,
        )
    ]
