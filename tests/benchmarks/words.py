"""Figures as text, the same in the terminal, in the charts and in the document."""

from __future__ import annotations

from .figures import Summary
from .metric import BUSY, LOAD_BUSY
from .results import Measured

__all__ = ["bound_by_generator", "curve_points", "number", "with_quartiles"]

_BUSY_ENOUGH = 90.0
"""Percent of a core from which on a process is taken to be the bottleneck."""


def number(value: float) -> str:
    """With three digits that tell something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def with_quartiles(ratio: Summary) -> str:
    """A ratio, and between what the middle half of the rounds is."""
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def curve_points(measured: Measured) -> list[str]:
    """The points of a curve, in order."""
    points = {point for figures in measured.figures.values() for point in figures}
    return sorted(points, key=float)


def bound_by_generator(measured: Measured, server: str) -> bool:
    """Whether the generator was the bottleneck, so that the server's speed is not known."""
    load, own = measured.figure(server, LOAD_BUSY.name), measured.figure(server, BUSY.name)
    if load is None or own is None:
        return False
    return load.median > _BUSY_ENOUGH > own.median
