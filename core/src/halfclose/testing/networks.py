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
    """A network in memory, with a backend that is open on it. `network` makes one."""

    backend: MemoryBackend
    """The backend that the code under test connects, listens and sets timers with."""


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
    """Make a network in memory with a virtual clock, for one test, in any event loop or in none::

        async with halfclose.testing.network(seed=7) as net:
            await net.backend.listen("memory:echo", Echo)
            with await net.raw("echo") as peer:
                await peer.send_all(b"hello")
                peer.shutdown()
                assert await peer.receive_all() == b"hello"

    At the end of the block the backend is left: its connections are closed and waited for, or
    aborted if the body raised (rule END-03). An exception of the body comes out as it is, not
    wrapped in a group. Afterwards `Network.open_ends` lists the ends that the test itself has left
    open.

    :param seed: decides the order and the sizes in which bytes arrive. The same seed gives the
        same run.
    :param chunks: the largest sizes of single reads, in bytes; they replace those of the seed.
    :param buffer: how many bytes of each direction may be sent and not yet read.
    :param latency: seconds that everything takes from one end to the other.
    :param grace: seconds of the virtual clock that leaving waits for connections to end.
    :param strict: whether the end of the block raises what an event, a factory, a task, a timer or
        a plugin has raised, unless the test has taken it out by `Network.flush_failures`. Without
        *strict* such a failure is only logged, and the test passes. If the body raised, only the
        body's exception comes out; with *strict*, its notes name each failure.
    :raises ValueError: one of these is out of range.
    :raises BaseException: with *strict*, the one failure, or a ``BaseExceptionGroup`` of several.
    :raises Deadlock: the test waits for something, and nothing is left that could make it happen.
    """
    net = OpenNetwork(seed, chunks=chunks, buffer=buffer, latency=latency)
    net.backend = MemoryBackend("memory", {"network": net, "grace": grace})
    try:
        async with net.backend:
            yield net
    except BaseException as error:
        if strict:
            _name_failures(error, net)
        raise
    if strict:
        _raise_failures(net.failures)


def _name_failures(error: BaseException, net: Network) -> None:
    """Note on *error*, which the body raised, what has failed beside: most often its cause.

    A protocol that raises resets its connection, and all that the body sees is the reset.
    """
    if not any(error is failure for failure in net.failures):
        for line in net.describe_failures():
            error.add_note(f"In the network, {line}")


def _raise_failures(failures: list[BaseException]) -> None:
    """Raise the failures, if there are any.

    :raises BaseException: the one failure, or a ``BaseExceptionGroup`` of several.
    """
    # The same exception may be noted twice: an event raised it, and a task that awaited it too.
    each = list({id(error): error for error in failures}.values())
    if not each:
        return
    error = each[0] if len(each) == 1 else BaseExceptionGroup("failures in the network", each)
    error.add_note(
        "Nobody caught it, and the test has not looked: Network.flush_failures takes out what is "
        "expected."
    )
    raise error
