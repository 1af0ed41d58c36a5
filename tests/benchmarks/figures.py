"""Medians, ratios and their spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Division", "Summary", "ratio", "summary"]


@dataclass(frozen=True)
class Summary:
    """What the rounds come to: the median, and between what the middle half of them is."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Division:
    """One figure of one server, divided by another figure, or by another server's."""

    server: str
    metric: str
    by_server: str
    by_metric: str

    @property
    def name(self) -> str:
        """What is divided by what, where the server is known already."""
        return f"{self.metric} by {self.by_server}'s {self.by_metric}"


def summary(values: Sequence[float]) -> Summary:
    """What *values* come to.

    :raises ValueError: there are none.
    """
    if not values:
        raise ValueError("there is nothing to sum up")
    if len(values) == 1:
        return Summary(values[0], values[0], values[0])
    return Summary(*statistics.quantiles(values, n=4, method="inclusive"))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Summary:
    """*ours* by *theirs*, measured in turns: the n-th of the one beside the n-th of the other.

    Not the ratio of the medians: for minutes at a time a machine can be slower by a quarter, and
    then the one median would be of such a time and the other not.

    :raises ValueError: there are none, or not as many of the one as of the other.
    """
    return summary([a / b for a, b in zip(ours, theirs, strict=True)])
