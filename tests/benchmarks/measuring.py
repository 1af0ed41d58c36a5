"""Runs works on servers: in turns, A B C A B C, so that what changes meanwhile changes for all,
and those on the same loop one after another, since a machine is another one within a second.

A curve compares a server with itself: its points are what is measured in turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Protocol as Interface

from .bars import BARS
from .catalogue import OURS, Server
from .headline import HEADLINE
from .results import Measured
from .rounds import Rounds
from .works.work import Unable, Work

__all__ = ["Advance", "measure", "rounds_of", "steps"]


class Advance(Interface):
    """Told what is being done now."""

    def __call__(self, what: str, steps: int) -> None:
        """:param what: in words. :param steps: how many of `steps` are done with it."""


def rounds_of(work: Work, rounds: int) -> int:
    """How many rounds *work* is measured for."""
    return min(rounds * work.more_rounds, work.most_rounds or rounds * work.more_rounds)


def _taking_part(work: Work, servers: Sequence[Server]) -> list[Server]:
    some = [server for server in servers if server.name in OURS or not work.ours_only]
    loops = list(dict.fromkeys(server.loop for server in some))
    return sorted(some, key=lambda server: loops.index(server.loop))


def steps(works: Sequence[Work], servers: Sequence[Server], rounds: int) -> int:
    """How many rounds of one server there are in a run."""
    return sum(len(_taking_part(work, servers)) * rounds_of(work, rounds) for work in works)


def measure(
    works: Sequence[Work], servers: Sequence[Server], rounds: int, advance: Advance
) -> Iterator[tuple[str, Measured]]:
    """One run, work by work, each by its name. What goes wrong with one server at one work costs
    that one figure, or at the end of a work the figures of that work, and is told."""
    for work in works:
        yield work.name, _measure_one(work, servers, rounds, advance)


def _measure_one(work: Work, servers: Sequence[Server], rounds: int, advance: Advance) -> Measured:
    found = Rounds(work.name)
    taking_part = _taking_part(work, servers)
    with work.begun():
        for group in [taking_part] if work.in_turns else [[server] for server in taking_part]:
            try:
                _measure_group(work, group, rounds_of(work, rounds), found, advance)
            except Exception as error:
                # What was measured came before; but what a server leaves behind may be in the way.
                for server in group:
                    found.drop(server.name, _why(error))
    return found.measured([*BARS, *HEADLINE])


def _measure_group(
    work: Work, servers: Sequence[Server], total: int, found: Rounds, advance: Advance
) -> None:
    """Measure *servers* in turns, a round of each and again from the first, and note it."""
    with ExitStack() as stack:
        ready = []
        for server in servers:
            advance(f"{work.name}: {server.name} starts", 0)
            why = _begin(work, server, stack)
            if why is None:
                ready.append(server)
            else:
                found.drop(server.name, why)
                advance(f"{work.name}: {server.name} cannot", total)
        for number in range(1, total + 1):
            for server in list(ready):
                advance(f"{work.name}: {server.name}, round {number} of {total}", 0)
                try:
                    figures = work.measure(server)
                except Exception as error:
                    found.drop(server.name, _why(error))
                    ready.remove(server)
                    advance(f"{work.name}: {server.name} failed", total + 1 - number)
                else:
                    found.add(server.name, figures)
                    advance(f"{work.name}: {server.name}", 1)


def _begin(work: Work, server: Server, stack: ExitStack) -> str | None:
    """Prepare *server*; or say why that cannot be."""
    if server.missing:
        return f"{server.missing} is not installed"
    try:
        stack.enter_context(work.prepared(server))
    except Exception as error:
        return _why(error)
    return None


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, Unable) else f"failed: {type(error).__name__}: {error}"
