"""Hand-written Twisted protocols, on its five reactors."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from zope.interface import implementer

from .sizes import BACKLOG, HOST, Ready, Turns, write_in_pieces

__all__ = ["exchange", "serve"]


class _Base(Protocol):
    transport: Any


class _Echo(_Base):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class _BulkEcho(_Echo):
    def connectionMade(self) -> None:
        self.transport.registerProducer(self.transport, True)

    def connectionLost(self, reason: object = None) -> None:
        self.transport.unregisterProducer()


class _Discard(_Base):
    """Twisted closes at the end of stream."""


@implementer(IHalfCloseableProtocol)
class _Reply(_Base):
    def connectionMade(self) -> None:
        self._request: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self._request.append(data)

    def readConnectionLost(self) -> None:
        self.transport.write(b"".join(self._request))
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass


@implementer(IPushProducer)
class _Source(_Base):
    _pieces: Iterator[bytes | memoryview]
    _paused = False

    def dataReceived(self, data: bytes) -> None:
        self._pieces = write_in_pieces(int(data))
        self.transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        for piece in self._pieces:
            self.transport.write(bytes(piece))
            if self._paused:
                return
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._paused = True


_SERVICES: dict[str, type[Protocol]] = {
    "echo": _Echo,
    "bulk-echo": _BulkEcho,
    "discard": _Discard,
    "reply": _Reply,
    "source": _Source,
}


def _install(variant: str) -> Any:
    if variant == "uvloop":
        import uvloop

        module = importlib.import_module("twisted.internet.asyncioreactor")
        module.install(uvloop.new_event_loop())
    else:
        importlib.import_module(f"twisted.internet.{variant}reactor").install()
    from twisted.internet import reactor

    return reactor


def serve(variant: str, service: str, ready: Ready) -> None:
    """Serve for ever."""
    reactor = _install(variant)
    factory = Factory.forProtocol(_SERVICES[service])
    factory.noisy = False
    port = reactor.listenTCP(0, factory, backlog=BACKLOG, interface=HOST)
    reactor.callWhenRunning(ready, port.getHost().port)
    reactor.run(installSignalHandlers=False)


@implementer(IHalfCloseableProtocol)
class _Asker(_Base):
    def __init__(self, factory: _Askers) -> None:
        self._factory = factory
        self._size = 0

    def connectionMade(self) -> None:
        self.transport.write(self._factory.request)
        self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)

    def readConnectionLost(self) -> None:
        # Left alone, Twisted keeps the connection for ever once both halves have ended.
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: object = None) -> None:
        assert self._size == len(self._factory.request)
        self._factory.over()


class _Askers(ClientFactory):
    noisy = False

    def __init__(self, reactor: Any, port: int, turns: Turns, request: bytes) -> None:
        self._reactor = reactor
        self._port = port
        self._turns = iter(turns)
        self.request = request

    def buildProtocol(self, addr: object) -> _Asker:
        return _Asker(self)

    def over(self) -> None:
        """One exchange has ended: begin the next."""
        if next(self._turns, None) is None:
            self._reactor.stop()
        else:
            self._reactor.connectTCP(HOST, self._port, self)


def exchange(variant: str, port: int, turns: Turns, request: bytes) -> None:
    """In each of *turns*: connect, send, end our half, read the reply to its end, close."""
    reactor = _install(variant)
    reactor.callWhenRunning(_Askers(reactor, port, turns, request).over)
    reactor.run(installSignalHandlers=False)
