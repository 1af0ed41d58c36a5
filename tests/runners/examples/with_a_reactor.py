"""A backend in a program of Twisted's, left also where ^C or reactor.stop() ends it."""

from typing import Any

import halfclose
from halfclose.examples import Ask, Logged, Upper
from twisted.internet.defer import Deferred
from twisted.internet.task import react


async def upper() -> None:
    async with halfclose.open_backend() as backend:
        listener = await backend.listen("tcp:127.0.0.1:0", Upper)
        # Left open, as the listener is: leaving the backend closes both.
        await backend.connect(listener.endpoint, Logged)

        client = await backend.connect(listener.endpoint, Ask)
        answer = await client.whole()
        assert answer == b"HELLO, WORLD", answer


def main(reactor: Any) -> Deferred[None]:
    program = Deferred.fromCoroutine(upper())

    def leave() -> Deferred[None]:
        program.cancel()
        return program

    reactor.addSystemEventTrigger("before", "shutdown", leave)
    return program


if __name__ == "__main__":
    react(main)
