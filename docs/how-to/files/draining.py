"""Serves sums. At SIGTERM it stops accepting, and lets open conversations finish first.

Usage: python draining.py ENDPOINT SECONDS
"""

import logging
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import halfclose
from sums import Sum

log = logging.getLogger("draining")

conversations: "set[Counted]" = set()


class Counted(Sum):
    """A conversation that is among `conversations` from its beginning to its end."""

    def connectionMade(self) -> None:
        super().connectionMade()
        conversations.add(self)

    def connectionLost(self, reason: BaseException) -> None:
        conversations.discard(self)
        super().connectionLost(reason)


def at_sigterm(backend: halfclose.AbstractBackend, call: Callable[[], object]) -> None:
    """Have *call* called in the loop's thread at the first SIGTERM, on every event loop."""

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        backend.call_soon_threadsafe(call)

    threading.Thread(target=wait, daemon=True).start()


async def main(backend: halfclose.AbstractBackend, endpoint: str, seconds: float) -> None:
    stop = backend.create_event()
    at_sigterm(backend, stop.set)
    async with await backend.listen(endpoint, Counted) as listener:
        log.info("listening on %s", listener.endpoint)
        await stop.wait()

    log.info("stopping; open conversations: %d", len(conversations))
    backend.call_later(seconds, give_up)
    for conversation in list(conversations):
        await conversation.transport.whenClosed()


def give_up() -> None:
    """Reset what is left, so that nobody takes half an answer for a whole one."""
    for conversation in list(conversations):
        conversation.transport.abortConnection()


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    # Blocked here, and so in every thread that starts later: only sigwait takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with suppress(KeyboardInterrupt):
        halfclose.run(main, sys.argv[1], float(sys.argv[2]))
