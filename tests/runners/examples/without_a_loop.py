"""A program without an event loop: each call runs one, and ends it."""

import sys

import halfclose
from halfclose.examples import Ask


async def exchange(backend: halfclose.Backend, server: str, question: bytes) -> bytes:
    client = await backend.connect(server, lambda: Ask(question), timeout=5)
    reason = await client.transport.whenClosed()
    if not isinstance(reason, halfclose.ConnectionDone):
        raise reason
    return bytes(client.answer)


def ask(server: str, question: bytes) -> bytes:
    return halfclose.run(exchange, server, question)


if __name__ == "__main__":
    print(ask(sys.argv[1], b"hello, world").decode())
