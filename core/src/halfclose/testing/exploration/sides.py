"""What the model knows of one end, and of its producer."""

from __future__ import annotations

from ...channel import Capabilities
from ...connection import Connection
from ...interfaces import Transport
from ...lifecycle import READING, State

__all__ = ["CLOSING", "WRITE_CLOSING", "Produced", "Side"]

ROOM = 12 * 1024
"""What fits into every channel's buffers at least, each write counted as `OVERHEAD` more."""

OVERHEAD = 1536

WRITE_CLOSING = frozenset({State.WRITE_CLOSING, State.READ_CLOSED_WRITE_CLOSING})
"""loseWriteConnection was called, and its end is not told."""

CLOSING = WRITE_CLOSING | {State.CLOSING}
"""One of the closing verbs was called, and a producer may still write."""


class Produced:
    """What the model knows of one producer.

    :param streaming: whether it is a push producer.
    :param left: pieces that it still has; None: it has none, and waits.
    """

    def __init__(self, streaming: bool, left: int | None) -> None:
        self.streaming = streaming
        self.left = left
        self.paused = False
        self.stopped = False
        self.uncertain = False
        """Whether it may have been refused: the connection was breaking."""

    def __str__(self) -> str:
        return "push producer" if self.streaming else "pull producer"


class Side:
    """One end.

    :param name: "a" or "b".
    :param protocol: what is there.
    """

    def __init__(self, name: str, protocol: str) -> None:
        self.name = name
        self.half = protocol == "half"
        self.plain = protocol == "plain"
        self.raw = protocol == "raw"
        self.peer: Side
        self.transport: Transport | None = None
        self.can = Capabilities()
        self.life = State.CONNECTING
        self.events: list[str] = []
        """The events, ``dataReceived`` once for any number in a row."""
        self.reason: BaseException | None = None

        self.paused = False
        self.stalled = False
        """Whether the network lets it read nothing."""
        self.accepted = 0
        """Bytes that ``write`` has taken."""
        self.received = 0
        self.floor = 0
        """Bytes that have arrived for certain, and must be told before a failure (FLU-09)."""
        self.writes = 0
        """Calls of ``write`` since the peer had received everything."""
        self.dropped = 0
        self.producer: Produced | None = None
        self.refused: list[Produced] = []
        """Producers that are to be stopped in the next turn."""

        self.closing = False
        """Whether lwc or loseConnection was called, or the peer's end was that (EVT-12)."""
        self.lose_called = False
        """Whether loseConnection was, or the peer's end was that."""
        self.aborted = False
        self.raised: list[BaseException] = []
        """What its events have raised."""
        self.hard = False
        """Whether it ended so that bytes may be lost: by an abort, an exception, a reset."""
        self.breakable = False
        """Whether the network may have broken the connection."""
        self.hard_seen = False
        """Whether it ended so long ago that its peer's kernel knows."""
        self.told = False
        """Whether a verb was called since the peer's was seen that must notice it (FLU-11)."""
        self.closed_late = False
        """Whether a closing verb was."""

    @property
    def made(self) -> bool:
        """Whether it is there."""
        return self.life is not State.CONNECTING

    @property
    def lost(self) -> bool:
        """Whether it is over."""
        return self.life is State.CLOSED

    @property
    def left(self) -> bool:
        """Whether its backend was left: one that serves a single stream is, once that is over."""
        return isinstance(self.transport, Connection) and self.transport._backend.left

    @property
    def violent(self) -> bool:
        """Whether its peer may see the connection break."""
        return self.hard or self.breakable

    @property
    def fin(self) -> bool:
        """Whether its end of stream is on its way, behind everything that was accepted."""
        return self.closing and self.producer is None

    @property
    def resets(self) -> bool:
        """Whether its violent end reaches the peer as a reset, and as nothing else."""
        return self.hard and self.peer.can.can_reset and not self.fin

    @property
    def end_can_come(self) -> bool:
        """Whether the peer's end of stream can have come, after all that it wrote."""
        peer = self.peer
        if peer.hard and not self.can.can_reset:
            return True
        return (peer.fin or peer.closes_itself) and self.received == peer.accepted

    @property
    def closes_itself(self) -> bool:
        """Whether a plain protocol's connection can be closing, as its peer has ended (EVT-12)."""
        peer = self.peer
        ended = (peer.fin and self.received == peer.accepted) or (
            peer.hard and not self.can.can_reset
        )
        return self.plain and self.producer is None and self.life in READING and ended

    @property
    def reading(self) -> bool:
        """Whether input is wanted, and can come."""
        return self.life in READING and not self.paused and not self.stalled

    @property
    def flows(self) -> bool:
        """Whether everything that it has accepted can get to the kernel."""
        peer = self.peer
        if not peer.made:
            return False
        if peer.stalled or (peer.life in READING and peer.paused):
            to_come = ROOM if self.producer is not None and self.producer.left else 0
            ahead = self.accepted - peer.received + OVERHEAD * self.writes
            return ahead + to_come <= ROOM
        return True
