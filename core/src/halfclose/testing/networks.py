"""A network in memory, for unit tests of protocols. It needs no test framework."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..backend import GRACE
from ..memory.backend import MemoryBackend
from ..memory.conditions import BUFFER, Chunks
from ..memory.network import Network

__all__ = ["OpenNetwork", "network"]


class OpenNetwork(Network):
    """A network, and a backend that is open on it; what `network` gives."""

    backend: MemoryBackend
    """Connects, listens, keeps the time: give it to the code under test."""


@asynccontextmanager
async def network(
    seed: int | None = None,
    *,
    chunks: Chunks | None = None,
    buffer: int = BUFFER,
    latency: float = 0.0,
    grace: float = GRACE,
    strict: bool = True,
) -> AsyncIterator[OpenNetwork]:
    """A network in memory with a virtual clock, for one test, in any event loop or in none::

        async with halfclose.testing.network(seed=7) as net:
            await net.backend.listen("memory:echo", Echo)
            with await net.raw("echo") as peer:
                await peer.send_all(b"hello")
                peer.shutdown()
                assert await peer.receive_all() == b"hello"

    At the end of the block the backend is left: its connections are closed and waited for, or
    aborted if the body raised (rule END-03). What comes out is the body's exception, bare.
    `Network.open_ends` then says what the test itself has left open.

    :param seed: draws the order and the sizes in which bytes arrive; the same seed, the same run.
    :param chunks: sizes of what one read gives at most, in place of the seed's.
    :param buffer: bytes of each direction that may be sent and not read.
    :param latency: seconds that everything takes on its way.
    :param grace: seconds, of the virtual clock, that leaving waits for connections to end.
    :param strict: at the end, raise what an event, a factory, a task, a timer or a plugin has
        raised and nobody has taken out by `Network.flush_failures`: it is logged only, otherwise,
        and the test would pass. Where the body raised, that comes out.
    :raises ValueError: one of these is out of range.
    :raises BaseException: with *strict*, the failure; several, as an ``ExceptionGroup``.
    :raises Deadlock: at any wait, where nothing is left that could end it.
    """
    net = OpenNetwork(seed, chunks=chunks, buffer=buffer, latency=latency)
    net.backend = MemoryBackend("memory", {"network": net, "grace": grace})
    async with net.backend:
        yield net
    if strict:
        _raise_failures(net.failures)


def _raise_failures(failures: list[BaseException]) -> None:
    """
    :raises BaseException: the failure; several, as a group.
    """
    # One that was passed on, from an event to a task that awaited it, is one.
    each = list({id(error): error for error in failures}.values())
    if not each:
        return
    error = each[0] if len(each) == 1 else BaseExceptionGroup("failures in the network", each)
    error.add_note(
        "Nobody caught it, and the test has not looked: Network.flush_failures takes out what is "
        "expected."
    )
    raise error
