"""The life of a connection as data: states, moves, and the table of which move leads where.

There is no I/O here, no framework and no protocol, and client and server are the same. `Lifecycle`
walks the table; a move that is not in it raises and changes nothing. The diagram in the
documentation is made from the table, as in h11.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

__all__ = [
    "ACCEPTING",
    "ENDED",
    "ENDING_WRITE",
    "READING",
    "READ_CLOSED",
    "TABLE",
    "IllegalMove",
    "Lifecycle",
    "Move",
    "State",
]


class State(Enum):
    """Where a connection is in its life."""

    # Enum's own hash is written in Python, and each look into a set or a table calls it.
    if not TYPE_CHECKING:
        __hash__ = object.__hash__

    CONNECTING = "connecting"
    """The protocol is not attached yet."""
    OPEN = "open"
    """Both halves are open."""
    WRITE_CLOSING = "write-closing"
    """loseWriteConnection was called; our end of stream is not with the kernel yet."""
    WRITE_CLOSED = "write-closed"
    """Our half has ended, the peer's has not."""
    READ_CLOSED = "read-closed"
    """The peer's half has ended, ours has not."""
    READ_CLOSED_WRITE_CLOSING = "read-closed-write-closing"
    """The peer's half has ended, and loseWriteConnection was called; our end of stream is not with
    the kernel yet."""
    CLOSING = "closing"
    """loseConnection was called; what was written is being sent."""
    ENDED = "ended"
    """The connection is over; only connectionLost is still to come."""
    CLOSED = "closed"
    """connectionLost has been called."""

    @property
    def accepts_writes(self) -> bool:
        """Whether ``write`` takes its bytes in this state. In any other state they are dropped.

        There are two exceptions, which the state does not show. After a failed send, bytes are
        dropped although the state may still be OPEN or READ_CLOSED, because input that came before
        is delivered first; `Transport.failure` is set then. And while a producer is registered,
        writes are taken until it unregisters, although the end of our half was asked for.
        """
        return self in ACCEPTING


class Move(Enum):
    """What can happen to a connection."""

    if not TYPE_CHECKING:
        __hash__ = object.__hash__

    MADE = "made"
    """The protocol was attached."""
    READ_ENDED = "read ended"
    """The peer's end of stream is being delivered."""
    END_WRITE = "end write"
    """loseWriteConnection was called."""
    WRITE_ENDED = "write ended"
    """Our end of stream is with the kernel, or nobody reads the pipe to which it would go."""
    CLOSE = "close"
    """loseConnection was called."""
    FINISH = "finish"
    """Everything is done, or the connection was aborted or has failed."""
    LOST = "lost"
    """connectionLost is being called."""


_S, _M = State, Move

TABLE: dict[State, dict[Move, State]] = {
    _S.CONNECTING: {
        _M.MADE: _S.OPEN,
        _M.FINISH: _S.ENDED,
    },
    _S.OPEN: {
        _M.READ_ENDED: _S.READ_CLOSED,
        _M.END_WRITE: _S.WRITE_CLOSING,
        _M.WRITE_ENDED: _S.WRITE_CLOSED,
        _M.CLOSE: _S.CLOSING,
        _M.FINISH: _S.ENDED,
    },
    _S.WRITE_CLOSING: {
        _M.READ_ENDED: _S.READ_CLOSED_WRITE_CLOSING,
        _M.WRITE_ENDED: _S.WRITE_CLOSED,
        _M.CLOSE: _S.CLOSING,
        _M.FINISH: _S.ENDED,
    },
    _S.WRITE_CLOSED: {
        _M.READ_ENDED: _S.ENDED,
        _M.CLOSE: _S.CLOSING,
        _M.FINISH: _S.ENDED,
    },
    _S.READ_CLOSED: {
        _M.END_WRITE: _S.READ_CLOSED_WRITE_CLOSING,
        _M.WRITE_ENDED: _S.ENDED,
        _M.CLOSE: _S.CLOSING,
        _M.FINISH: _S.ENDED,
    },
    _S.READ_CLOSED_WRITE_CLOSING: {
        _M.WRITE_ENDED: _S.ENDED,
        _M.CLOSE: _S.CLOSING,
        _M.FINISH: _S.ENDED,
    },
    _S.CLOSING: {
        _M.FINISH: _S.ENDED,
    },
    _S.ENDED: {
        _M.LOST: _S.CLOSED,
    },
    _S.CLOSED: {},
}

READING = frozenset({_S.OPEN, _S.WRITE_CLOSING, _S.WRITE_CLOSED})
"""States in which input is delivered."""

READ_CLOSED = frozenset({_S.READ_CLOSED, _S.READ_CLOSED_WRITE_CLOSING})
"""States in which the peer's half has ended and ours has not."""

ACCEPTING = frozenset({_S.OPEN, _S.READ_CLOSED})
"""States in which every write is taken."""

ENDING_WRITE = frozenset({_S.WRITE_CLOSING, _S.READ_CLOSED_WRITE_CLOSING, _S.CLOSING})
"""States in which our end of stream is sent as soon as everything before it was sent."""

ENDED = frozenset({_S.ENDED, _S.CLOSED})
"""States in which the connection is over and verbs do nothing."""


class IllegalMove(RuntimeError):
    """The table has no such move from the present state. The caller has a defect."""


class Lifecycle:
    """One walk through `TABLE`, from CONNECTING to CLOSED."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: State = State.CONNECTING

    def can(self, move: Move) -> bool:
        """Whether the table has *move* from the present state."""
        return move in TABLE[self.state]

    def move(self, move: Move) -> State:
        """Take *move* and return the new state.

        :raises IllegalMove: the table has no such move from here; the state is unchanged.
        """
        try:
            self.state = TABLE[self.state][move]
        except KeyError:
            raise IllegalMove(f"no move {move.value!r} from state {self.state.value!r}") from None
        return self.state
