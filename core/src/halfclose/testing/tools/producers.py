"""Producers that note each call, and complain about a call that breaks a rule."""

from __future__ import annotations

from collections.abc import Iterable

from .harness import Net
from .recorder import _Recording

__all__ = ["Idle", "Pull", "Push"]

_CHUNK = 64 * 1024
"""How many bytes a streaming producer writes at a time."""


class Idle:
    """A producer that writes nothing, and notes each call. It can be a streaming or a pull one.

    Its calls wake ``Net.until(protocol, ...)``, as the protocol's events do.
    """

    def __init__(self, protocol: _Recording) -> None:
        self.protocol = protocol
        self.calls: list[tuple[str, str | None]] = []
        """The name of each call, and the verb or event inside which it came; None: inside none."""

    @property
    def names(self) -> list[str]:
        """The names of the calls."""
        return [name for name, _ in self.calls]

    def _note(self, name: str) -> None:
        """Note a call, and wake those that wait. Only pauseProducing may come inside a verb."""
        inside = self.protocol._inside
        self.calls.append((name, inside))
        if name != "pauseProducing" and inside is not None and inside.startswith("the verb"):
            self.protocol.broken.append(f"{name} inside {inside} (PRD-01)")
        for wake in list(self.protocol._wakers):
            wake()

    def pauseProducing(self) -> None:
        self._note("pauseProducing")

    def resumeProducing(self) -> None:
        self._note("resumeProducing")

    def stopProducing(self) -> None:
        self._note("stopProducing")


class Push(Idle):
    """A streaming producer that writes *data* in a loop until it is paused."""

    def __init__(self, protocol: _Recording, data: bytes) -> None:
        super().__init__(protocol)
        self.data = data
        self.position: int = 0
        self.paused: bool = False

    def register(self) -> None:
        """Register this producer with the transport, as a streaming one."""
        self.protocol.verb("registerProducer", self, True)

    def pauseProducing(self) -> None:
        super().pauseProducing()
        self.paused = True

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self.paused = False
        self.produce()

    def produce(self) -> None:
        """Write until all is written or a write pauses this producer; at the end, unregister."""
        while self.position < len(self.data) and not self.paused:
            piece = self.data[self.position : self.position + _CHUNK]
            self.position += len(piece)
            self.protocol.verb("write", piece)
        if self.position >= len(self.data) and not self.paused:
            self.protocol.verb("unregisterProducer")


class Pull(Idle):
    """A pull producer that writes one of *answers* at each call, and at last unregisters."""

    def __init__(self, net: Net, protocol: _Recording, answers: Iterable[bytes]) -> None:
        super().__init__(protocol)
        self._net = net
        self._answers = iter(answers)
        self._inside_answer = False
        self._asked_this_turn = 0
        self.asked: int = 0

    def register(self) -> None:
        """Register this producer with the transport, as a pull one."""
        self.protocol.verb("registerProducer", self, False)

    def resumeProducing(self) -> None:
        self.asked += 1
        self._asked_this_turn += 1
        self._net.backend.call_soon(self._next_turn)
        if self._inside_answer:
            self.protocol.broken.append("resumeProducing inside resumeProducing (PRD-02)")
        if self._asked_this_turn > 1:
            self.protocol.broken.append("resumeProducing twice in one turn (PRD-02)")
        self._note("resumeProducing")
        self._inside_answer = True
        try:
            answer = next(self._answers, None)
            if answer is None:
                self.protocol.verb("unregisterProducer")
            else:
                self.protocol.verb("write", answer)
        finally:
            self._inside_answer = False

    def _next_turn(self) -> None:
        self._asked_this_turn -= 1
