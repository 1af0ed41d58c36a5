"""The few figures that a reader wants first: ours beside the framework's own, on each loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .bars import Versus, native
from .catalogue import OURS
from .results import Run

__all__ = ["HEADLINE", "headline"]

_COLUMNS = (
    ("echo-64", "cpu", "processor time of a message, 64 connections"),
    ("echo-1", "trip", "round trip, one connection"),
    ("connections", "cpu", "processor time of a short connection"),
    ("memory", "memory", "memory of an idle connection"),
)
"""Works, metrics of which less is better, and what to call them."""


def headline(runs: Sequence[Run]) -> Iterator[str]:
    """A table in Markdown: by what our figure is to be multiplied to come to the native one.

    The least and the greatest of the runs, where there is more than one.
    """
    yield "| | " + " | ".join(title for _, _, title in _COLUMNS) + " |"
    yield "| --- " + "| ---: " * len(_COLUMNS) + "|"
    for ours in OURS:
        cells = [_times(runs, _versus(work, metric, ours)) for work, metric, _ in _COLUMNS]
        yield f"| {ours} | " + " | ".join(cells) + " |"


def _versus(work: str, metric: str, ours: str) -> Versus:
    return Versus(work, metric, ours, 1, True, native(work, ours), True)


HEADLINE = tuple(_versus(work, metric, ours) for work, metric, _ in _COLUMNS for ours in OURS)
"""What the table needs, each as a bar that it is good to clear."""


def _times(runs: Sequence[Run], versus: Versus) -> str:
    found = [ratio.median for run in runs if (ratio := versus.measured(run)) is not None]
    if not found:
        return "-"
    least, most = f"{min(found):.1f}", f"{max(found):.1f}"
    return least if least == most else f"{least} to {most}"
