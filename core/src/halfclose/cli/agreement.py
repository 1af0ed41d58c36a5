"""What ``halfclose demo`` claims of each variant, and the marks that show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .ladder import Events, Step, ladder, present

__all__ = ["Agreement", "Claim"]

NOTHING_ELSE = "and nothing else"


class Claim(NamedTuple):
    """One thing that every variant should have done, and which of them did.

    :param step: what was done; None: that nothing else was.
    :param marks: for each variant, whether it did.
    """

    step: Step | None
    marks: list[bool]


class Agreement:
    """The variants beside one that is taken as the example.

    :param reference: what was seen on that one.
    :param seen: what was seen on each, by its name.
    """

    def __init__(self, reference: Events, seen: Mapping[str, Events]) -> None:
        self.names: list[str] = list(seen)
        there = [
            (present(reference.server, events.server), present(reference.client, events.client))
            for events in seen.values()
        ]
        self.claims: list[Claim] = [
            Claim(step, [ends[step.of_client][step.place] for ends in there])
            for step in ladder(reference)
        ]
        complete = [
            sum(map(sum, ends)) == len(events.client) + len(events.server)
            for ends, events in zip(there, seen.values(), strict=True)
        ]
        self.claims.append(Claim(None, complete))

    @property
    def agreeing(self) -> list[str]:
        """The names of the variants of which every claim is true: whose every mark is a tick."""
        return [
            name
            for place, name in enumerate(self.names)
            if all(claim.marks[place] for claim in self.claims)
        ]
