"""Tells whether the backend ``memory`` runs in this thread, without importing the backend."""

from __future__ import annotations

import sys

__all__ = ["OCCUPANT", "runs"]

OCCUPANT = "the scheduler of the backend 'memory'"
"""The words for the running scheduler, in messages such as that of `halfclose.run`."""


def runs() -> bool:
    """Whether a scheduler of the backend ``memory`` runs in this thread."""
    scheduler = sys.modules.get("halfclose.memory.scheduler")
    return scheduler is not None and scheduler.running() is not None
