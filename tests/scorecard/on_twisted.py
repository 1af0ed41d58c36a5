"""Stock Twisted: the reactor's own transports, ``IHalfCloseableProtocol``, and ``StandardIO``.

The verbs and events have the same names there. ``StandardIO`` has no ``abortConnection``:
``loseConnection`` is the nearest.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from halfclose import (
    TCP,
    UNIX,
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionOptions,
    ConnectionRefused,
    ConnectTimeout,
    DNSLookupFailed,
    Endpoint,
    ListenError,
    StandardIO,
)
from halfclose.scheme_registry import as_endpoint
from halfclose_twisted.backend import TwistedBackend
from twisted.internet import error as errors
from twisted.internet import stdio
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol, ILoggingContext, IProtocol
from twisted.internet.protocol import Factory
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from .stock import StockListener, StockTransport, attached, only, translated

__all__ = ["StockTwisted"]

T = TypeVar("T")

CONNECTING = (
    (errors.ConnectionRefusedError, ConnectionRefused),
    (errors.DNSLookupError, DNSLookupFailed),
    (errors.TimeoutError, ConnectTimeout),
    (errors.ConnectError, ConnectError),
)

REASONS: tuple[tuple[type[Exception], type[ConnectionDone] | type[ConnectionLost]], ...] = (
    (errors.ConnectionDone, ConnectionDone),
    (errors.ConnectionAborted, ConnectionAborted),
    (errors.ConnectionLost, ConnectionLost),
)


class TwistedTransport(StockTransport):
    """A transport of the reactor's."""

    def __init__(self, protocol: Any, scheme: str) -> None:
        super().__init__(protocol, scheme)
        self._closed: Deferred[BaseException] = Deferred()
        self._below: Any = None

    def attach(self, below: Any) -> None:
        self._below = below
        self.tell_made()

    def write(self, data: Any) -> None:
        self._below.write(data)

    def writeSequence(self, data: Iterable[Any]) -> None:
        self._below.writeSequence(data)

    def loseWriteConnection(self) -> None:
        self.write_ending = True
        self._below.loseWriteConnection()

    def loseConnection(self) -> None:
        self.closing = True
        self._below.loseConnection()

    def abortConnection(self) -> None:
        self.closing = True
        if self.scheme == "stdio":
            self._below.loseConnection()
        else:
            self._below.abortConnection()

    def pauseProducing(self) -> None:
        self._below.pauseProducing()

    def resumeProducing(self) -> None:
        self._below.resumeProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._below.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self._below.unregisterProducer()

    def getPeer(self) -> Endpoint:
        return _endpoint(self._below.getPeer())

    def getHost(self) -> Endpoint:
        return _endpoint(self._below.getHost())

    def getHandle(self) -> object:
        # The attribute goes with the socket.
        handle = getattr(self._below, "getHandle", None)
        try:
            return handle() if handle is not None else self._below
        except AttributeError:
            return None

    def lost(self, failure: Failure) -> None:
        """``connectionLost`` was called."""
        error = failure.value
        assert error is not None
        for theirs, ours in REASONS:
            if isinstance(error, theirs):
                reason = ours(str(error))
                reason.__cause__ = error.__cause__
                self.tell_lost(reason)
                return
        self.tell_lost(error)

    def closed(self, reason: BaseException) -> None:
        if not self._closed.called:
            self._closed.callback(reason)

    async def whenClosed(self) -> BaseException:
        return await self._closed

    def discard(self) -> None:
        super().discard()
        if self.made and not self.is_lost:
            # What the reactor itself does at its end, to those that it still watches.
            reason = Failure(errors.ConnectionLost())  # type: ignore[no-untyped-call]
            self._below.connectionLost(reason)


def _endpoint(address: Any) -> Endpoint:
    if isinstance(address, stdio.PipeAddress):
        return StandardIO()
    if isinstance(address, UNIXAddress):
        return UNIX(os.fsdecode(address.name or b""))
    return TCP(address.host, address.port)


@implementer(IProtocol, ILoggingContext)
class PlainBridge:
    """The program's protocol, as Twisted calls one."""

    def __init__(self, protocol: Any, scheme: str) -> None:
        self.program = protocol
        self.stock = TwistedTransport(protocol, scheme)

    def makeConnection(self, transport: Any) -> None:
        self.stock.attach(transport)

    def connectionMade(self) -> None:
        """`makeConnection` has called the program's."""

    def dataReceived(self, data: bytes) -> None:
        self.stock.protocol.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        self.stock.lost(reason)

    def logPrefix(self) -> str:
        prefix = getattr(self.program, "logPrefix", lambda: type(self.program).__name__)
        return str(prefix())


@implementer(IHalfCloseableProtocol)
class HalfCloseableBridge(PlainBridge):
    """One that is half-closeable."""

    def readConnectionLost(self) -> None:
        self.stock.tell_read_ended()

    def writeConnectionLost(self) -> None:
        self.stock.tell_write_ended()


def bridge(protocol: Any, scheme: str) -> PlainBridge:
    """*protocol*, as Twisted calls one."""
    made = TwistedTransport(protocol, scheme).half_closeable
    return (HalfCloseableBridge if made else PlainBridge)(protocol, scheme)


class BridgeFactory(Factory):
    """Bridges to what a program's factory gives."""

    noisy = False

    def __init__(self, factory: Callable[[], Any], scheme: str) -> None:
        self._factory = factory
        self._scheme = scheme

    def buildProtocol(self, addr: object) -> Any:
        return bridge(self._factory(), self._scheme)


class StockTwisted(TwistedBackend):
    """The reactor and the clock are the backend's; connections and listeners are Twisted's own."""

    @classmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        observer: Any = to_logging
        globalLogPublisher.addObserver(observer)
        try:
            return super().run(name, options, main, args)
        finally:
            globalLogPublisher.removeObserver(observer)
            # Twisted's reactor ends those that it watches, which one that is paused is not.
            for transport in list(attached):
                transport.discard()

    async def connect(
        self,
        endpoint: Any,
        factory: Any,
        timeout: float | None = 30.0,
        options: ConnectionOptions | None = None,
    ) -> Any:
        target = as_endpoint(endpoint)
        only(options)
        if isinstance(target, StandardIO):
            made = bridge(factory(), "stdio")
            stdio.StandardIO(made, reactor=self.reactor)  # type: ignore[no-untyped-call]
            return made.program
        limit: Any = timeout
        if isinstance(target, TCP):
            client: Any = HostnameEndpoint(self.reactor, target.host, target.port, limit)
            scheme = "tcp"
        else:
            assert isinstance(target, UNIX)
            client = UNIXClientEndpoint(  # type: ignore[no-untyped-call]
                self.reactor, target.path, limit
            )
            scheme = "unix"
        with translated(CONNECTING):
            made = await client.connect(BridgeFactory(factory, scheme))
        return made.program

    async def listen(  # type: ignore[override]
        self, endpoint: Any, factory: Any, options: ConnectionOptions | None = None
    ) -> StockListener:
        target = as_endpoint(endpoint)
        known = only(options, "unix_mode")
        with translated([(errors.CannotListenError, ListenError), (socket.gaierror, ListenError)]):
            if isinstance(target, TCP):
                made = BridgeFactory(factory, "tcp")
                port = self.reactor.listenTCP(target.port, made, interface=target.host)
            elif isinstance(target, UNIX):
                made = BridgeFactory(factory, "unix")
                port = self.reactor.listenUNIX(target.path, made, mode=known.unix_mode)
            else:
                raise ListenError(f"{target} cannot be listened on")

        async def stop() -> None:
            await port.stopListening()

        return StockListener(_endpoint(port.getHost()), stop)


LEVELS = {
    LogLevel.warn: logging.WARNING,
    LogLevel.error: logging.ERROR,
    LogLevel.critical: logging.CRITICAL,
}


def to_logging(event: LogEvent) -> None:
    """Give Twisted's log to logging, with the prefix that Twisted's own log files show."""
    level = LEVELS.get(event["log_level"])
    if level is None:
        return
    # The older log.err has another name for it.
    failure = event.get("log_failure", event.get("failure"))
    shown = (failure.type, failure.value, failure.getTracebackObject()) if failure else None
    prefix = event.get("log_system", event.get("log_namespace"))
    log = logging.getLogger("twisted")
    log.log(level, "[%s] %s", prefix, formatEvent(event), exc_info=shown)
