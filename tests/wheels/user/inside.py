"""Inside other people's loops: asyncio, trio, anyio's streams, and Twisted's endpoints."""

from __future__ import annotations

import asyncio

import anyio
import halfclose
import trio
from anyio.abc import SocketStream
from halfclose_anyio import serve_stream
from halfclose_twisted import as_factory
from program import ask, main
from protocols import Upper
from twisted.internet import endpoints
from twisted.internet.interfaces import IReactorTCP


async def inside() -> bytes:
    async with halfclose.open_backend() as backend:
        return await main(backend, "127.0.0.1")


async def streams() -> bytes:
    async def handle(stream: SocketStream) -> None:
        await serve_stream(stream, Upper())

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = int(listener.extra(anyio.abc.SocketAttribute.local_port))
    answer = b""
    async with anyio.create_task_group() as tasks, halfclose.open_backend() as backend:
        tasks.start_soon(listener.serve, handle)
        answer = await ask(backend, f"tcp:127.0.0.1:{port}")
        tasks.cancel_scope.cancel()
    return answer


def server(reactor: IReactorTCP) -> endpoints.TCP4ServerEndpoint:
    made = endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    factory = as_factory(Upper, halfclose.ConnectionOptions(), reactor=reactor)
    made.listen(factory)  # pyright: ignore[reportUnknownMemberType]  # Twisted's is untyped.
    return made


if __name__ == "__main__":
    print(asyncio.run(inside()), trio.run(inside), anyio.run(streams))
