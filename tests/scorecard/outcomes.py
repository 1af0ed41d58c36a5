"""What can come of one rule in one column."""

from __future__ import annotations

from enum import Enum

__all__ = ["Outcome"]


class Outcome(Enum):
    """The value is its mark in the table; the worst come first."""

    BROKEN = "✗"
    SOMETIMES = "±"
    HIDDEN = "?"
    ABSENT = "○"
    KEPT = "✓"
