"""What these tests share: a protocol that notes its events, two joined ends, no event loop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from halfclose import HalfCloseableProtocol
from halfclose.memory import End, Network

T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of *coroutine*, which must never suspend: there is no event loop."""
    try:
        suspended = coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise AssertionError(f"it suspended, with {suspended!r}")


def joined(net: Network, name: str = "name") -> tuple[End, End]:
    """Both ends of a new connection: of who connected, and of who listened."""
    listening = net.listen(name)
    client = net.connect(name)
    server = listening.accept()
    listening.close()
    assert server is not None
    return client, server


class Noted(HalfCloseableProtocol):
    """Notes its events, and what came."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.chunks: list[bytes] = []
        self.reason: BaseException | None = None

    @property
    def received(self) -> bytes:
        """All that came."""
        return b"".join(self.chunks)

    def connectionMade(self) -> None:
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        if self.events[-1] != "data":
            self.events.append("data")
        self.chunks.append(data)

    def readConnectionLost(self) -> None:
        self.events.append("read")

    def writeConnectionLost(self) -> None:
        self.events.append("write")

    def connectionLost(self, reason: BaseException) -> None:
        self.events.append("lost")
        self.reason = reason


class EchoBack(Noted):
    """Sends back what comes, and ends when its peer has ended."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.transport.loseConnection()
