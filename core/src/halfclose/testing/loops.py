"""What a backend's own methods promise, on which all the rest stands.

Each is checked by the rule that would be the first to break.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from ..backend import Backend
from ..running import open_backend, run
from .harness import Net
from .logs import logged, showing
from .peers import LIMIT
from .reactions import Boom, raises, raising

__all__ = [
    "check_calls",
    "check_events",
    "check_failures",
    "check_fatal",
    "check_interruption",
    "check_leaving",
    "check_names",
    "check_program",
    "check_threads",
    "check_timers",
    "check_watches",
]

SHORT = 0.02
"""Seconds of a timer that the checks wait for."""


async def elapse(net: Net, seconds: float) -> None:
    """Wait by a timer, and for what is due with it."""
    over = net.backend.create_event()
    net.backend.call_later(seconds, over.set)
    await net.wait(over, f"a timer of {seconds} s")
    await net.turns()


async def check_calls(net: Net) -> None:
    """``call_soon`` calls in the next turn, in order."""
    called: list[int] = []
    for number in range(5):
        net.backend.call_soon(called.append, number)
    assert not called, "call_soon called at once"
    await net.turns(1)
    assert called == list(range(5)), f"call_soon called in the order {called}"


async def check_timers(net: Net) -> None:
    """``call_later`` calls once, not too early, and not what was cancelled."""
    called: list[str] = []
    begun = net.backend.time()
    cancelled = net.backend.call_later(SHORT / 2, called.append, "cancelled")
    kept = net.backend.call_later(SHORT, called.append, "kept")
    for _ in range(2):
        cancelled.cancel()
    await elapse(net, 2 * SHORT)
    took = net.backend.time() - begun
    assert took >= 1.9 * SHORT, f"a timer of {2 * SHORT} s came after {took:.3f} s of time()"
    assert called == ["kept"], f"call_later called {called}, and the first was cancelled"
    # One that was called can be cancelled too.
    kept.cancel()


async def check_threads(net: Net) -> None:
    """``call_soon_threadsafe`` wakes a loop that has nothing to do, and calls in its thread."""
    over = net.backend.create_event()
    called_in: list[threading.Thread] = []

    def work() -> None:
        net.backend.call_soon_threadsafe(lambda: called_in.append(threading.current_thread()))
        net.backend.call_soon_threadsafe(over.set)

    # Begun when the loop is about to wait.
    thread = threading.Timer(SHORT, work)
    thread.start()
    try:
        await net.wait(over, "what another thread had called")
    finally:
        thread.join()
    assert called_in == [threading.current_thread()], "it was called in another thread"


async def check_events(net: Net) -> None:
    """An event wakes all that wait for it; one that is cancelled takes no other along."""
    event = net.backend.create_event()
    woken: list[str] = []

    async def waiter(name: str) -> None:
        await event.wait()
        woken.append(name)

    async with open_backend(net.backend.name) as inner:
        inner.start_soon(waiter, "cancelled")
        for name in ("first", "second"):
            net.backend.start_soon(waiter, name)
        await net.turns()
        # Leaving cancels its own task.
    await net.turns()
    assert not woken, f"where one was cancelled, {woken} went on"
    at_once: list[str] = []

    def set_it() -> None:
        event.set()
        event.set()
        at_once.extend(woken)

    net.backend.call_soon(set_it)
    await net.turns(10)
    assert not at_once, "Event.set went on with a task inside the call"
    assert sorted(woken) == ["first", "second"], f"of two that waited, {woken} went on"
    assert event.is_set()
    await event.wait()


async def check_failures(net: Net) -> None:
    """What a function raises that the loop calls is logged, once, and stops nothing."""
    ways: dict[str, Callable[..., object]] = {
        "call_soon": net.backend.call_soon,
        "call_later": lambda function: net.backend.call_later(0, function),
        "call_soon_threadsafe": net.backend.call_soon_threadsafe,
        "start_soon": lambda function: net.backend.start_soon(_as_task(function)),
    }
    for way, call in ways.items():
        error = Boom(way)
        with logged() as records:
            call(raising(error))
            await elapse(net, SHORT)
        times = len([record for record in showing(error, records) if record.name == "halfclose"])
        assert times == 1, (
            f"what {way} called raised, and the logger halfclose told of it {times} times: "
            "see Backend.guarded and Backend.start_soon"
        )


def _as_task(function: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def task() -> None:
        function()

    return task


async def check_watches(net: Net) -> None:
    """``watch`` calls for as long as the descriptor is ready, and not once it was stopped."""
    pairs = [socket.socketpair() for _ in range(2)]
    watches: list[Any] = []
    called: list[int] = []
    error = Boom("watch")

    def ready(number: int) -> None:
        called.append(number)
        # The other one is ready in the same round.
        watches[1 - number].stop()
        if len(called) == 1:
            raise error

    try:
        for number, (ours, _) in enumerate(pairs):
            watches.append(
                net.backend.watch(ours.fileno(), lambda number=number: ready(number))  # type: ignore[misc]
            )
        for _, theirs in pairs:
            theirs.send(b"x")
        with logged() as records:
            await elapse(net, SHORT)
        assert len(called) > 1, f"called {len(called)} times, although it stayed ready"
        assert len(set(called)) == 1, "one was called that had been stopped in the same round"
        assert len(showing(error, records)) == 1, "what it raised was not logged"
        for _ in range(2):
            watches[called[0]].stop()
        before = len(called)
        await elapse(net, SHORT)
        assert len(called) == before, "it was called after it had been stopped"
    finally:
        for watch in watches:
            watch.stop()
        for pair in pairs:
            for sock in pair:
                sock.close()


async def check_names(net: Net) -> None:
    """``resolve`` gives the addresses of a host, with the port, or raises OSError."""
    found = await net.backend.resolve("localhost", 80)
    assert found, "localhost has no address"
    assert {address[1] for _, address in found} == {80}, f"localhost, port 80, is {found}"
    with raises(OSError):
        await net.backend.resolve("nosuch.invalid", 80)


async def check_leaving(net: Net) -> None:
    """Leaving ends the backend's own tasks and timers, waits for them, and touches no other's."""
    ended: list[str] = []
    go_on = net.backend.create_event()

    async def task(name: str, event: Any) -> None:
        try:
            await event.wait()
        finally:
            ended.append(name)

    net.backend.start_soon(task, "outer", go_on)
    async with open_backend(net.backend.name) as inner:
        inner.start_soon(task, "inner", inner.create_event())
        inner.call_later(SHORT, ended.append, "a timer of the inner one")
        await net.turns()
    assert ended == ["inner"], f"having left a backend with one task, {ended} had ended"
    await elapse(net, 2 * SHORT)
    assert ended == ["inner"], f"of a backend that was left, {ended[1:]} came later"
    go_on.set()
    await net.turns()
    assert ended == ["inner", "outer"], f"the other backend's task: {ended}"


def check_program(backend: str) -> None:
    """``run`` gives what its main gives, and refuses to run inside of itself.

    And ``open_backend`` cannot be entered where the loop does not run.
    """

    async def nothing(inner: Backend) -> None:
        raise AssertionError("run ran inside of itself")

    async def main(opened: Backend) -> int:
        with raises(RuntimeError):
            run(nothing, backend=opened.name)
        return 17

    assert run(main, backend=backend) == 17, "run does not give what its main gives"
    outside = open_backend(backend)
    if outside.capabilities.descriptors:
        entering: Any = outside.__aenter__()
        with raises(RuntimeError):
            entering.send(None)


def check_fatal(backend: str) -> None:
    """KeyboardInterrupt and SystemExit end a program from wherever; the first that comes counts."""

    async def by_task(opened: Backend, error: BaseException) -> None:
        opened.start_soon(_as_task(raising(error)))
        await opened.sleep(LIMIT)

    async def by_call(opened: Backend, error: BaseException) -> None:
        opened.call_soon(raising(error))
        await opened.sleep(LIMIT)

    async def by_timer(opened: Backend, error: BaseException) -> None:
        opened.call_later(0, raising(error))
        await opened.sleep(LIMIT)

    async def twice(opened: Backend, error: BaseException) -> None:
        opened.call_soon(opened.fatal, error)
        opened.call_soon(opened.fatal, SystemExit("the second"))
        await opened.sleep(LIMIT)

    for main in (by_task, by_call, by_timer, twice):
        for error in (KeyboardInterrupt(), SystemExit(3)):
            raised: BaseException | None = None
            try:
                run(main, error, backend=backend)
            except BaseException as failure:
                raised = failure
            assert raised is error, f"{main.__name__} raised {error!r}, and run {raised!r}"


def check_interruption(backend: str) -> None:
    """SIGINT cancels main, comes out of ``run``, and its handler is as it was."""
    before = signal.getsignal(signal.SIGINT)
    cancelled: list[bool] = []

    async def main(opened: Backend) -> None:
        opened.call_soon(os.kill, os.getpid(), signal.SIGINT)
        try:
            await opened.sleep(LIMIT)
            cancelled.append(False)
        finally:
            cancelled.append(True)

    with raises(KeyboardInterrupt):
        run(main, backend=backend)
    assert cancelled == [True], "main was not cancelled"
    assert signal.getsignal(signal.SIGINT) is before, "the handler of SIGINT was not put back"
