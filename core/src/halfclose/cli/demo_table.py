"""Prints the table of ``halfclose demo``, so that every mark is shown on every screen.

On a wide screen the client and the server have a column each, and each variant has one. On a
narrower one the client and the server share a column. On the narrowest each step gets a letter, and
each variant a line of its own, with its marks under the letters.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence

from rich.text import Text

from .agreement import NOTHING_ELSE, Agreement, Claim
from .screen import marks

__all__ = ["table"]

_ACROSS = 4
"""How many names of variants are on one line at most."""

_LETTERS = string.ascii_letters + string.digits

_HEADINGS = ("client: Ask", "server: Echo")


def table(agreement: Agreement, room: int) -> Iterator[Text]:
    """The lines of the table, for a screen of *room* columns."""
    # Each variant has a column, and a space before it.
    marked = sum(1 + len(str(number)) for number in range(1, len(agreement.names) + 1))
    sides = _sides(agreement.claims)
    shared = max(len(_shared(claim)) for claim in agreement.claims)
    if sum(sides) + marked <= room:
        yield from _legend(agreement.names, room)
        heading = "".join(each.ljust(side) for each, side in zip(_HEADINGS, sides, strict=True))
        yield from _columns(agreement, heading, [_beside(each, sides) for each in agreement.claims])
    elif shared + marked <= room:
        yield from _legend(agreement.names, room)
        rungs = [_shared(claim).ljust(shared) for claim in agreement.claims]
        yield from _columns(agreement, "Ask and Echo".ljust(shared), rungs)
    else:
        yield from _rows(agreement, room)


def _told(claim: Claim) -> str:
    return NOTHING_ELSE if claim.step is None else str(claim.step.entry).rstrip()


def _sides(claims: Sequence[Claim]) -> list[int]:
    """How wide the client's and the server's column are, if they are beside each other."""
    left, right = (
        [len(_told(each)) for each in claims if each.step and each.step.of_client is client]
        for client in (True, False)
    )
    return [max(len(_HEADINGS[0]), *left) + 1, max(len(_HEADINGS[1]), *right)]


def _beside(claim: Claim, sides: Sequence[int]) -> str:
    """The text of *claim*, in the client's or the server's column."""
    left = sides[0] if claim.step and not claim.step.of_client else 0
    return (" " * left + _told(claim)).ljust(sum(sides))


def _shared(claim: Claim) -> str:
    """The text of *claim*, with the name of the end that it is about."""
    end = "" if claim.step is None else "client  " if claim.step.of_client else "server  "
    return f"{end}{_told(claim)}"


def _legend(names: Sequence[str], room: int) -> Iterator[Text]:
    """The lines that tell the number of each variant, as many on a line as fit."""
    labels = [f"{number} {name}" for number, name in enumerate(names, 1)]
    width = max(map(len, labels)) + 3
    # The last one needs no space after it.
    across = max(1, min(_ACROSS, (room + 3) // width))
    for start in range(0, len(labels), across):
        line = "".join(label.ljust(width) for label in labels[start : start + across])
        yield Text(line.rstrip())
    yield Text()


def _columns(agreement: Agreement, heading: str, rungs: Sequence[str]) -> Iterator[Text]:
    """A line for each claim, and in it a mark for each variant."""
    numbers = [str(number) for number in range(1, len(agreement.names) + 1)]
    yield Text(" ".join([heading, *numbers]), "bold")
    for claim, rung in zip(agreement.claims, rungs, strict=True):
        line = Text()
        line.append(rung, _style(claim))
        for good, number in zip(claim.marks, numbers, strict=True):
            line.append(" " * len(number))
            line.append_text(_mark(good))
        yield line


def _rows(agreement: Agreement, room: int) -> Iterator[Text]:
    """The claims, each with a letter; then a line for each variant, and in it a mark for each."""
    letters = "".join(_LETTERS[place % len(_LETTERS)] for place in range(len(agreement.claims)))
    yield Text("Ask and Echo", "bold")
    for claim, letter in zip(agreement.claims, letters, strict=True):
        line = Text(f"{letter} ")
        line.append(_shared(claim), _style(claim))
        yield line
    yield Text()
    widest = max(map(len, agreement.names))
    beside = widest + 1 + len(letters) <= room
    if beside:
        yield Text(" " * (widest + 1) + letters, "bold")
    for place, name in enumerate(agreement.names):
        ticks = Text.assemble(*(_mark(claim.marks[place]) for claim in agreement.claims))
        if beside:
            yield Text.assemble(name.ljust(widest + 1), ticks)
        else:
            yield from (Text(name), Text(letters, "bold"), ticks)


def _style(claim: Claim) -> str:
    """What a protocol does is dim beside what happens to it."""
    return "dim" if claim.step is not None and claim.step.entry.verb else ""


def _mark(good: bool) -> Text:
    tick, cross = marks()
    return Text(tick, "green") if good else Text(cross, "bold red")
