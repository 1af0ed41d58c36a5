"""The producers of a script."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from .script import Verb
from .sides import Produced

if TYPE_CHECKING:
    from .ends import Actor

__all__ = ["PlannedPull", "PlannedPush"]


class _Planned(ABC):
    """*count* pieces of *size* bytes, after which it unregisters itself; with none it waits."""

    streaming: bool

    def __init__(self, actor: Actor, count: int, size: int) -> None:
        self._actor = actor
        self._size = size
        # One that is asked and answers nothing fills no buffer, and is not asked again (PRD-02).
        produces = count and (size or self.streaming)
        self.seen = Produced(self.streaming, count if produces else None)

    @abstractmethod
    def go_on(self) -> None:
        """Write what is to be written now."""

    def _write_piece(self) -> None:
        seen = self.seen
        if seen.left:
            seen.left -= 1
            self._actor.call(Verb("write", (self._size,)))
            if not seen.left and self._actor.side.producer is seen:
                self._actor.call(Verb("unregister"))

    def resumeProducing(self) -> None:
        self._actor.changed()
        with self._actor.model.producer_resumed(self._actor.side, self.seen):
            self.go_on()

    def stopProducing(self) -> None:
        self._actor.changed()
        self._actor.model.producer_stopped(self._actor.side, self.seen)


class PlannedPush(_Planned):
    """A streaming producer."""

    streaming = True

    def go_on(self) -> None:
        while self.seen.left and not self.seen.paused and not self.seen.stopped:
            self._write_piece()

    def pauseProducing(self) -> None:
        self._actor.changed()
        self._actor.model.producer_paused(self._actor.side, self.seen)


class PlannedPull(_Planned):
    """A producer that is asked for each piece."""

    streaming = False

    def go_on(self) -> None:
        self._write_piece()
