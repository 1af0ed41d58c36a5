"""Ways to wait that several chapters of rules use, by the clock of the backend under test."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from ..channels.peers import LIMIT, RawPeer
from .data import pattern
from .harness import Net

__all__ = [
    "SHORT",
    "SOON",
    "Late",
    "Scenario",
    "at_once",
    "elapse",
    "eventually",
    "flood",
    "idle",
    "in_time",
    "ticking",
]

SHORT = 0.02
"""Seconds of a timer for which a rule waits."""

SOON = 2.0
"""Seconds within which something has to happen that waits for nothing."""

_WINDOW = 0.1
"""Seconds during which the loop's processor time is measured."""

_TIMEOUTS = (0.15, 0.3, 0.6, 1.2, 2.4, 4.8)
"""Seconds of the timeouts in a scenario: the next longer one after each `Late`."""

_BUSY = 0.05
"""The share of a processor core that an idle connection may use."""

Scenario: TypeAlias = Callable[[Net, float], Awaitable[None]]
"""A part of a rule about timeouts, with the seconds of the timeouts that it has to set."""


async def elapse(net: Net, seconds: float) -> None:
    """Wait for a timer of so many seconds, and for everything that is due at the same time."""
    over = net.backend.create_event()
    net.backend.call_later(seconds, over.set)
    await net.wait(over, f"a timer of {seconds} s")
    await net.turns()


async def eventually(net: Net, reached: Callable[[], object], limit: float = LIMIT) -> bool:
    """Let the loop run until *reached* returns something true.

    :returns: False if *limit* seconds passed before.
    """
    end = net.backend.time() + limit
    while not reached():
        if net.backend.time() > end:
            return False
        await net.backend.sleep(0.001)
    return True


class Late(Exception):
    """A pause was too long, since the machine was busy, so that the scenario proves nothing."""


async def ticking(
    net: Net,
    seconds: float,
    timeout: float,
    step: Callable[[], Awaitable[object]],
    since: float | None = None,
) -> None:
    """Repeat *step* for *seconds*, with pauses that are shorter than *timeout*.

    :param timeout: seconds of the timeout under test, which no pause may reach.
    :param since: time of the last progress before the first step; by default now.
    :raises Late: a pause may have been as long as *timeout*. `at_once` then begins again.
    """
    clock = net.backend.time
    last = clock() if since is None else since
    end = clock() + seconds

    def check() -> None:
        # The effects of two steps may be twice as far apart as this time.
        if clock() - last > 0.45 * timeout:
            raise Late(f"what was to come every {timeout / 6:.3f} s took {clock() - last:.3f} s")

    while clock() < end:
        try:
            await step()
        except Exception:
            check()
            raise
        await net.backend.sleep(timeout / 6)
        check()
        last = clock()


@contextmanager
def in_time(net: Net, timeout: float) -> Iterator[None]:
    """Run a block that must not last as long as *timeout*, the timeout under test.

    :raises Late: the block failed, and lasted so long that the timeout may be the cause.
    """
    begun = net.backend.time()
    try:
        yield
    except Exception as error:
        took = net.backend.time() - begun
        if took > 0.45 * timeout:
            raise Late(f"what was to come within {timeout:.3f} s took {took:.3f} s") from error
        raise


async def at_once(net: Net, *scenarios: Scenario) -> None:
    """Run *scenarios* side by side, so that they wait for their timeouts at the same time.

    On stdio, where there can be only one connection, they run one after another. A scenario that
    raises `Late` is begun again, with a longer timeout.
    """
    if net.channel_type.beside is not net.channel_type:
        for scenario in scenarios:
            await _play(net, scenario)
        return
    failures: list[BaseException] = []
    endings = []

    async def play(scenario: Scenario, ended: Any) -> None:
        try:
            await _play(net, scenario)
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            ended.set()

    for scenario in scenarios:
        endings.append(net.backend.create_event())
        net.backend.start_soon(play, scenario, endings[-1])
    for ended in endings:
        await ended.wait()
    if failures:
        raise failures[0]


async def _play(net: Net, scenario: Scenario) -> None:
    """Run *scenario* until it is not `Late`, or fail after the longest timeout."""
    for timeout in _TIMEOUTS:
        inner = Net(net.backend, net.channel_type)
        try:
            await scenario(inner, timeout)
            return
        except Late as late:
            if timeout == _TIMEOUTS[-1]:
                raise (late.__cause__ or late) from None
        finally:
            for protocol in inner.protocols:
                net.watch(protocol)
            await inner.close()


async def flood(net: Net, peer: RawPeer, limit: int) -> int:
    """Have the raw peer send until nothing more fits.

    :param limit: how many bytes it sends at most.
    :returns: how many bytes it has sent.
    """
    piece = pattern(1 << 16)
    sent = 0
    stuck = 0
    while stuck < 2 and sent < limit:
        before = sent
        while sent < limit and (taken := peer.send_some(piece)):
            sent += taken
        stuck = stuck + 1 if sent == before else 0
        await net.quiet()
    return sent


async def idle(net: Net, what: str) -> None:
    """Fail if the loop's thread uses the processor although nothing happens.

    It is measured up to three times, since garbage of another test may be collected meanwhile.

    :param what: what is idle, for the message.
    :raises AssertionError: the thread was busy each time.
    """
    share = 1.0
    for _ in range(3):
        begun, since, worked = net.backend.time(), time.monotonic(), time.thread_time()
        await net.backend.sleep(_WINDOW)
        worked = time.thread_time() - worked
        # A virtual clock is faster than the real one.
        elapsed = max(net.backend.time() - begun, time.monotonic() - since)
        share = min(share, worked / elapsed)
        if share < _BUSY:
            return
    raise AssertionError(f"{what}: the loop is busy for {share:.0%} of the time")
