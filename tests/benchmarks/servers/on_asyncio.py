"""Hand-written ``asyncio.Protocol`` servers, on asyncio's own loop and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from .sizes import BACKLOG, HOST, Ready, Turns, write_in_pieces

__all__ = ["exchange", "serve"]


class _Base(asyncio.Protocol):
    _transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport


class _Echo(_Base):
    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class _BulkEcho(_Echo):
    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()


class _Discard(_Base):
    """Closes at the end of stream, as every asyncio protocol does unless told otherwise."""


class _Reply(_Base):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._request: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self._request.append(data)

    def eof_received(self) -> bool:
        self._transport.write(b"".join(self._request))
        self._transport.close()
        return True


class _Source(_Base):
    _pieces: Iterator[bytes | memoryview]
    _paused = False

    def data_received(self, data: bytes) -> None:
        self._pieces = write_in_pieces(int(data))
        self._go_on()

    def _go_on(self) -> None:
        for piece in self._pieces:
            self._transport.write(piece)
            if self._paused:
                return
        self._transport.close()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._go_on()


_SERVICES: dict[str, type[_Base]] = {
    "echo": _Echo,
    "bulk-echo": _BulkEcho,
    "discard": _Discard,
    "reply": _Reply,
    "source": _Source,
}


def _new_loop(variant: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if variant == "uvloop":
        import uvloop

        new: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return new
    return asyncio.new_event_loop


def serve(variant: str, service: str, ready: Ready) -> None:
    """Serve for ever."""
    loop = _new_loop(variant)()
    making = loop.create_server(_SERVICES[service], HOST, 0, backlog=BACKLOG)
    server = loop.run_until_complete(making)
    ready(server.sockets[0].getsockname()[1])
    loop.run_forever()


class _Asker(_Base):
    def __init__(self, request: bytes) -> None:
        self._request = request
        self._size = 0
        self.over: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._transport.write(self._request)
        self._transport.write_eof()

    def data_received(self, data: bytes) -> None:
        self._size += len(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.over.set_result(self._size)


def exchange(variant: str, port: int, turns: Turns, request: bytes) -> None:
    """In each of *turns*: connect, send, end our half, read the reply to its end, close."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in turns:
            _, asker = await loop.create_connection(lambda: _Asker(request), HOST, port)
            assert await asker.over == len(request)

    _new_loop(variant)().run_until_complete(main())
