"""The producers that the verbs ``push`` and ``pull`` of a script register."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol as Interface

from .model import Model
from .script import Verb
from .sides import Produced, Side

__all__ = ["PlannedPull", "PlannedPush", "ProducingEnd"]


class ProducingEnd(Interface):
    """What a producer needs of the end at which it is registered."""

    model: Model
    side: Side

    def changed(self) -> None:
        """Tell the script's performance that something has happened here."""

    def call(self, verb: Verb) -> None:
        """Call the transport's method for *verb*, and tell the model."""


class _Planned(ABC):
    """Writes *count* pieces of *size* bytes, then unregisters itself. With a count of 0 it writes
    nothing, and stays registered."""

    streaming: bool

    def __init__(self, end: ProducingEnd, count: int, size: int) -> None:
        self._end = end
        self._size = size
        # PRD-02: a pull producer that writes nothing when asked is not asked again, so that one
        # with empty pieces would never reach its end.
        produces = count and (size or self.streaming)
        self.seen: Produced = Produced(self.streaming, count if produces else None)

    @abstractmethod
    def go_on(self) -> None:
        """Write as much as may be written now."""

    def _write_piece(self) -> None:
        seen = self.seen
        if seen.left:
            seen.left -= 1
            self._end.call(Verb("write", (self._size,)))
            if not seen.left and self._end.side.producer is seen:
                self._end.call(Verb("unregister"))

    def resumeProducing(self) -> None:
        self._end.changed()
        with self._end.model.producer_resumed(self._end.side, self.seen):
            self.go_on()

    def stopProducing(self) -> None:
        self._end.changed()
        self._end.model.producer_stopped(self._end.side, self.seen)


class PlannedPush(_Planned):
    """A streaming producer: writes until it is paused."""

    streaming = True

    def go_on(self) -> None:
        while self.seen.left and not self.seen.paused and not self.seen.stopped:
            self._write_piece()

    def pauseProducing(self) -> None:
        self._end.changed()
        self._end.model.producer_paused(self._end.side, self.seen)


class PlannedPull(_Planned):
    """A pull producer: is asked for each piece."""

    streaming = False

    def go_on(self) -> None:
        self._write_piece()
