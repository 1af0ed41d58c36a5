"""A protocol on the connections that a listener of trio accepts."""

from functools import partial

import halfclose
import trio
from halfclose.examples import Ask, Upper
from halfclose_anyio import serve_stream


async def serve(stream: trio.SocketStream) -> None:
    await serve_stream(stream, Upper())


async def main() -> None:
    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
        (listener,) = await nursery.start(listen)
        port = listener.socket.getsockname()[1]

        async with halfclose.open_backend() as backend:
            client = await backend.connect(halfclose.TCP("127.0.0.1", port), Ask)
            answer = await client.whole()
            print(answer.decode())
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
