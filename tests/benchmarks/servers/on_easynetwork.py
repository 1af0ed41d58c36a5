"""Servers over EasyNetwork's transports, the lowest layer that it makes public (on asyncio)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from easynetwork.lowlevel.api_async.backend.utils import new_builtin_backend
from easynetwork.lowlevel.socket import SocketAttribute

from .sizes import BACKLOG, HOST, READ_SIZE, Ready, Turns, write_in_pieces

__all__ = ["exchange", "serve"]


async def _echo(transport: Any) -> None:
    async with transport:
        while data := await transport.recv(READ_SIZE):
            await transport.send_all(data)


async def _discard(transport: Any) -> None:
    async with transport:
        while await transport.recv(READ_SIZE):
            pass


async def _reply(transport: Any) -> None:
    async with transport:
        request = []
        while data := await transport.recv(READ_SIZE):
            request.append(data)
        await transport.send_all(b"".join(request))


async def _source(transport: Any) -> None:
    async with transport:
        for piece in write_in_pieces(int(await transport.recv(READ_SIZE))):
            await transport.send_all(piece)


_SERVICES: dict[str, Callable[[Any], Coroutine[Any, Any, None]]] = {
    "echo": _echo,
    "bulk-echo": _echo,
    "discard": _discard,
    "reply": _reply,
    "source": _source,
}


def serve(variant: str, service: str, ready: Ready) -> None:
    """Serve for ever."""
    backend: Any = new_builtin_backend("asyncio")

    async def main() -> None:
        listeners = await backend.create_tcp_listeners(HOST, 0, backlog=BACKLOG)
        ready(listeners[0].extra(SocketAttribute.sockname)[1])
        async with backend.create_task_group() as tasks:
            await listeners[0].serve(_SERVICES[service], tasks)

    backend.bootstrap(main)


def exchange(variant: str, port: int, turns: Turns, request: bytes) -> None:
    """In each of *turns*: connect, send, end our half, read the reply to its end, close."""
    backend: Any = new_builtin_backend("asyncio")

    async def main() -> None:
        for _ in turns:
            transport = await backend.create_tcp_connection(HOST, port)
            async with transport:
                await transport.send_all(request)
                await transport.send_eof()
                size = 0
                while data := await transport.recv(READ_SIZE):
                    size += len(data)
                assert size == len(request)

    backend.bootstrap(main)
