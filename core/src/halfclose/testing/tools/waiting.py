"""Ways to wait that several chapters need, by the clock of the backend under test."""

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
"""Seconds of a timer that a rule waits for."""

SOON = 2.0
"""Seconds for what has no need to wait for anything."""

_WINDOW = 0.1
"""Seconds in which the loop's processor time is measured."""

_TIMEOUTS = (0.15, 0.3, 0.6, 1.2, 2.4)
"""Seconds to which scenarios set timeouts: longer each time that one was late."""

_BUSY = 0.05
"""The share of a core that an idle connection may cost."""

Scenario: TypeAlias = Callable[[Net, float], Awaitable[None]]
"""Called with the seconds to which it sets the timeouts that it looks at."""


async def elapse(net: Net, seconds: float) -> None:
    """Wait by a timer, and for what is due with it."""
    over = net.backend.create_event()
    net.backend.call_later(seconds, over.set)
    await net.wait(over, f"a timer of {seconds} s")
    await net.turns()


async def eventually(net: Net, reached: Callable[[], object], limit: float = LIMIT) -> bool:
    """Let the loop go round until *reached*; False if it is not within *limit* seconds."""
    end = net.backend.time() + limit
    while not reached():
        if net.backend.time() > end:
            return False
        await net.backend.sleep(0.001)
    return True


class Late(Exception):
    """The machine was too busy for a pause to be as short as it had to be: nothing was seen."""


async def ticking(
    net: Net,
    seconds: float,
    timeout: float,
    step: Callable[[], Awaitable[object]],
    since: float | None = None,
) -> None:
    """Do *step* again and again for *seconds*, with pauses that no *timeout* of a rule reaches.

    :param since: when there was something to see before the first step; by default now.
    :raises Late: one pause may have reached it after all. `at_once` then begins again.
    """
    clock = net.backend.time
    last = clock() if since is None else since
    end = clock() + seconds

    def check() -> None:
        # Twice that may lie between what two steps have done.
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
    """What is done in the block goes on without a pause that *timeout* of a rule could reach.

    :raises Late: it failed, and has taken so long that there may have been one after all.
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
    """Run *scenarios* side by side, so that they wait for their timeouts together.

    One after another on stdio, of which there can be only one connection. One that was `Late` is
    begun again, with a longer timeout.
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
    """Have the raw peer send without end, and give how much went out until nothing more would.

    :param limit: where it stops if nothing stops it.
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
    """Fail if the loop's thread has work to do while nothing happens.

    Measured again if it has: another test's garbage may be collected in one window.
    """
    share = 1.0
    for _ in range(3):
        begun, since, worked = net.backend.time(), time.monotonic(), time.thread_time()
        await net.backend.sleep(_WINDOW)
        worked = time.thread_time() - worked
        # A virtual clock goes faster than the one on the wall.
        elapsed = max(net.backend.time() - begun, time.monotonic() - since)
        share = min(share, worked / elapsed)
        if share < _BUSY:
            return
    raise AssertionError(f"{what}: the loop is busy for {share:.0%} of the time")
