"""The few figures that a reader wants first: ours beside the framework's own, on each loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .bars import Versus, native
from .catalogue import OURS
from .results import Run

__all__ = ["HEADLINE", "by_loop", "headline"]

_COLUMNS = (
    ("echo-64", "cpu", "processor time of a message, 64 connections"),
    ("echo-1", "trip", "round trip, one connection"),
    ("connections", "cpu", "processor time of a short connection"),
    ("memory", "memory", "memory of an idle connection"),
)
"""Works, metrics of which less is better, and what to call them."""


def headline(runs: Sequence[Run]) -> Iterator[str]:
    """Four numbers for the README: the least and the greatest of what `by_loop` has."""
    yield "| a server written by hand takes | times as much |"
    yield "| --- | ---: |"
    for work, metric, title in _COLUMNS:
        found = [ratio for ours in OURS for ratio in _ratios(runs, _versus(work, metric, ours))]
        yield f"| {title} | {_between(found)} |"


def by_loop(runs: Sequence[Run]) -> Iterator[str]:
    """A table in Markdown: by what our figure is to be multiplied to come to the native one.

    The least and the greatest of the runs, where there is more than one.
    """
    yield "| | " + " | ".join(title for _, _, title in _COLUMNS) + " |"
    yield "| --- " + "| ---: " * len(_COLUMNS) + "|"
    for ours in OURS:
        cells = [
            _between(_ratios(runs, _versus(work, metric, ours))) for work, metric, _ in _COLUMNS
        ]
        yield f"| {ours} | " + " | ".join(cells) + " |"


def _versus(work: str, metric: str, ours: str) -> Versus:
    return Versus(work, metric, ours, 1, True, native(work, ours), True)


HEADLINE = tuple(_versus(work, metric, ours) for work, metric, _ in _COLUMNS for ours in OURS)
"""What the table needs, each as a bar that it is good to clear."""


def _ratios(runs: Sequence[Run], versus: Versus) -> list[float]:
    return [ratio.median for run in runs if (ratio := versus.measured(run)) is not None]


def _between(ratios: Sequence[float]) -> str:
    if not ratios:
        return "-"
    least, most = f"{min(ratios):.1f}", f"{max(ratios):.1f}"
    return least if least == most else f"{least} to {most}"
