"""Every peer, and what is seen of one: the conversations that it can have, one after another."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import halfclose

from .conversation import BARE, hold
from .credentials import VERSIONS
from .own_programs import FRAMEWORKS, OWN_PROGRAMS
from .peer import Peer
from .relays import HTTP_PROXIES, RELAYS
from .setting import ANSWER, Side
from .tools import HTTP_TOOLS, TOOLS

__all__ = ["ALL", "NONE", "PEERS", "Cell", "Seen", "cells", "see"]

PEERS = (*OWN_PROGRAMS, *RELAYS, *TOOLS, *FRAMEWORKS, *HTTP_PROXIES, *HTTP_TOOLS)

ALL, PART, NONE = "all", "a part", "nothing"


class Seen(NamedTuple):
    """What was seen of a peer; None: it cannot do that.

    :param answered: how much of its answer came, after we had ended our half.
    :param received: how much of our answer it got, after it had ended its half. Where that end
        looks like a truncation, we had been told to take it for an end.
    :param end: how the end of its half looked.
    """

    answered: str | None
    received: str | None
    end: str | None


class Cell(NamedTuple):
    """A peer, as one side of TLS, in one version; and the backend that meets it."""

    peer: Peer
    side: Side
    version: str
    variant: str

    def __str__(self) -> str:
        return f"{self.peer.name.replace(', ', ' ')} {self.side} {self.version}".replace(" ", "-")


def cells() -> list[Cell]:
    """All of them. The variants take turns."""
    whats = [
        (peer, side, version)
        for peer in PEERS
        for side in dict.fromkeys(side for side, _ in peer.does)
        for version in VERSIONS
    ]
    return [Cell(*what, variant) for what, variant in zip(whats, cycle(_VARIANTS), strict=False)]


_VARIANTS = [name for name in halfclose.available_backends() if "+" in name]


def see(cell: Cell, files: Path) -> Seen:
    """Have the conversations of *cell*.

    :param files: what `credentials.make` has written.
    """
    peer, side, version, variant = cell
    answered = received = end = None
    if (side, "answers") in peer.does:
        outcome = hold(peer, side, "answers", version, variant, files)
        answered = _share(outcome.here)
        if outcome.end != BARE:
            assert isinstance(outcome.reason, halfclose.ConnectionDone), outcome
    if (side, "asks") in peer.does:
        outcome = hold(peer, side, "asks", version, variant, files)
        assert outcome.here == (0 if peer.http else len(peer.question)), outcome
        if not peer.http:
            end = outcome.end
            if end == BARE:
                outcome = hold(peer, side, "asks", version, variant, files, "eof")
        received = _share(outcome.there)
    return Seen(answered, received, end)


def _share(count: int) -> str:
    assert count <= len(ANSWER), count
    return ALL if count == len(ANSWER) else PART if count else NONE
