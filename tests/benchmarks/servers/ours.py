"""halfclose's own protocols, on each of its backends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import halfclose

from .sizes import AHEAD, HOST, Ready, Turns, write_in_pieces

__all__ = ["exchange", "serve"]


class _Echo(halfclose.Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class _BulkEcho(_Echo):
    def connectionMade(self) -> None:
        self.transport.registerProducer(self.transport, True)


class _Discard(halfclose.Protocol):
    """A plain protocol's connection closes at the end of stream."""


class _Reply(halfclose.HalfCloseableProtocol):
    def connectionMade(self) -> None:
        self._request: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self._request.append(data)

    def readConnectionLost(self) -> None:
        self.transport.writeSequence(self._request)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass


class _Source(halfclose.Protocol):
    _pieces: Iterator[bytes | memoryview]
    _paused = False

    def dataReceived(self, data: bytes) -> None:
        self._pieces = write_in_pieces(int(data))
        self._begin()

    def _begin(self) -> None:
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        for piece in self._pieces:
            self.transport.write(piece)
            if self._paused:
                return
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._paused = True


class _FreshSource(_Source):
    """Each piece is made anew, and takes memory until it is sent."""

    def dataReceived(self, data: bytes) -> None:
        self._pieces = (b"+" * len(piece) for piece in write_in_pieces(int(data)))
        self._begin()


class _Pieces(halfclose.Protocol):
    """Writes as many bytes as it is asked for, all in one event: some ahead, then 64 at a time."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(bytes(AHEAD))
        piece = bytes(64)
        for _ in range((int(data) - AHEAD) // 64):
            self.transport.write(piece)
        self.transport.loseConnection()


class _CloseAll(halfclose.Protocol):
    """Closes every connection once one of them says a word."""

    _everyone: list[_CloseAll] = []  # noqa: RUF012 - shared on purpose

    def connectionMade(self) -> None:
        self._everyone.append(self)
        self.transport.write(b"+")

    def dataReceived(self, data: bytes) -> None:
        for protocol in self._everyone:
            protocol.transport.loseConnection()
        self._everyone.clear()


_SERVICES: dict[str, type[halfclose.Protocol]] = {
    "echo": _Echo,
    "bulk-echo": _BulkEcho,
    "discard": _Discard,
    "reply": _Reply,
    "source": _Source,
    "fresh-source": _FreshSource,
    "pieces": _Pieces,
    "close-all": _CloseAll,
}


def _run(main: Callable[[halfclose.Backend], Awaitable[None]], variant: str) -> None:
    """Run *main*; a variant says after a colon which way its sockets go, if not by the poller."""
    name, _, sockets = variant.partition(":")
    halfclose.run(main, backend=name, options={"sockets": sockets or "poller"})


def serve(variant: str, service: str, ready: Ready) -> None:
    """Serve for ever."""

    async def main(backend: halfclose.Backend) -> None:
        listener = await backend.listen(halfclose.TCP(HOST, 0), _SERVICES[service])
        assert isinstance(listener.endpoint, halfclose.TCP)
        ready(listener.endpoint.port)
        await backend.create_event().wait()

    _run(main, variant)


class _Asker(halfclose.HalfCloseableProtocol):
    def __init__(self, request: bytes) -> None:
        self._request = request
        self.size = 0

    def connectionMade(self) -> None:
        self.transport.write(self._request)
        self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.size += len(data)

    def readConnectionLost(self) -> None:
        pass

    def writeConnectionLost(self) -> None:
        pass


def exchange(variant: str, port: int, turns: Turns, request: bytes) -> None:
    """In each of *turns*: connect, send, end our half, read the reply to its end, close."""

    async def main(backend: halfclose.Backend) -> None:
        for _ in turns:
            asker = await backend.connect(halfclose.TCP(HOST, port), lambda: _Asker(request))
            await asker.transport.whenClosed()
            assert asker.size == len(request)

    _run(main, variant)
