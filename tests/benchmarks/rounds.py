"""One work while it is measured, round by round: its medians and quartiles are what is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .bars import Bar
from .figures import Division, Summary, ratio, summary
from .metric import Figures
from .results import Measured

__all__ = ["Rounds"]


class Rounds:
    """The rounds of one work.

    :param work: its name.
    :param rounds: by server, the figures of each round so far.
    """

    def __init__(self, work: str, rounds: Mapping[str, list[Figures]] | None = None) -> None:
        self._work = work
        self._rounds = dict(rounds or {})
        self._without: dict[str, str] = {}

    def add(self, server: str, figures: Figures) -> None:
        """One more round of *server*."""
        self._rounds.setdefault(server, []).append(figures)

    def drop(self, server: str, why: str) -> None:
        """There are no figures of *server*. The first reason that is given is the one told.

        Rounds that it had before count for nothing without the rest.
        """
        self._without.setdefault(server, why)
        self._rounds.pop(server, None)

    def measured(self, bars: Iterable[Bar]) -> Measured:
        """What they come to.

        :param bars: those of this work tell which ratios are kept: a ratio of two medians is not
            the median of the ratios, and so cannot be made later.
        """
        figures = {server: self._summaries(server) for server in self._rounds}
        ratios: dict[str, dict[str, Summary]] = {}
        for bar in bars:
            division = bar.division(figures) if bar.work == self._work else None
            found = self._ratio(division) if division is not None else None
            if division is not None and found is not None:
                ratios.setdefault(division.server, {})[division.name] = found
        return Measured(figures, ratios, dict(self._without))

    def _summaries(self, server: str) -> dict[str, Summary]:
        metrics = dict.fromkeys(metric for round in self._rounds[server] for metric in round)
        return {metric: summary(self._values(server, metric)) for metric in metrics}

    def _ratio(self, division: Division) -> Summary | None:
        ours = self._values(division.server, division.metric)
        theirs = self._values(division.by_server, division.by_metric)
        # A server that failed in some round has no ratio: which rounds belong together?
        if not ours or len(ours) != len(theirs):
            return None
        return ratio(ours, theirs)

    def _values(self, server: str, metric: str) -> list[float]:
        rounds = self._rounds.get(server, [])
        return [figures[metric] for figures in rounds if metric in figures]
