"""Pipes: each carries the bytes of one direction of a connection."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable

from .conditions import Conditions
from .scheduler import Scheduler

__all__ = ["Pipe", "PipeEnd"]


class PipeEnd(ABC):
    """The end of a connection, as its pipes see it: they tell it what happens."""

    closed: bool
    """Whether this end is closed, so that it reads no more."""

    @abstractmethod
    def changed(self) -> None:
        """Called when this end may be able to read or to send something new."""

    @abstractmethod
    def break_off(self, code: int = errno.ECONNRESET) -> None:
        """Break the connection at this end. What has arrived can still be read.

        :param code: the errno that sends raise from now on, and reads once all is read.
        """

    @abstractmethod
    def answer_with_reset(self) -> None:
        """Send a reset to the peer, because bytes have arrived and this end is closed."""


class Pipe:
    """Carries bytes, an end of stream and resets from one end to the other, in order.

    Both ends are told of each change.
    """

    def __init__(self, scheduler: Scheduler, conditions: Conditions) -> None:
        self.conditions: Conditions = conditions
        self.sender: PipeEnd
        self.reader: PipeEnd
        self.ended: bool = False
        """Whether the end of stream has arrived."""
        self._scheduler = scheduler
        self._arrived = bytearray()
        self._under_way = 0
        self._total = 0
        self._lost = 0
        self._last = 0.0

    def change(self, conditions: Conditions) -> None:
        """Apply other *conditions* from now on, also to what has arrived and was not read."""
        self.conditions = conditions
        self.break_if_due()
        for end in (self.reader, self.sender):
            end.changed()

    # -- the sender's side ---------------------------------------------------------------------

    @property
    def space(self) -> int:
        """Bytes that can be sent now."""
        return max(0, self.conditions.buffer - self.pending)

    @property
    def pending(self) -> int:
        """Bytes that were sent and not read yet, under way or arrived."""
        return self._under_way + len(self._arrived)

    def send(self, data: bytes | memoryview) -> int:
        """Send as much of *data* as there is space for.

        :returns: how many bytes were taken.
        """
        piece = bytes(data[: self.space])
        if piece:
            self._under_way += len(piece)
            self._travel(0.0, self._arrive, piece)
        return len(piece)

    def end(self) -> None:
        """Send the end of stream."""
        self._travel(self.conditions.end_delay, self._end)

    def reset(self) -> None:
        """Send a reset, which arrives after what is under way."""
        self._travel(0.0, self._reset)

    def lose(self) -> None:
        """Drop what is under way, because the connection is broken."""
        self._lost += 1
        self._under_way = 0
        self._last = 0.0

    def _travel(self, delay: float, arrive: Callable[..., object], *args: object) -> None:
        """Call *arrive* after the latency and *delay*, in seconds, but not before what was sent
        earlier has arrived."""
        now = self._scheduler.now
        # The latency may have become shorter, and nothing may overtake what was sent earlier.
        self._last = max(self._last, now + self.conditions.latency + delay)
        if self._last > now:
            self._scheduler.call_at(self._last, self._unless_lost, self._lost, arrive, *args)
        else:
            arrive(*args)

    def _unless_lost(self, lost: int, arrive: Callable[..., object], *args: object) -> None:
        if lost == self._lost:
            arrive(*args)

    # -- what arrives --------------------------------------------------------------------------

    def _arrive(self, piece: bytes) -> None:
        self._under_way -= len(piece)
        if self.reader.closed:
            # As TCP does, a closed end answers bytes with a reset.
            self.reader.answer_with_reset()
            return
        limit = self.conditions.reset_after
        if limit is not None:
            piece = piece[: limit - self._total]
        self._total += len(piece)
        self._arrived += piece
        self.reader.changed()
        self.break_if_due()

    def _end(self) -> None:
        self.ended = True
        self.reader.changed()

    def _reset(self) -> None:
        self.reader.break_off()

    def break_if_due(self) -> None:
        """Break the connection if as many bytes have arrived as `Conditions.reset_after` says."""
        limit = self.conditions.reset_after
        if limit is not None and self._total >= limit:
            for end in (self.reader, self.sender):
                end.break_off(self.conditions.reset_error)

    # -- the reader's side ---------------------------------------------------------------------

    @property
    def readable(self) -> int:
        """Bytes that can be read now."""
        return 0 if self._stalled else len(self._arrived)

    @property
    def unread(self) -> int:
        """Bytes that have arrived and were not read yet, also while reading is stalled."""
        return len(self._arrived)

    @property
    def at_end(self) -> bool:
        """Whether the end of stream is next, after everything was read."""
        return self.ended and not self._arrived and not self._stalled

    @property
    def _stalled(self) -> bool:
        # After the connection has broken, nothing is stalled: what has arrived must be read before
        # the failure is told (FLU-09).
        return self.conditions.stalled and not self._lost

    def read(self, limit: int) -> bytes:
        """Read up to *limit* bytes, or fewer if the conditions say so.

        To be called only if there is something `readable`.
        """
        if self.conditions.chunks is not None:
            limit = min(limit, next(self.conditions.chunks))
        with memoryview(self._arrived) as view:
            piece = bytes(view[:limit])
        del self._arrived[: len(piece)]
        self.sender.changed()
        return piece

    def discard(self) -> None:
        """Drop what has arrived and was not read, because the reader has closed."""
        self._arrived.clear()
