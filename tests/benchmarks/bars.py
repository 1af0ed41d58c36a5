"""The bars that halfclose has to clear, as data, and whether it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .catalogue import FLOOR, OURS
from .figures import Division, Summary
from .results import Measured, Run

__all__ = ["BARS", "Bar", "Growth", "Most", "Versus", "native"]


@dataclass(frozen=True)
class Bar:
    """One bar.

    :param work: the work's name.
    :param metric: the figure's name.
    :param ours: whose figure.
    :param limit: the least or the most that the ratio may be.
    :param at_least: the ratio is to be no less; otherwise no more.
    """

    work: str
    metric: str
    ours: str
    limit: float
    at_least: bool = False

    @property
    def servers(self) -> set[str]:
        """Whose figures it needs."""
        return {self.ours}

    @property
    def claim(self) -> str:
        """What is to hold, for the table."""
        return f"{self.versus} {'>=' if self.at_least else '<='} {self.limit:g}"

    @property
    def versus(self) -> str:
        """What the figure is divided by, in words."""
        raise NotImplementedError

    def division(self, figures: Mapping[str, Mapping[str, Summary]]) -> Division | None:
        """What is divided by what; None where the bar is for a figure itself.

        :param figures: what was measured, by server and by the metric's name.
        """
        return None

    def measured(self, run: Run) -> Summary | None:
        """The ratio, or the figure, in one run; None if it was not measured."""
        work = run.works.get(self.work)
        return None if work is None else self._measured(work)

    def _measured(self, work: Measured) -> Summary | None:
        division = self.division(work.figures)
        return None if division is None else work.ratio(division)

    def held(self, run: Run) -> bool:
        """Whether the bar was cleared; not if it was not measured."""
        found = self.measured(run)
        if found is None:
            return False
        return found.median >= self.limit if self.at_least else found.median <= self.limit


@dataclass(frozen=True)
class Versus(Bar):
    """Ours by a peer's, or for a time the other way round where the bar is one of speed.

    :param peer: whose figure ours is divided by.
    :param inverted: divide the peer's by ours.
    """

    peer: str = FLOOR
    inverted: bool = False

    @property
    def servers(self) -> set[str]:
        return {self.ours, self.peer}

    @property
    def versus(self) -> str:
        return f"by {self.peer}" if not self.inverted else f"{self.peer} by it"

    def division(self, figures: Mapping[str, Mapping[str, Summary]]) -> Division:
        if self.inverted:
            return Division(self.peer, self.metric, self.ours, self.metric)
        return Division(self.ours, self.metric, self.peer, self.metric)


@dataclass(frozen=True)
class Growth(Bar):
    """The unit cost at the last point of a curve, by that at its first (or a bound for itself).

    :param absolute: the bound is for the figure at the last point.
    """

    absolute: bool = False

    @property
    def versus(self) -> str:
        return "at the last point" if self.absolute else "last point by first"

    def division(self, figures: Mapping[str, Mapping[str, Summary]]) -> Division | None:
        if self.absolute or not figures.get(self.ours):
            return None
        first, *_, last = sorted(figures[self.ours], key=float)
        return Division(self.ours, last, self.ours, first)

    def _measured(self, work: Measured) -> Summary | None:
        if not self.absolute or not work.figures.get(self.ours):
            return super()._measured(work)
        return work.figure(self.ours, max(work.figures[self.ours], key=float))


@dataclass(frozen=True)
class Most(Bar):
    """The figure itself, in its own unit."""

    @property
    def versus(self) -> str:
        return "itself"

    def _measured(self, work: Measured) -> Summary | None:
        return work.figure(self.ours, self.metric)


def native(work: str, ours: str) -> str:
    """The framework's own server on the same loop, or on the most like it that can do the work."""
    if (work, ours) == ("memory", "twisted+select"):
        # The select reactor itself holds no 10,000; poll's is the most like it that does.
        return "twisted-poll"
    return ours.replace("+", "-")


def _cpu() -> Iterator[Bar]:
    def at_most(ours: str, peer: str, limit: float) -> Bar:
        return Versus("echo-64", "cpu", ours, limit, peer=peer)

    yield at_most("anyio+asyncio", "anyio-asyncio", 0.25)
    yield at_most("anyio+asyncio", "asyncio", 1.15)
    yield at_most("anyio+uvloop", "anyio-uvloop", 0.40)
    yield at_most("anyio+uvloop", "uvloop", 1.3)
    yield at_most("anyio+trio", "trio", 0.45)
    for ours in OURS:
        if ours.startswith("twisted"):
            yield at_most(ours, native("echo-64", ours), 0.60)
    yield at_most("twisted+epoll:native", "twisted-epoll", 0.75)
    for ours in OURS:
        yield at_most(ours, FLOOR, 1.6)


def _core() -> Iterator[Bar]:
    for ours in OURS:
        yield Most("core", "added", ours, 0.5)


def _speed() -> Iterator[Bar]:
    works = (
        ("echo-1", "trip"),
        # Where the generator is no faster than a server, throughput is the generator's.
        ("bulk-echo", "capacity"),
        ("bulk-in", "capacity"),
        ("bulk-out", "throughput"),
    )
    for work, metric in works:
        # A time is inverted, so that the bar is one of speed either way.
        inverted = metric == "trip"
        for ours in OURS:
            yield Versus(work, metric, ours, 0.95, True, native(work, ours), inverted)
        yield Versus(work, metric, "anyio+uvloop", 0.85, True, "uvloop", inverted)


def _connections() -> Iterator[Bar]:
    for ours in OURS:
        yield Versus("connections", "rate", ours, 1.0, True, native("connections", ours))
    for ours in OURS:
        yield Versus("memory", "memory", ours, 1.0, False, native("memory", ours))


def _growth() -> Iterator[Bar]:
    for ours in OURS:
        yield Growth("idle-beside-busy", "cpu", ours, 1.1)
    for ours in OURS:
        yield Growth("small-pieces", "cpu", ours, 1.3)
    # Five times as many would cost five times as much each if it were quadratic. They are more
    # than the caches hold, and than linger at a time.
    for work in ("close-by-peers", "close-by-us"):
        for ours in OURS:
            yield Growth(work, "cpu", ours, 1.5)
    for ours in OURS:
        yield Growth("stalled-reader", "memory", ours, 4.0, absolute=True)


def _all() -> Iterable[Bar]:
    yield from _cpu()
    yield from _core()
    yield from _speed()
    yield from _connections()
    yield from _growth()


BARS = tuple(_all())
