"""Medians, ratios and their spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Ratio", "Summary", "ratio", "summary"]


@dataclass(frozen=True)
class Summary:
    """The rounds of one figure: the median, and the least and the greatest."""

    median: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Ratio:
    """One figure by another: the median of the rounds, and the least and the greatest of them."""

    value: float
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.least:.2f} to {self.greatest:.2f})"


def summary(values: Sequence[float]) -> Summary:
    """What *values* come to.

    :raises ValueError: there are none.
    """
    if not values:
        raise ValueError("there is nothing to sum up")
    return Summary(statistics.median(values), min(values), max(values))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """*ours* by *theirs*, measured in turns: the n-th of the one beside the n-th of the other.

    Not the ratio of the medians: for minutes at a time a machine can be slower by a quarter, and
    then the one median would be of such a time and the other not.

    :raises ValueError: there are none, or not as many of the one as of the other.
    """
    spread = summary([a / b for a, b in zip(ours, theirs, strict=True)])
    return Ratio(spread.median, spread.least, spread.greatest)
