"""One conversation over the TLS of a framework, as every peer here has it:

    python frameworks.py asyncio|uvloop|anyio|trio client|server answers PORT FOLDER

It reads the question to its end, prints how many bytes that were, and answers a little later. None
of the four has a call to end one half, so none can ask. FOLDER has ca.pem, certificate.pem and
key.pem.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

LATE = 0.2
ANSWER = bytes(200_000)


def context(side: str, folder: Path) -> ssl.SSLContext:
    if side == "client":
        return ssl.create_default_context(cafile=folder / "ca.pem")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return made


class OnAsyncio(asyncio.Protocol):
    """It asks asyncio to go on writing after the peer's end, which only plain sockets do."""

    def __init__(self) -> None:
        self.count = 0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.count += len(data)

    def eof_received(self) -> bool:
        print(self.count, "clean", flush=True)
        asyncio.get_running_loop().call_later(LATE, self.answer)
        return True

    def answer(self) -> None:
        self.transport.write(ANSWER)
        self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.over.set_result(None)


async def on_asyncio(side: str, port: int, folder: Path) -> None:
    loop = asyncio.get_running_loop()
    protocol, tls = OnAsyncio(), context(side, folder)
    if side == "client":
        await loop.create_connection(
            lambda: protocol, "127.0.0.1", port, ssl=tls, server_hostname="localhost"
        )
    else:
        await loop.create_server(lambda: protocol, "127.0.0.1", port, ssl=tls)
    await protocol.over


async def answer_by(
    receive: Callable[[], Awaitable[bytes | bytearray]],
    send: Callable[[bytes], Awaitable[None]],
    sleep: Callable[[float], Awaitable[None]],
) -> None:
    count = 0
    while data := await receive():
        count += len(data)
    print(count, "clean", flush=True)
    await sleep(LATE)
    await send(ANSWER)


async def on_anyio(side: str, port: int, folder: Path) -> None:
    import anyio
    from anyio.streams.tls import TLSListener, TLSStream

    async def converse(stream: TLSStream) -> None:
        async def receive() -> bytes:
            try:
                return await stream.receive()
            except anyio.EndOfStream:
                return b""

        async with stream:
            await answer_by(receive, stream.send, anyio.sleep)
        scope.cancel()

    tls = context(side, folder)
    with anyio.CancelScope() as scope:
        if side == "client":
            tcp = await anyio.connect_tcp("127.0.0.1", port)
            await converse(await TLSStream.wrap(tcp, hostname="localhost", ssl_context=tls))
        else:
            tcp_listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
            await TLSListener(tcp_listener, tls).serve(converse)


async def on_trio(side: str, port: int, folder: Path) -> None:
    import trio

    async def converse(stream: trio.SSLStream[trio.SocketStream]) -> None:
        async with stream:
            await answer_by(stream.receive_some, stream.send_all, trio.sleep)
        scope.cancel()

    tls = context(side, folder)
    with trio.CancelScope() as scope:
        if side == "client":
            tcp = await trio.open_tcp_stream("127.0.0.1", port)
            await converse(trio.SSLStream(tcp, tls, server_hostname="localhost"))
        else:
            await trio.serve_ssl_over_tcp(converse, port, tls, host="127.0.0.1")


def main(framework: str, side: str, _part: str, port: str, folder: str) -> None:
    arguments = side, int(port), Path(folder)
    if framework == "asyncio":
        asyncio.run(on_asyncio(*arguments))
    elif framework == "uvloop":
        import uvloop

        uvloop.run(on_asyncio(*arguments))
    elif framework == "anyio":
        import anyio

        anyio.run(on_anyio, *arguments)
    else:
        import trio

        trio.run(on_trio, *arguments)


main(*sys.argv[1:])
