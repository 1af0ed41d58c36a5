"""What must still come to the ends, even if neither does anything more."""

from __future__ import annotations

from collections.abc import Iterator

from ...lifecycle import State
from .model import Model
from .sides import WRITE_CLOSING, Side

__all__ = ["due"]


def due(model: Model) -> list[str]:
    """What must still come to either end, as lines for a report.

    Each line names the rule, the end, and what "does not come": it is reported only if the wait
    for that was in vain.
    """
    return [
        f"{rule}: {side.name}: {what} does not come"
        for side in model.sides
        for rule, what in _due(side)
    ]


def _due(side: Side) -> Iterator[tuple[str, str]]:
    peer = side.peer
    if side.refused:
        yield "PRD-05", "stopProducing of a refused producer"
    if side.lost:
        return
    if not side.made:
        if not peer.violent:
            yield "EVT-01", "connectionMade"
    elif side.raw:
        yield from _due_to_raw(side)
    elif side.aborted or side.raised:
        yield "EVT-06", "connectionLost"
    elif side.life is State.ENDED:
        yield "EVT-05", "connectionLost"
    elif not peer.hard:
        yield from _due_in_peace(side)
    elif peer.lost or not peer.made:
        yield from _due_after_violence(side)


def _due_to_raw(side: Side) -> Iterator[tuple[str, str]]:
    peer = side.peer
    if not side.reading:
        return
    if peer.hard:
        yield "ERR-06", "the end (the other end is gone)"
    elif side.received < peer.accepted:
        yield "FLU-01", f"the rest of {peer.accepted} bytes, from {side.received} on,"
    elif peer.fin:
        yield "FLU-01", "the end of stream"


def _due_after_violence(side: Side) -> Iterator[tuple[str, str]]:
    producing = side.producer is not None
    if side.life is State.CLOSING:
        if not producing:
            yield "EVT-06", "connectionLost (the peer is gone)"
    elif side.reading:
        if side.peer.resets:
            yield "ERR-01", "connectionLost (the peer reset the connection)"
        elif side.half:
            yield "EVT-06", "readConnectionLost or connectionLost (the peer is gone)"
        elif not producing:
            yield "EVT-06", "connectionLost (the peer is gone)"
    elif side.paused:
        # FLU-09: what has arrived comes before the failure, and does so only after a resume.
        return
    elif side.life in WRITE_CLOSING and not producing:
        yield "EVT-06", "writeConnectionLost or connectionLost (the peer is gone)"
    elif side.told and side.peer.resets:
        yield "FLU-11", "connectionLost (the peer reset the connection)"


def _due_in_peace(side: Side) -> Iterator[tuple[str, str]]:
    peer = side.peer
    if side.reading and side.received < peer.accepted:
        yield "FLU-01", f"the rest of {peer.accepted} bytes, from {side.received} on,"
    elif side.reading and peer.fin and side.half:
        yield "EVT-02", "readConnectionLost"
    elif side.reading and peer.fin and side.producer is None and side.flows:
        yield "EVT-12", "connectionLost (the peer's half has ended)"
    if not side.flows:
        return
    producer = side.producer
    if producer is not None:
        if producer.left:
            yield ("PRD-01" if producer.streaming else "PRD-02"), f"the {producer}'s turn"
    elif side.life is State.CLOSING:
        yield "FLU-02", "connectionLost after loseConnection"
    elif side.life in WRITE_CLOSING and side.half and not (side.breakable and side.paused):
        yield "EVT-04", "writeConnectionLost after loseWriteConnection"
