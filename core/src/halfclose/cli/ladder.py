"""Puts what both ends of a connection did and saw into one order that does not depend on chance.

When each end does something at the same time, it is chance which comes first. But nothing is
received before it is sent. So the order is made from this alone, and from the order at each end.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

__all__ = ["Entry", "Events", "Step", "ladder", "present"]

_NEEDS = {
    "connectionMade": {"connectionMade"},
    "dataReceived": {"write"},
    "readConnectionLost": {"loseWriteConnection", "loseConnection"},
}
"""For each event, what the other end must have done or seen before: one of these."""


class Entry(NamedTuple):
    """An event of a protocol, or with *verb* a call that it made to its transport."""

    name: str
    detail: str = ""
    verb: bool = False

    def __str__(self) -> str:
        return f"  {self.name}({self.detail})" if self.verb else f"{self.name} {self.detail}"


class Events(NamedTuple):
    """The entries of each end of one connection, each in its own order."""

    client: tuple[Entry, ...]
    server: tuple[Entry, ...]


class Step(NamedTuple):
    """One line of the ladder: an entry of the client or of the server.

    *place* is its index among the entries of that end.
    """

    of_client: bool
    place: int
    entry: Entry


def ladder(events: Events) -> list[Step]:
    """Put *events* into one order.

    The client begins, and each end goes on until its next event needs something from the other.
    """
    ends = {True: list(events.client), False: list(events.server)}
    steps: list[Step] = []
    client = True
    while ends[True] or ends[False]:
        # If neither end can go on, the rules were broken. The rest is shown all the same.
        left = [end for end in (client, not client) if ends[end]]
        client = next((end for end in left if _possible(ends[end][0], end, steps)), left[0])
        place = sum(step.of_client is client for step in steps)
        steps.append(Step(client, place, ends[client].pop(0)))
    return steps


def _possible(entry: Entry, of_client: bool, steps: Sequence[Step]) -> bool:
    """Whether *steps* have what the other end must have done before *entry*."""
    needed = set() if entry.verb else _NEEDS.get(entry.name, set())
    if not needed or (of_client and entry.name == "connectionMade"):
        return True
    return any(step.entry.name in needed for step in steps if step.of_client is not of_client)


def present(reference: Sequence[Entry], seen: Sequence[Entry]) -> list[bool]:
    """Tell for each entry of *reference* whether *seen* has it too, in the same order."""
    there = [False] * len(reference)
    for block in SequenceMatcher(None, reference, seen, autojunk=False).get_matching_blocks():
        for index in range(block.a, block.a + block.size):
            there[index] = True
    return there
