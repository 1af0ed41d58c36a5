"""Servers over anyio's streams, on asyncio, uvloop and trio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream

from .sizes import BACKLOG, HOST, Ready, Turns, write_in_pieces

__all__ = ["exchange", "serve"]


async def _echo(stream: SocketStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send(data)


async def _discard(stream: SocketStream) -> None:
    async with stream:
        async for _ in stream:
            pass


async def _reply(stream: SocketStream) -> None:
    async with stream:
        await stream.send(b"".join([data async for data in stream]))


async def _source(stream: SocketStream) -> None:
    async with stream:
        for piece in write_in_pieces(int(await stream.receive())):
            await stream.send(bytes(piece))


_SERVICES: dict[str, Callable[[SocketStream], Awaitable[None]]] = {
    "echo": _echo,
    "bulk-echo": _echo,
    "discard": _discard,
    "reply": _reply,
    "source": _source,
}


def _run(variant: str, main: Callable[[], Awaitable[None]]) -> None:
    options: dict[str, Any] = {}
    if variant == "uvloop":
        options = {"use_uvloop": True}
    anyio.run(main, backend="trio" if variant == "trio" else "asyncio", backend_options=options)


def serve(variant: str, service: str, ready: Ready) -> None:
    """Serve for ever."""

    async def main() -> None:
        listener = await anyio.create_tcp_listener(local_host=HOST, local_port=0, backlog=BACKLOG)
        ready(listener.extra(SocketAttribute.local_port))
        await listener.serve(_SERVICES[service])

    _run(variant, main)


def exchange(variant: str, port: int, turns: Turns, request: bytes) -> None:
    """In each of *turns*: connect, send, end our half, read the reply to its end, close."""

    async def main() -> None:
        for _ in turns:
            async with await anyio.connect_tcp(HOST, port) as stream:
                await stream.send(request)
                await stream.send_eof()
                size = 0
                async for data in stream:
                    size += len(data)
                assert size == len(request)

    _run(variant, main)
