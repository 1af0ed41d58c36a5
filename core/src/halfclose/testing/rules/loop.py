"""LOOP: what a backend's loop promises. All other rules rely on it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...running import open_backend
from ..channels.peers import LIMIT
from ..tools.harness import Net, rule
from ..tools.logs import logged, showing
from ..tools.reactions import Boom, as_task, raises, raising
from ..tools.waiting import SHORT, elapse

__all__ = ["LoopRules"]


class LoopRules:
    """The rules LOOP-01 to LOOP-08."""

    @rule("LOOP-01", once=True)
    async def test_loop_01_call_soon(self, net: Net) -> None:
        """`call_soon` calls in the next turn of the loop, in the order of the calls, and never
        inside the call. What is called may ask for the next call, and so on without end: timers,
        descriptors and tasks have their turns all the same.

        Where to look: a function that is given to ``call_soon`` during a turn must wait for the
        next turn. A loop that empties its queue before it does anything else hangs here.
        """
        called: list[int] = []
        for number in range(5):
            net.backend.call_soon(called.append, number)
        assert not called, "call_soon called at once"
        await net.turns(1)
        assert called == list(range(5)), f"call_soon called in the order {called}"
        if net.backend.capabilities.descriptors:
            await self._calls_without_end(net)

    async def _calls_without_end(self, net: Net) -> None:
        had: list[str] = []
        starved: list[str] = []
        end = net.backend.time() + LIMIT / 2

        def again() -> None:
            if len(had) == 3:
                return
            if net.backend.time() < end:
                net.backend.call_soon(again)
            else:
                starved.append(f"only these had a turn: {had}")

        async def task() -> None:
            await net.turns()
            had.append("a task")

        def served() -> None:
            had.append("a descriptor")
            watch.stop()

        ours, theirs = socket.socketpair()
        with ours, theirs:
            watch = net.backend.watch(ours.fileno(), served)
            try:
                theirs.send(b"x")
                net.backend.call_soon(again)
                net.backend.start_soon(task)
                net.backend.call_later(SHORT, had.append, "a timer")
                await elapse(net, SHORT)
                await net.turns()
            finally:
                watch.stop()
        assert not starved, f"while calls asked for calls, {starved[0]}"
        assert sorted(had) == ["a descriptor", "a task", "a timer"], had

    @rule("LOOP-02", once=True)
    async def test_loop_02_call_later(self, net: Net) -> None:
        """`call_later` calls once, when its seconds have passed by `time()` and not before, never
        inside the call. A timer that was cancelled is not called, also where it was due already.
        To cancel again, or after the call, does nothing. `time()` never goes back.

        Where to look: a timer of 0 seconds must go through the loop as all others do. A timer may
        cancel another that is due in the same turn. If the loop computes with a time that it read
        at the start of the turn, timers come too early.
        """
        called: list[str] = []
        begun = net.backend.time()
        net.backend.call_later(0, called.append, "at once")
        assert not called, "call_later called at once"
        cancelled = net.backend.call_later(SHORT / 2, called.append, "cancelled")
        kept = net.backend.call_later(SHORT, called.append, "kept")
        for _ in range(2):
            cancelled.cancel()
        await elapse(net, 2 * SHORT)
        took = net.backend.time() - begun
        assert took >= 1.9 * SHORT, f"a timer of {2 * SHORT} s came after {took:.3f} s of time()"
        assert called == ["at once", "kept"], f"one timer was cancelled, and {called} were called"
        # To cancel a timer that was called does nothing.
        kept.cancel()

        # Two timers are due in the same turn, and the one that comes first cancels the other.
        timers: list[Any] = []
        first: list[int] = []

        def alone(number: int) -> None:
            first.append(number)
            timers[1 - number].cancel()

        timers += [net.backend.call_later(0, alone, number) for number in range(2)]
        await elapse(net, SHORT)
        assert len(first) == 1, "a timer was called that another had cancelled in the same turn"

        times = [net.backend.time() for _ in range(1000)]
        assert times == sorted(times), "time() went back"

    @rule("LOOP-03", once=True)
    async def test_loop_03_call_soon_threadsafe(self, net: Net) -> None:
        """`call_soon_threadsafe` is `call_soon` from any thread and from a signal handler. It wakes
        a loop that has nothing to do, and what it is given is called in the loop's thread.

        Where to look: the loop sleeps in a system call, so wake it by a descriptor. A signal
        handler runs in the loop's own thread: if it takes a lock that this thread holds already,
        it hangs.
        """
        called: list[int] = []
        for number in range(5):
            net.backend.call_soon_threadsafe(called.append, number)
        assert not called, "call_soon_threadsafe called at once"
        await net.turns(2)
        assert called == list(range(5)), f"call_soon_threadsafe called in the order {called}"
        if net.backend.capabilities.descriptors:
            # A loop without descriptors has a simulated clock, which jumps while it is idle, so it
            # cannot wait for a thread.
            await self._from_a_thread(net)
            if threading.current_thread() is threading.main_thread():
                await self._from_a_signal_handler(net)

    async def _from_a_thread(self, net: Net) -> None:
        over = net.backend.create_event()
        called_in: list[threading.Thread] = []

        def work() -> None:
            net.backend.call_soon_threadsafe(lambda: called_in.append(threading.current_thread()))
            net.backend.call_soon_threadsafe(over.set)

        # The delay lets the loop fall asleep first.
        thread = threading.Timer(SHORT, work)
        thread.start()
        try:
            await net.wait(over, "what another thread had called")
        finally:
            thread.join()
        assert called_in == [threading.current_thread()], "it was called in another thread"

    async def _from_a_signal_handler(self, net: Net) -> None:
        over = net.backend.create_event()
        with _handling(lambda *_: net.backend.call_soon_threadsafe(over.set)):
            thread = threading.Timer(SHORT, os.kill, (os.getpid(), signal.SIGUSR2))
            thread.start()
            try:
                await net.wait(over, "what a signal handler had called")
            finally:
                thread.join()

    @rule("LOOP-04", once=True)
    async def test_loop_04_events(self, net: Net) -> None:
        """`create_event`: `set` wakes every task that waits, and whoever waits later does not wait
        at all. No task goes on inside the call of `set`. Cancelling one waiter affects no other.

        Where to look: each waiter needs a future of its own, or whatever the framework waits for.
        If several tasks await one future, cancelling one of them cancels it for all. No task may
        go on before the next turn.
        """
        event = net.backend.create_event()
        woken: list[str] = []

        async def waiter(name: str) -> None:
            await event.wait()
            woken.append(name)

        assert not event.is_set(), "a new event is set"
        async with open_backend(net.backend.name) as inner:
            inner.start_soon(waiter, "cancelled")
            for name in ("first", "second"):
                net.backend.start_soon(waiter, name)
            await net.turns()
            # Leaving `inner` cancels the task that it began, and no other.
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
        assert event.is_set(), "an event that was set is not"
        net.backend.start_soon(waiter, "later")
        await net.turns(10)
        assert woken[2:] == ["later"], "one that waited for an event that was set did not go on"

    @rule("LOOP-05", once=True)
    async def test_loop_05_tasks(self, net: Net) -> None:
        """`start_soon` runs each function as a task of its own, and `sleep` waits for its seconds,
        by `time()`: no task holds up another, or the loop.

        Where to look: run each coroutine to its end, and hold a reference to its task until then:
        asyncio, for one, may drop a task to which nobody holds a reference.
        """
        ended: list[str] = []
        slept: list[float] = []
        over = net.backend.create_event()

        async def task(name: str, seconds: float) -> None:
            begun = net.backend.time()
            await net.backend.sleep(seconds)
            slept.append(net.backend.time() - begun - seconds)
            ended.append(name)
            if len(ended) == 2:
                over.set()

        async def waits() -> None:
            await net.backend.create_event().wait()

        net.backend.start_soon(waits)
        net.backend.start_soon(task, "long", 5 * SHORT)
        net.backend.start_soon(task, "short", SHORT)
        await net.wait(over, "the end of two tasks that sleep")
        assert sorted(ended) == ["long", "short"]
        assert min(slept) >= -0.1 * SHORT, f"sleep returned {-min(slept):.3f} s too early"

    @rule("LOOP-06", once=True, needs=("descriptors",))
    async def test_loop_06_watch(self, net: Net) -> None:
        """`watch` calls while the descriptor is readable, or writable, again and again until it is
        stopped; an error or a hang-up counts as both. Once `stop` was called, it never calls, also
        where the loop had found the descriptor ready in the same round. To stop again does
        nothing.

        Where to look: watching is level-triggered, so register without EPOLLET. The first call of
        a round may make the round's list of ready descriptors wrong: it may stop other watches,
        or close a descriptor whose number another file gets.
        """
        await self._while_it_is_ready(net)
        for write in (False, True):
            ours, theirs = socket.socketpair()
            with ours:
                theirs.close()
                assert await _is_called(net, ours.fileno(), write=write), (
                    f"the other end was closed, and {_word(write)} was not told"
                )
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            assert not await _is_called(net, ours.fileno(), write=False), "nothing was there"
            assert await _is_called(net, ours.fileno(), write=True), "nothing was written yet"
            while True:
                try:
                    ours.send(b"x" * (1 << 16))
                except BlockingIOError:
                    break
            assert not await _is_called(net, ours.fileno(), write=True), "there was no room"

    async def _while_it_is_ready(self, net: Net) -> None:
        pairs = [socket.socketpair() for _ in range(2)]
        watches: list[Any] = []
        called: list[int] = []

        def ready(number: int) -> None:
            called.append(number)
            # The other descriptor was found ready in the same round.
            watches[1 - number].stop()

        try:
            for number, (ours, _) in enumerate(pairs):
                watches.append(
                    net.backend.watch(ours.fileno(), lambda number=number: ready(number))  # type: ignore[misc]
                )
            for _, theirs in pairs:
                theirs.send(b"x")
            await elapse(net, SHORT)
            assert len(called) > 1, f"called {len(called)} times, although it stayed ready"
            assert len(set(called)) == 1, "one was called that had been stopped in the same round"
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

    @rule("LOOP-07", once=True)
    async def test_loop_07_what_fails_is_logged(self, net: Net) -> None:
        """What a function raises that was given to `call_soon`, `call_later`,
        `call_soon_threadsafe`, `start_soon` or `watch` is logged, once, by the logger
        `halfclose`, and stops nothing: a descriptor goes on being watched.

        Where to look: call every function by ``Backend.guarded``, and pass exceptions of tasks to
        ``Backend.report``.
        """
        ways: dict[str, Callable[..., object]] = {
            "call_soon": net.backend.call_soon,
            "call_later": lambda function: net.backend.call_later(0, function),
            "call_soon_threadsafe": net.backend.call_soon_threadsafe,
            "start_soon": lambda function: net.backend.start_soon(as_task(function)),
        }
        for way, call in ways.items():
            error = Boom(way)
            with logged() as records:
                call(raising(error))
                await elapse(net, SHORT)
            _check_told(way, error, records)
        if net.backend.capabilities.descriptors:
            error = Boom("watch")
            reactions = [raising(error)]
            with logged() as records:
                ours, theirs = socket.socketpair()
                with ours, theirs:
                    theirs.send(b"x")
                    again = await _is_called(
                        net, ours.fileno(), lambda: reactions and reactions.pop()(), times=2
                    )
            _check_told("watch", error, records)
            assert again, "once its function had raised, the descriptor was watched no more"

    @rule("LOOP-08", once=True, needs=("descriptors",))
    async def test_loop_08_resolve(self, net: Net) -> None:
        """`resolve` gives the addresses of a host, each with its family and the port, or raises
        OSError.

        Where to look: ``socket.gaierror`` is an OSError, but an exception of the framework's own
        may not be one.
        """
        found = await net.backend.resolve("localhost", 80)
        assert found, "localhost has no address"
        families = {family for family, _ in found}
        assert families <= {socket.AF_INET, socket.AF_INET6}, f"localhost is {found}"
        assert {address[1] for _, address in found} == {80}, f"localhost, port 80, is {found}"
        with raises(OSError):
            await net.backend.resolve("nosuch.invalid", 80)


def _check_told(way: str, error: BaseException, records: list[Any]) -> None:
    times = len([record for record in showing(error, records) if record.name == "halfclose"])
    assert times == 1, (
        f"what {way} called raised, and the logger halfclose told of it {times} times: "
        "see Backend.guarded and Backend.start_soon"
    )


def _word(write: bool) -> str:
    return "whoever watched it for writing" if write else "whoever watched it for reading"


async def _is_called(
    net: Net,
    fd: int,
    function: Callable[[], object] = lambda: None,
    *,
    write: bool = False,
    times: int = 1,
) -> bool:
    """Watch *fd* for a moment, calling *function* whenever it is ready.

    :returns: whether it was ready at least *times* times.
    """
    called = net.backend.create_event()
    count = 0

    def ready() -> None:
        nonlocal count
        count += 1
        if count >= times:
            called.set()
        function()

    watch = net.backend.watch(fd, ready, write=write)
    try:
        await elapse(net, SHORT)
    finally:
        watch.stop()
    return called.is_set()


@contextmanager
def _handling(handler: Callable[..., object]) -> Iterator[None]:
    """Make *handler* the handler of SIGUSR2, until the end."""
    before = signal.signal(signal.SIGUSR2, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, before)
