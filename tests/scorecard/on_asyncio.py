"""Stock asyncio, and uvloop which has the same interface: ``asyncio.Protocol`` and its transports.

Missing here by nature, and not made up: an event for the end of our own stream on a socket, a
pull producer, bytes dropped, timeouts. ``connection_lost(None)`` stands for a clean end and for
``abort()`` alike, as documented; which of the two it was, a program knows, and so does the
adapter.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable
from typing import Any

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
from halfclose_anyio.backend import AnyioBackend
from halfclose_anyio.uvloop import UvloopBackend

from .stock import NoCounterpart, StockListener, StockTransport, attached, only, translated

__all__ = ["StockAsyncio", "StockUvloop"]

CONNECTING = (
    (ConnectionRefusedError, ConnectionRefused),
    (socket.gaierror, DNSLookupFailed),
    (asyncio.TimeoutError, ConnectTimeout),
    (OSError, ConnectError),
)


class AsyncioTransport(StockTransport):
    """What a socket's and two pipes' transports have in common."""

    def __init__(self, protocol: Any, scheme: str) -> None:
        super().__init__(protocol, scheme)
        self._aborted = False
        self._producer: Any = None
        self._closed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    writer: Any
    reader: Any

    def write(self, data: Any) -> None:
        self.writer.write(data)

    def writeSequence(self, data: Iterable[Any]) -> None:
        self.writer.writelines(data)

    def loseWriteConnection(self) -> None:
        self.writer.write_eof()
        self.write_ending = True

    def pauseProducing(self) -> None:
        self.reader.pause_reading()

    def resumeProducing(self) -> None:
        self.reader.resume_reading()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if not streaming:
            raise NoCounterpart("there are no pull producers")
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pause_writing(self) -> None:
        if self._producer is not None:
            self._producer.pauseProducing()

    def resume_writing(self) -> None:
        if self._producer is not None:
            self._producer.resumeProducing()

    def lost(self, error: BaseException | None) -> None:
        """``connection_lost`` was called."""
        reason: BaseException
        if error is None:
            reason = ConnectionAborted("aborted") if self._aborted else ConnectionDone("closed")
        elif isinstance(error, OSError):
            reason = ConnectionLost(str(error))
            reason.__cause__ = error
        else:
            reason = error
        self.tell_lost(reason)

    def closed(self, reason: BaseException) -> None:
        if not self._closed.done():
            self._closed.set_result(reason)

    async def whenClosed(self) -> BaseException:
        return await self._closed


class SocketTransport(AsyncioTransport):
    """One socket's transport."""

    def attach(self, transport: asyncio.Transport, options: ConnectionOptions) -> None:
        self.writer = self.reader = self._transport = transport
        transport.set_write_buffer_limits(options.high_water, options.low_water)
        self.tell_made()

    @property
    def _sent(self) -> bool:
        return bool(self._transport.get_write_buffer_size() == 0)

    @property
    def state(self) -> Any:
        if self.write_ending and self._sent:
            # Nothing tells when; this is what can be asked.
            self.write_ended = True
        return super().state

    def loseConnection(self) -> None:
        self._transport.close()
        self.closing = True

    def abortConnection(self) -> None:
        self._transport.abort()
        self.closing = self._aborted = True

    def getPeer(self) -> Endpoint:
        return self._endpoint(self._transport.get_extra_info("peername"))

    def getHost(self) -> Endpoint:
        return self._endpoint(self._transport.get_extra_info("sockname"))

    def _endpoint(self, address: Any) -> Endpoint:
        return UNIX(os.fsdecode(address)) if self.scheme == "unix" else TCP(*address[:2])

    def getHandle(self) -> object:
        sock = self._transport.get_extra_info("socket")
        return None if sock is None or sock.fileno() == -1 else sock

    def discard(self) -> None:
        super().discard()
        self._producer = None
        if self.made and not self.is_lost:
            self._transport.abort()


class SocketProtocol(asyncio.Protocol):
    """The program's protocol, as asyncio calls one."""

    def __init__(self, protocol: Any, scheme: str, options: ConnectionOptions) -> None:
        self.protocol = protocol
        self.transport = SocketTransport(protocol, scheme)
        self._options = options

    def connection_made(self, transport: Any) -> None:
        self.transport.attach(transport, self._options)

    def data_received(self, data: bytes) -> None:
        self.transport.protocol.dataReceived(data)

    def eof_received(self) -> bool:
        if self.transport.half_closeable:
            self.transport.tell_read_ended()
        return self.transport.half_closeable

    def connection_lost(self, error: BaseException | None) -> None:
        self.transport.lost(error)

    def pause_writing(self) -> None:
        self.transport.pause_writing()

    def resume_writing(self) -> None:
        self.transport.resume_writing()


class PipesTransport(AsyncioTransport):
    """Standard input and output, each a pipe's transport.

    Each tells of its own end by ``connection_lost``: that is ``readConnectionLost`` of the one and
    ``writeConnectionLost`` of the other, and ``connectionLost`` is when both have. A half that is
    over is not closed again.
    """

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol, "stdio")
        self._open = {"stdin", "stdout"}
        self._error: BaseException | None = None

    def loseConnection(self) -> None:
        self.closing = True
        if "stdout" in self._open:
            self.writer.close()
        if "stdin" in self._open:
            self.reader.close()

    def abortConnection(self) -> None:
        self.closing = self._aborted = True
        if "stdout" in self._open:
            self.writer.abort()
        if "stdin" in self._open:
            # It has nothing to flush, and no abort().
            self.reader.close()

    def half_lost(self, half: str, error: BaseException | None) -> None:
        """One of the two is over."""
        self._open.remove(half)
        self._error = self._error or error
        if not self._open:
            self.lost(self._error)

    def getPeer(self) -> Endpoint:
        return StandardIO()

    def getHost(self) -> Endpoint:
        return StandardIO()

    def getHandle(self) -> object:
        return self.writer.get_extra_info("pipe") if self._open else None

    def discard(self) -> None:
        super().discard()
        self._producer = None
        if self.made:
            self.abortConnection()


class InputProtocol(asyncio.Protocol):
    """Standard input."""

    def __init__(self, transport: PipesTransport) -> None:
        self._transport = transport

    def connection_made(self, transport: Any) -> None:
        self._transport.reader = transport
        self._transport.tell_made()

    def data_received(self, data: bytes) -> None:
        self._transport.protocol.dataReceived(data)

    def eof_received(self) -> None:
        if self._transport.half_closeable:
            self._transport.tell_read_ended()
        else:
            self._transport.writer.close()

    def connection_lost(self, error: BaseException | None) -> None:
        self._transport.half_lost("stdin", error)


class OutputProtocol(asyncio.BaseProtocol):
    """Standard output."""

    def __init__(self, transport: PipesTransport) -> None:
        self._transport = transport

    def connection_made(self, transport: Any) -> None:
        self._transport.writer = transport

    def connection_lost(self, error: BaseException | None) -> None:
        if self._transport.half_closeable and not self._transport.closing:
            self._transport.tell_write_ended()
        self._transport.half_lost("stdout", error)

    def pause_writing(self) -> None:
        self._transport.pause_writing()

    def resume_writing(self) -> None:
        self._transport.resume_writing()


class StockAsyncio(AnyioBackend):
    """The loop and the clock are the backend's; connections and listeners are asyncio's own."""

    async def connect(
        self,
        endpoint: Any,
        factory: Any,
        timeout: float | None = 30.0,
        options: ConnectionOptions | None = None,
    ) -> Any:
        target = as_endpoint(endpoint)
        if isinstance(target, StandardIO):
            only(options)
            return await self._connect_pipes(factory())
        loop = asyncio.get_running_loop()
        known = only(options, "high_water", "low_water")

        def make() -> SocketProtocol:
            return SocketProtocol(factory(), "tcp" if isinstance(target, TCP) else "unix", known)

        with translated(CONNECTING):
            if isinstance(target, TCP):
                connecting: Any = loop.create_connection(make, target.host, target.port)
            else:
                assert isinstance(target, UNIX)
                connecting = loop.create_unix_connection(make, target.path)
            _, made = await asyncio.wait_for(connecting, timeout)
        return made.protocol

    async def _connect_pipes(self, protocol: Any) -> Any:
        loop = asyncio.get_running_loop()
        transport = PipesTransport(protocol)
        # What sys.stdin.buffer.raw and sys.stdout.buffer.raw are, and asyncio closes at the end.
        stdin = os.fdopen(0, "rb", buffering=0)
        stdout = os.fdopen(1, "wb", buffering=0)
        await loop.connect_write_pipe(lambda: OutputProtocol(transport), stdout)
        await loop.connect_read_pipe(lambda: InputProtocol(transport), stdin)
        return protocol

    async def listen(  # type: ignore[override]
        self, endpoint: Any, factory: Any, options: ConnectionOptions | None = None
    ) -> StockListener:
        target = as_endpoint(endpoint)
        loop = asyncio.get_running_loop()
        known = only(options, "high_water", "low_water")
        with translated([(OSError, ListenError)]):
            if isinstance(target, TCP):
                server: Any = await loop.create_server(
                    lambda: SocketProtocol(factory(), "tcp", known), target.host, target.port
                )
                target = TCP(*server.sockets[0].getsockname()[:2])
            elif isinstance(target, UNIX):
                server = await loop.create_unix_server(
                    lambda: SocketProtocol(factory(), "unix", known), target.path
                )
            else:
                raise ListenError(f"{target} cannot be listened on")

        async def stop() -> None:
            # Not wait_closed(): on some versions it waits for the connections too.
            server.close()

        return StockListener(target, stop)

    async def stop(self, error: BaseException | None) -> None:
        # A loop that ends closes nothing: what was left is the test's to release.
        left = list(attached)
        for transport in left:
            transport.discard()
        del left
        for _ in range(3):
            await asyncio.sleep(0)
        await super().stop(error)


class StockUvloop(StockAsyncio, UvloopBackend):
    """The same on uvloop."""
