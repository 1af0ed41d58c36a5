"""What both ends of a connection did and saw, in one order that does not depend on luck.

What one end sees while the other does something else comes before or after it by chance. But
nothing is received before it is sent, and the ladder tells no more than that.
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
"""What the other end has done, one or the other of it, before an event can be seen."""


class Entry(NamedTuple):
    """An event of a protocol, or with *verb* something that it did to its transport."""

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
    """One rung: an entry of the client, or else of the server, and its place in that order."""

    of_client: bool
    place: int
    entry: Entry


def ladder(events: Events) -> list[Step]:
    """*events* in one order, the client first: an end goes on until it must wait for the other."""
    ends = {True: list(events.client), False: list(events.server)}
    steps: list[Step] = []
    client = True
    while ends[True] or ends[False]:
        # Where neither can go on, this was no run by the rules: it is shown all the same.
        left = [end for end in (client, not client) if ends[end]]
        client = next((end for end in left if _possible(ends[end][0], end, steps)), left[0])
        place = sum(step.of_client is client for step in steps)
        steps.append(Step(client, place, ends[client].pop(0)))
    return steps


def _possible(entry: Entry, of_client: bool, steps: Sequence[Step]) -> bool:
    needed = set() if entry.verb else _NEEDS.get(entry.name, set())
    if not needed or (of_client and entry.name == "connectionMade"):
        return True
    return any(step.entry.name in needed for step in steps if step.of_client is not of_client)


def present(reference: Sequence[Entry], seen: Sequence[Entry]) -> list[bool]:
    """For each entry of *reference* whether it is in *seen*, in the same order."""
    there = [False] * len(reference)
    for block in SequenceMatcher(None, reference, seen, autojunk=False).get_matching_blocks():
        for index in range(block.a, block.a + block.size):
            there[index] = True
    return there
