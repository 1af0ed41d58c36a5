"""Figures as text, the same in the terminal, in the charts and in the document."""

from __future__ import annotations

import statistics

from .metric import BUSY, LOAD_BUSY
from .results import Measured

__all__ = ["bound_by_generator", "curve_points", "number"]

_BUSY_ENOUGH = 90.0
"""Percent of a core from which on a process is taken to be the bottleneck."""


def number(value: float) -> str:
    """With three digits that tell something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def curve_points(measured: Measured) -> list[str]:
    """The points of a curve, in order."""
    points = {point for rounds in measured.rounds.values() for point in rounds[0]}
    return sorted(points, key=float)


def bound_by_generator(measured: Measured, server: str) -> bool:
    """Whether the generator was the bottleneck, so that the server's speed is not known."""
    load, own = (measured.values(server, name) for name in (LOAD_BUSY.name, BUSY.name))
    if not load or not own:
        return False
    return statistics.median(load) > _BUSY_ENOUGH > statistics.median(own)
