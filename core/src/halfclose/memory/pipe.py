"""One direction of a connection: what was sent, is on its way, has arrived, was read."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable

from .conditions import Conditions
from .scheduler import Scheduler

__all__ = ["Pipe", "PipeEnd"]


class PipeEnd(ABC):
    """Whom a pipe tells what happens in it: who sends into it, and who reads from it."""

    closed: bool
    """Whether nobody reads here any more."""

    @abstractmethod
    def changed(self) -> None:
        """Something can be done that could not be done before."""

    @abstractmethod
    def break_off(self, code: int = errno.ECONNRESET) -> None:
        """The connection is broken; what has arrived can still be read.

        :param code: the errno that its sends and reads raise.
        """

    @abstractmethod
    def answer_with_reset(self) -> None:
        """Something came although this end is closed."""


class Pipe:
    """From one end to the other, in order. Both ends are told of each change."""

    def __init__(self, scheduler: Scheduler, conditions: Conditions) -> None:
        self.conditions = conditions
        self.sender: PipeEnd
        self.reader: PipeEnd
        self.ended = False
        """Whether the end of stream has arrived."""
        self._scheduler = scheduler
        self._arrived = bytearray()
        self._under_way = 0
        self._total = 0
        self._lost = 0
        self._last = 0.0

    def change(self, conditions: Conditions) -> None:
        """Have other *conditions* from now on."""
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
        """Bytes that were sent and not read."""
        return self._under_way + len(self._arrived)

    def send(self, data: bytes | memoryview) -> int:
        """Take as much of *data* as there is space for and give how much that was."""
        piece = bytes(data[: self.space])
        if piece:
            self._under_way += len(piece)
            self._travel(0.0, self._arrive, piece)
        return len(piece)

    def end(self) -> None:
        """Send the end of stream."""
        self._travel(self.conditions.end_delay, self._end)

    def reset(self) -> None:
        """Send a reset, behind what is under way."""
        self._travel(0.0, self._reset)

    def lose(self) -> None:
        """What is under way never arrives."""
        self._lost += 1
        self._under_way = 0
        self._last = 0.0

    def _travel(self, delay: float, arrive: Callable[..., object], *args: object) -> None:
        now = self._scheduler.now
        # Nothing overtakes, also where the latency has changed.
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
            # Nobody is there any more: the answer is a reset.
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
        """Break the connection if as much has arrived as may arrive."""
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
        """Bytes that have arrived and were not read."""
        return len(self._arrived)

    @property
    def at_end(self) -> bool:
        """Whether the end of stream is the next that is to be read."""
        return self.ended and not self._arrived and not self._stalled

    @property
    def _stalled(self) -> bool:
        # What has arrived comes before the failure, whoever is kept from reading (FLU-09).
        return self.conditions.stalled and not self._lost

    def read(self, limit: int) -> bytes:
        """Up to *limit* bytes, fewer if the conditions say so; there are some."""
        if self.conditions.chunks is not None:
            limit = min(limit, next(self.conditions.chunks))
        with memoryview(self._arrived) as view:
            piece = bytes(view[:limit])
        del self._arrived[: len(piece)]
        self.sender.changed()
        return piece

    def discard(self) -> None:
        """Forget what was not read: there is nobody to read it."""
        self._arrived.clear()
