"""Servers over trio's own streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from .sizes import BACKLOG, HOST, Ready, Turns, write_in_pieces

__all__ = ["exchange", "serve"]


async def _echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def _discard(stream: trio.SocketStream) -> None:
    async for _ in stream:
        pass


async def _reply(stream: trio.SocketStream) -> None:
    await stream.send_all(b"".join([data async for data in stream]))


async def _source(stream: trio.SocketStream) -> None:
    for piece in write_in_pieces(int(await stream.receive_some())):
        await stream.send_all(piece)


_SERVICES: dict[str, Callable[[trio.SocketStream], Awaitable[None]]] = {
    "echo": _echo,
    "bulk-echo": _echo,
    "discard": _discard,
    "reply": _reply,
    "source": _source,
}


def serve(variant: str, service: str, ready: Ready) -> None:
    """Serve for ever."""

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host=HOST, backlog=BACKLOG)
        ready(listeners[0].socket.getsockname()[1])
        # It closes each stream when the handler has returned.
        await trio.serve_listeners(_SERVICES[service], listeners)

    trio.run(main)


def exchange(variant: str, port: int, turns: Turns, request: bytes) -> None:
    """In each of *turns*: connect, send, end our half, read the reply to its end, close."""

    async def main() -> None:
        for _ in turns:
            async with await trio.open_tcp_stream(HOST, port) as stream:
                await stream.send_all(request)
                await stream.send_eof()
                size = 0
                async for data in stream:
                    size += len(data)
                assert size == len(request)

    trio.run(main)
