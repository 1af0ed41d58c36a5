"""The ladder of ``halfclose demo``: what both ends did and saw, and what went between them."""

from __future__ import annotations

from typing import NamedTuple

import halfclose
from halfclose.cli.conversation import converse
from halfclose.cli.ladder import Entry, Events, Step, ladder

from .drawing import WIDTH, Drawing

__all__ = ["draw", "ladder_picture"]

_CLIENT, _SERVER = 188.0, WIDTH - 170.0
_TOP, _ROW = 96.0, 24.0

_TITLE = "The conversation of halfclose demo"


class _Crossing(NamedTuple):
    """Something that went from one end to the other.

    :param sent: the number of the step that sent it.
    :param came: the number of the step that it caused.
    """

    sent: int
    came: int
    of_client: bool
    what: str


def _cause(step: Step) -> tuple[frozenset[str], str]:
    """What at the other end can have caused *step*, and what it sent; empty: nothing."""
    entry: Entry = step.entry
    if entry.name == "dataReceived":
        return frozenset({"write"}), entry.detail.removeprefix("b").strip("'")
    if entry.name == "readConnectionLost":
        return frozenset({"loseWriteConnection", "loseConnection"}), "FIN"
    return frozenset(), ""


def _crossings(steps: list[Step]) -> list[_Crossing]:
    found = []
    for came, step in enumerate(steps):
        names, what = _cause(step)
        for sent, earlier in enumerate(steps[:came]):
            if earlier.of_client is not step.of_client and earlier.entry.name in names:
                found.append(_Crossing(sent, came, earlier.of_client, what))
                break
    return found


def _told(steps: list[Step]) -> str:
    """The ladder as a text, for people who do not see it."""
    return " ".join(
        f"{number}. {'Client' if step.of_client else 'Server'}: {str(step.entry).strip()}."
        for number, step in enumerate(steps, 1)
    )


def draw(events: Events) -> str:
    """The picture of *events*."""
    steps = ladder(events)
    bottom = _TOP + _ROW * len(steps)
    drawing = Drawing(bottom + 14, _TITLE, _told(steps))
    drawing.text(12, 26, _TITLE, "title")
    drawing.text(12, 46, "With (): what the protocol calls. Without: what it is told.", "dim")
    drawing.text(_CLIENT, 74, "client: Ask", "bold middle ours")
    drawing.text(_SERVER, 74, "server: Echo", "bold middle theirs")
    for x, kind in ((_CLIENT, "ours"), (_SERVER, "theirs")):
        drawing.line([(x, 82), (x, bottom)], f"line {kind}")

    def y(number: int) -> float:
        return _TOP + _ROW * number + 5

    for crossing in _crossings(steps):
        ends = (_CLIENT + 4, _SERVER - 4) if crossing.of_client else (_SERVER - 4, _CLIENT + 4)
        kind = "ours" if crossing.of_client else "theirs"
        start, stop = (ends[0], y(crossing.sent)), (ends[1], y(crossing.came))
        drawing.arrow([start, stop], kind)
        # The text stands on the line.
        drawing.slanted(start, stop, crossing.what, f"mono middle {kind}")
    for number, step in enumerate(steps):
        x, kind = (_CLIENT, "ours") if step.of_client else (_SERVER, "theirs")
        name = f"{step.entry.name}()" if step.entry.verb else step.entry.name
        side = -10 if step.of_client else 10
        drawing.text(
            x + side,
            y(number) + 4,
            name,
            f"mono{' dim' if step.entry.verb else ''}{' end' if step.of_client else ''}",
        )
        drawing.dot(x, y(number), kind)
    return str(drawing)


def ladder_picture() -> str:
    """The picture of a conversation over a socket that is held now."""
    return draw(halfclose.run(converse, backend="anyio+asyncio"))
