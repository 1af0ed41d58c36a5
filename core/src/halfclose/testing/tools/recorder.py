"""A protocol that writes down what happens to it, and holds it to the order of events."""

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
"""Every event, by name."""


class _Recording(Protocol):
    """Notes every event; what the test wants done in one is given as a keyword, by its name.

    ``Recorder(connectionMade=lambda p: p.transport.write(b"hello"))``: the function is called
    with the recorder, and with the event's own argument if it has one.
    """

    def __init__(self, **reactions: Callable[..., object]) -> None:
        self._reactions = reactions
        self._inside: str | None = None
        self._wakers: list[Callable[[], None]] = []
        self.events: list[str] = []
        """The names of the events, ``dataReceived`` once for any number in a row."""
        self.received = bytearray()
        self.chunks: list[int] = []
        self.reason: BaseException | None = None
        self.broken: list[str] = []
        """What broke the order of events; the harness fails the rule if there is any."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self.events) or 'no event'}>"

    # -- verbs, watched ------------------------------------------------------------------------

    def verb(self, name: str, *args: object) -> Any:
        """Call the transport's method *name* and complain about any event inside it (EVT-07)."""
        before, self._inside = self._inside, f"the verb {name}"
        try:
            return getattr(self.transport, name)(*args)
        finally:
            self._inside = before

    # -- events --------------------------------------------------------------------------------

    def _event(self, name: str, *args: object) -> None:
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
    """A recorder that is half-closeable."""

    def readConnectionLost(self) -> None:
        self._event("readConnectionLost")

    def writeConnectionLost(self) -> None:
        self._event("writeConnectionLost")


class PlainRecorder(_Recording):
    """A recorder that is not."""
