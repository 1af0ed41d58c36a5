"""Protocols that record their events, and note when the order of events is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...interfaces import HalfCloseableProtocol, Protocol, Transport

__all__ = ["EVENTS", "PlainRecorder", "Recorder"]

EVENTS = (
    "connectionMade",
    "dataReceived",
    "readConnectionLost",
    "writeConnectionLost",
    "connectionLost",
)
"""The names of all events."""


class _Recording(Protocol):
    """A protocol that records its events, and may react to them.

    A reaction is a function that is given as a keyword with the event's name, as in
    ``Recorder(connectionMade=lambda p: p.transport.write(b"hello"))``. It is called with the
    recorder, and with the event's argument if it has one.
    """

    def __init__(self, **reactions: Callable[..., object]) -> None:
        self._reactions = reactions
        self._inside: str | None = None
        self._wakers: list[Callable[[], None]] = []
        self.events: list[str] = []
        """The names of the events; any number of ``dataReceived`` in a row is noted once."""
        self.received: bytearray = bytearray()
        self.chunks: list[int] = []
        self.reason: BaseException | None = None
        self.broken: list[str] = []
        """Each breach of the order of events, as text. If there is any, the rule fails."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self.events) or 'no event'}>"

    # -- verbs, watched ------------------------------------------------------------------------

    def verb(self, name: str, *args: object) -> Any:
        """Call the transport's method *name*, and note any event that comes inside (EVT-07)."""
        before, self._inside = self._inside, f"the verb {name}"
        try:
            return getattr(self.transport, name)(*args)
        finally:
            self._inside = before

    # -- events --------------------------------------------------------------------------------

    def _event(self, name: str, *args: object) -> None:
        """Record an event, check that it may come now, and call its reaction."""
        if self._inside is not None:
            self.broken.append(f"{name} inside {self._inside}")
        if "connectionLost" in self.events:
            self.broken.append(f"{name} after connectionLost")
        if "readConnectionLost" in self.events and name in ("dataReceived", "readConnectionLost"):
            self.broken.append(f"{name} after readConnectionLost")
        if name == "writeConnectionLost" and name in self.events:
            self.broken.append("a second writeConnectionLost")
        if (name == "connectionMade") != (not self.events):
            self.broken.append(f"{name} as event number {len(self.events) + 1}")
        if not (name == "dataReceived" and self.events[-1:] == [name]):
            self.events.append(name)
        before, self._inside = self._inside, f"the event {name}"
        try:
            for wake in list(self._wakers):
                wake()
            reaction = self._reactions.get(name)
            if reaction is not None:
                reaction(self, *args)
        finally:
            self._inside = before

    def makeConnection(self, transport: Transport) -> None:
        if hasattr(self, "transport"):
            self.broken.append("a second makeConnection")
        super().makeConnection(transport)

    def connectionMade(self) -> None:
        self._event("connectionMade")

    def dataReceived(self, data: bytes) -> None:
        if type(data) is not bytes or not data:
            self.broken.append(f"dataReceived({data!r})")
        self.received += data
        self.chunks.append(len(data))
        self._event("dataReceived", data)

    def connectionLost(self, reason: BaseException) -> None:
        if not isinstance(reason, BaseException):
            self.broken.append(f"connectionLost({reason!r})")
        self.reason = reason
        self._event("connectionLost", reason)


class Recorder(_Recording, HalfCloseableProtocol):
    """A recorder that handles the end of each half by an event of its own."""

    def readConnectionLost(self) -> None:
        self._event("readConnectionLost")

    def writeConnectionLost(self) -> None:
        self._event("writeConnectionLost")


class PlainRecorder(_Recording):
    """A recorder that is not half-closeable."""
