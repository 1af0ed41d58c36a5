"""Whether the backend ``memory`` runs in this thread, told without importing it."""

from __future__ import annotations

import sys

__all__ = ["OCCUPANT", "runs"]

OCCUPANT = "the scheduler of the backend 'memory'"
"""How `halfclose.run` calls what runs."""


def runs() -> bool:
    """Whether its scheduler runs in this thread."""
    scheduler = sys.modules.get("halfclose.memory.scheduler")
    return scheduler is not None and scheduler.running() is not None
