"""A protocol on the connections that a listener of anyio accepts, on any loop of anyio."""

import sys

import anyio
import halfclose
from anyio.abc import ByteStream, SocketAttribute
from halfclose.examples import Ask, Upper
from halfclose_anyio import serve_stream


async def serve(stream: ByteStream) -> None:
    await serve_stream(stream, Upper())


async def main() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)

        async with halfclose.open_backend() as backend:
            client = await backend.connect(halfclose.TCP("127.0.0.1", port), Ask)
            answer = await client.whole()
            print(answer.decode())
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1] if len(sys.argv) > 1 else "asyncio")
