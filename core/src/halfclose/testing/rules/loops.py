"""What a backend's own methods promise, on which all the rest stands.

Each is checked by the rule that would be the first to break.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ...backend import Backend
from ...running import open_backend, run
from ..channels.peers import LIMIT
from ..hosts import Host
from ..tools.harness import Net
from ..tools.logs import logged, showing
from ..tools.reactions import Boom, raises, raising

__all__ = [
    "check_calls",
    "check_events",
    "check_failures",
    "check_fatal",
    "check_fatal_told",
    "check_interruption",
    "check_leaving",
    "check_names",
    "check_program",
    "check_threads",
    "check_timers",
    "check_watches",
    "raised_by",
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
    # The machine may be too busy for a timer to be still waiting when the backend is left.
    for seconds in (SHORT, 10 * SHORT, 100 * SHORT):
        ended.clear()
        begun = net.backend.time()
        async with open_backend(net.backend.name) as inner:
            inner.start_soon(task, "inner", inner.create_event())
            inner.call_later(seconds, ended.append, "a timer of the inner one")
            await net.turns()
        if net.backend.time() - begun < seconds:
            break
    assert ended == ["inner"], f"having left a backend with one task, {ended} had ended"
    await elapse(net, 2 * seconds)
    assert ended == ["inner"], f"of a backend that was left, {ended[1:]} came later"
    go_on.set()
    await net.turns()
    assert ended == ["inner", "outer"], f"the other backend's task: {ended}"


def check_program(host: Host, backend: str) -> None:
    """A host gives what its main gives, and ``run`` refuses to run inside of it.

    And ``open_backend`` cannot be entered where the loop does not run.
    """

    async def nothing(inner: Backend) -> None:
        raise AssertionError("run ran inside of a loop that runs")

    async def main(opened: Backend) -> int:
        with raises(RuntimeError):
            run(nothing, backend=opened.name)
        return 17

    assert host.run(main, backend) == 17, f"{host.name} does not give what its main gives"
    outside = open_backend(backend)
    if outside.capabilities.descriptors:
        entering: Any = outside.__aenter__()
        with raises(RuntimeError):
            entering.send(None)


def check_fatal_told(
    host: Host, error: BaseException, raised: BaseException, records: list[logging.LogRecord]
) -> None:
    """*error*, given to ``Backend.fatal``, came out of the host bare, with nothing to be said.

    Or, where no loop can be told to raise it, it was logged, and the loop stopped.
    """
    if host.brings_fatal:
        if raised is not error:
            raise AssertionError(f"{host.name} raised {raised!r}, and not {error!r}") from raised
        assert not records, [record.getMessage() for record in records]
        return
    if type(raised) is not RuntimeError:
        raise AssertionError(f"the loop was not stopped: {host.name} raised {raised!r}") from raised
    of_it = [record for record in records if record.exc_info and record.exc_info[1] is error]
    assert [record.levelname for record in of_it] == ["CRITICAL"], f"{error!r}: {of_it}"
    others = [record for record in records if record.levelno == logging.ERROR]
    assert not others, f"and {[record.getMessage() for record in others]} beside {error!r}"


def check_fatal(host: Host, backend: str) -> None:
    """KeyboardInterrupt and SystemExit end a program from wherever; the first that comes counts."""

    def by_task(opened: Backend, error: BaseException) -> None:
        opened.start_soon(_as_task(raising(error)))

    def by_call(opened: Backend, error: BaseException) -> None:
        opened.call_soon(raising(error))

    def by_timer(opened: Backend, error: BaseException) -> None:
        opened.call_later(0, raising(error))

    def twice(opened: Backend, error: BaseException) -> None:
        opened.call_soon(opened.fatal, error)
        opened.call_soon(opened.fatal, SystemExit("the second"))

    went_on: list[object] = []
    for way in (by_task, by_call, by_timer, twice):
        for error in (KeyboardInterrupt(), SystemExit(3)):

            async def main(opened: Backend, way: Any = way, error: BaseException = error) -> None:
                way(opened, error)
                await opened.sleep(LIMIT)
                went_on.append(way)

            with logged() as records:
                raised = raised_by(host, main, backend)
            assert not went_on, f"{way.__name__} raised {error!r}, and the program went on"
            check_fatal_told(host, error, raised, records)


def raised_by(
    host: Host,
    main: Callable[[Backend], Awaitable[object]],
    backend: str,
    options: Mapping[str, Any] | None = None,
) -> BaseException:
    """What *host* raises that runs *main*."""
    try:
        host.run(main, backend, options)
    except BaseException as error:
        # Where the loop was stopped, main was never resumed.
        gc.collect()
        return error
    raise AssertionError(f"{host.name} returned, and was to raise")


def check_interruption(host: Host, backend: str) -> None:
    """SIGINT ends main, and its handler is as it was.

    Main is cancelled, and it comes out of the host; or the loop was stopped.
    """
    before = signal.getsignal(signal.SIGINT)
    cancelled: list[bool] = []

    async def main(opened: Backend) -> None:
        opened.call_soon(os.kill, os.getpid(), signal.SIGINT)
        try:
            await opened.sleep(LIMIT)
            cancelled.append(False)
        finally:
            cancelled.append(True)

    with raises(KeyboardInterrupt if host.brings_fatal else RuntimeError):
        host.run(main, backend)
    assert cancelled == [True], "main was not cancelled"
    assert signal.getsignal(signal.SIGINT) is before, "the handler of SIGINT was not put back"
