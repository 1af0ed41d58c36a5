"""A program without an event loop: each call runs one, and ends it."""

import sys

import halfclose
from halfclose.examples import Ask


async def exchange(backend: halfclose.AbstractBackend, server: str, question: bytes) -> bytes:
    client = await backend.connect(server, lambda: Ask(question), timeout=5)
    return await client.whole()


def ask(server: str, question: bytes) -> bytes:
    return halfclose.run(exchange, server, question)


if __name__ == "__main__":
    print(ask(sys.argv[1], b"hello, world").decode())
