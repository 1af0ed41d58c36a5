"""What the model knows about one end of a connection, and about its producer."""

from __future__ import annotations

from ...channel import Capabilities
from ...connection import Connection
from ...interfaces import Transport
from ...lifecycle import READING, State

__all__ = ["CLOSING", "WRITE_CLOSING", "Produced", "Side"]

ROOM = 12 * 1024
"""Bytes that fit into the buffers of every channel, if each write costs `OVERHEAD` beside them."""

OVERHEAD = 1536
"""Bytes that a kernel may use up for each write, beside its data."""

WRITE_CLOSING = frozenset({State.WRITE_CLOSING, State.READ_CLOSED_WRITE_CLOSING})
"""States in which ``loseWriteConnection`` was called, and ``writeConnectionLost`` has not come."""

CLOSING = WRITE_CLOSING | {State.CLOSING}
"""States in which a closing verb was called, and a registered producer may still write."""


class Produced:
    """What the model knows about one producer.

    :param streaming: whether it is a push producer.
    :param left: how many pieces the producer still has to write; None: it never writes any.
    """

    def __init__(self, streaming: bool, left: int | None) -> None:
        self.streaming = streaming
        self.left = left
        self.paused = False
        self.stopped = False
        self.uncertain = False
        """Whether the transport may have refused it, since the connection was breaking."""

    def __str__(self) -> str:
        return "push producer" if self.streaming else "pull producer"


class Side:
    """What the model knows about one end.

    :param name: "a" or "b".
    :param protocol: what is at the end, one of `halfclose.testing.exploration.script.PROTOCOLS`.
    """

    def __init__(self, name: str, protocol: str) -> None:
        self.name = name
        self.half: bool = protocol == "half"
        self.plain: bool = protocol == "plain"
        self.raw: bool = protocol == "raw"
        self.peer: Side
        self.transport: Transport | None = None
        self.can: Capabilities = Capabilities()
        self.life = State.CONNECTING
        self.events: list[str] = []
        """The names of its events; several ``dataReceived`` in a row count as one."""
        self.reason: BaseException | None = None

        self.paused = False
        self.stalled = False
        """Whether the simulated network keeps this end from reading."""
        self.accepted = 0
        """Bytes that ``write`` has taken."""
        self.received = 0
        self.floor = 0
        """Bytes that have arrived for certain, and must be told before a failure (FLU-09)."""
        self.writes = 0
        """Calls of ``write`` since the peer last had received everything."""
        self.dropped = 0
        self.producer: Produced | None = None
        self.refused: list[Produced] = []
        """Producers that were refused, and must be stopped in the next turn."""

        self.closing = False
        """Whether ``loseWriteConnection`` or ``loseConnection`` was called, or the peer's end of
        stream acted as the latter (EVT-12)."""
        self.lose_called = False
        """Whether ``loseConnection`` was called, or the peer's end of stream acted as that."""
        self.aborted = False
        self.raised: list[BaseException] = []
        """The exceptions that its events have raised."""
        self.hard = False
        """Whether this end ended hard: by an abort, an exception or a reset, which may lose
        bytes."""
        self.breakable = False
        """Whether the network may have broken the connection."""
        self.hard_seen = False
        """Whether this end ended hard so long ago that the peer's kernel knows."""
        self.told = False
        """Whether a verb was called that must notice that the peer has ended hard (FLU-11)."""
        self.closed_late = False
        """Whether a closing verb was called when this end's kernel knew that already."""

    @property
    def made(self) -> bool:
        """Whether ``connectionMade`` has been called."""
        return self.life is not State.CONNECTING

    @property
    def lost(self) -> bool:
        """Whether ``connectionLost`` has been called."""
        return self.life is State.CLOSED

    @property
    def left(self) -> bool:
        """Whether its backend was left. A backend that serves a single stream is left when that
        stream is over."""
        return isinstance(self.transport, Connection) and self.transport._backend.left

    @property
    def violent(self) -> bool:
        """Whether the peer may see the connection break."""
        return self.hard or self.breakable

    @property
    def fin(self) -> bool:
        """Whether its end of stream is on its way, after everything that ``write`` has taken."""
        return self.closing and self.producer is None

    @property
    def resets(self) -> bool:
        """Whether this end ended hard, and its peer can see nothing of it but a reset."""
        return self.hard and self.peer.can.can_reset and not self.fin

    @property
    def end_can_come(self) -> bool:
        """Whether the peer's end of stream can have come, after all that the peer wrote."""
        peer = self.peer
        if peer.hard and not self.can.can_reset:
            return True
        return (peer.fin or peer.closes_itself) and self.received == peer.accepted

    @property
    def closes_itself(self) -> bool:
        """Whether the end of the peer's stream may be closing this plain protocol's connection
        (EVT-12)."""
        peer = self.peer
        ended = (peer.fin and self.received == peer.accepted) or (
            peer.hard and not self.can.can_reset
        )
        return self.plain and self.producer is None and self.life in READING and ended

    @property
    def reading(self) -> bool:
        """Whether this end reads: input is neither ended, paused nor stalled."""
        return self.life in READING and not self.paused and not self.stalled

    @property
    def flows(self) -> bool:
        """Whether all that ``write`` has taken, and a producer will write, can leave: the peer
        reads, or it fits into the buffers."""
        peer = self.peer
        if not peer.made:
            return False
        if peer.stalled or (peer.life in READING and peer.paused):
            to_come = ROOM if self.producer is not None and self.producer.left else 0
            ahead = self.accepted - peer.received + OVERHEAD * self.writes
            return ahead + to_come <= ROOM
        return True
