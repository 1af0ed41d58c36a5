"""The clock, the timers, the order of calls, and what happens where nothing can."""

from __future__ import annotations

import gc
import math
import threading
import time
import weakref
from collections.abc import Callable

import pytest
from halfclose import Backend, ConnectionOptions, HalfCloseTimeout
from halfclose.memory import Deadlock, Network
from halfclose.memory.backend import MemoryBackend
from halfclose.memory.scheduler import Timer
from halfclose.memory.waiting import Event
from halfclose.testing.networks import network
from memory.support import Noted, drive


def wait_until(net: Network, reached: Callable[[], object]) -> None:
    """Go round until *reached*, which some call makes true."""

    def stuck() -> None:
        raise AssertionError("nothing is due any more")

    net.scheduler.pump(reached, stuck)


def test_timers_fire_in_order_of_time_and_then_of_the_calls() -> None:
    net = Network()
    fired: list[tuple[str, float]] = []

    def fire(name: str) -> None:
        fired.append((name, net.clock))

    for name, seconds in (("d", 3), ("a", 1), ("e", 3), ("b", 1), ("c", 2.5)):
        net.scheduler.call_later(seconds, fire, name)
    net.scheduler.call_later(1, lambda: None).cancel()
    wait_until(net, lambda: len(fired) == 5)
    assert fired == [("a", 1), ("b", 1), ("c", 2.5), ("d", 3), ("e", 3)]


def test_a_timer_for_the_past_is_due_at_once() -> None:
    net = Network()
    fired: list[float] = []
    net.scheduler.call_later(
        5, lambda: net.scheduler.call_later(-3, lambda: fired.append(net.clock))
    )
    wait_until(net, lambda: fired)
    assert fired == [5]


def test_a_cancelled_timer_neither_fires_nor_moves_the_clock() -> None:
    net = Network()
    fired: list[str] = []
    far = net.scheduler.call_later(100, fired.append, "far")
    net.scheduler.call_later(1, far.cancel)
    drive(net.advance(2))
    assert fired == []
    far.cancel()
    with pytest.raises(Deadlock):
        drive(Event(net.scheduler).wait())
    assert net.clock == 2


def test_cancelled_timers_keep_nothing_alive_and_are_forgotten() -> None:
    net = Network()

    class Thing:
        def method(self) -> None: ...

    thing = Thing()
    gone = weakref.ref(thing)
    timers = [net.scheduler.call_later(1e6, thing.method) for _ in range(1000)]
    for timer in timers:
        timer.cancel()
    del thing
    gc.collect()
    assert gone() is None
    timers.clear()
    for _ in range(1000):
        net.scheduler.call_later(1e6, lambda: None).cancel()
    # They do not pile up, however far ahead they are.
    assert sum(isinstance(one, Timer) for one in gc.get_objects()) < 1000


def test_time_that_is_endless_is_no_timer() -> None:
    async def main(backend: Backend) -> None:
        backend.call_later(math.inf, lambda: None)
        with pytest.raises(Deadlock):
            await backend.sleep(math.inf)
        assert backend.time() == 0

    MemoryBackend.run("memory", None, main, ())


def test_ten_minutes_of_timeouts_take_next_to_no_time() -> None:
    async def main() -> list[Noted]:
        made: list[Noted] = []

        def factory() -> Noted:
            made.append(Noted())
            return made[-1]

        async with network() as net:
            options = ConnectionOptions(half_close_timeout=600.0)
            await net.backend.listen("memory:idle", factory, options)
            for _ in range(20):
                (await net.raw("idle")).shutdown()
            await net.advance(599)
            assert [protocol.events[-1] for protocol in made] == ["read"] * 20
            await net.advance(2)
            assert net.clock == 601
        return made

    begun = time.process_time()
    made = drive(main())
    assert time.process_time() - begun < 0.8
    assert {type(protocol.reason) for protocol in made} == {HalfCloseTimeout}


@pytest.mark.parametrize("seed", [None, 0, 1, 2, 3])
def test_calls_stay_in_order_with_any_seed(seed: int | None) -> None:
    net = Network(seed)
    called: list[int] = []
    for number in range(50):
        net.scheduler.call_soon(called.append, number)
    net.scheduler.call_later(0, called.append, 50)
    wait_until(net, lambda: len(called) == 51)
    assert called == list(range(51))


def test_a_call_from_within_a_turn_comes_in_the_next() -> None:
    net = Network()
    called: list[str] = []

    def first() -> None:
        net.scheduler.call_soon(called.append, "nested")
        called.append("first")

    net.scheduler.call_soon(first)
    net.scheduler.call_soon(called.append, "second")
    wait_until(net, lambda: len(called) == 3)
    assert called == ["first", "second", "nested"]


def test_the_ready_are_served_first_come_first_served_without_a_seed() -> None:
    net = Network()
    served: list[int] = []
    ready = [(lambda number=number: served.append(number)) for number in range(20)]
    for connection in (*ready, *ready):
        net.scheduler.serve(connection)
    wait_until(net, lambda: len(served) == 20)
    assert served == list(range(20))


def test_the_ready_are_served_in_an_order_that_the_seed_draws() -> None:
    def order(seed: int) -> list[int]:
        net = Network(seed)
        served: list[int] = []
        for number in range(20):
            net.scheduler.serve(lambda number=number: served.append(number))  # type: ignore[misc]
        wait_until(net, lambda: len(served) == 20)
        assert sorted(served) == list(range(20))
        return served

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_program_that_never_pauses_is_timed_out_all_the_same() -> None:
    async def main(backend: Backend) -> float:
        def again() -> None:
            backend.call_soon(again)

        again()
        await backend.sleep(0.05)
        return backend.time()

    assert 0.05 <= MemoryBackend.run("memory", None, main, ()) < 0.06


def test_a_deadlock_names_who_waits_and_where() -> None:
    async def serve(event: Event) -> None:
        await event.wait()

    async def main(backend: Backend) -> None:
        event = backend.create_event()
        assert isinstance(event, Event)
        backend.start_soon(serve, event)
        await event.wait()

    with pytest.raises(Deadlock) as caught:
        MemoryBackend.run("memory", None, main, ())
    message = str(caught.value)
    assert "main (test_scheduler.py:" in message
    assert " in main)" in message
    assert "serve (test_scheduler.py:" in message
    assert "hold_clock" in message
    assert isinstance(caught.value, RuntimeError)


def test_a_deadlock_outside_of_any_task_names_the_caller() -> None:
    async def body() -> None:
        await Event(Network().scheduler).wait()

    with pytest.raises(Deadlock, match=r"test_scheduler\.py:\d+ in body"):
        drive(body())


def test_a_program_goes_on_after_a_deadlock_that_it_caught() -> None:
    async def main(backend: Backend) -> str:
        with pytest.raises(Deadlock):
            await backend.create_event().wait()
        await backend.sleep(1)
        return "went on"

    assert MemoryBackend.run("memory", None, main, ()) == "went on"


def test_while_the_clock_is_held_other_threads_are_waited_for() -> None:
    async def main(backend: Backend) -> float:
        assert isinstance(backend, MemoryBackend)
        done = backend.create_event()
        may_call = threading.Event()

        def work() -> None:
            may_call.wait(10)
            backend.call_soon_threadsafe(done.set)

        thread = threading.Thread(target=work)
        thread.start()
        backend.call_soon(may_call.set)
        timeout = backend.call_later(1000, lambda: None)
        with backend.network.hold_clock():
            await done.wait()
        thread.join()
        timeout.cancel()
        return backend.time()

    assert MemoryBackend.run("memory", None, main, ()) == 0


def test_a_call_that_another_thread_has_made_is_no_deadlock() -> None:
    async def main(backend: Backend) -> bool:
        done = backend.create_event()
        thread = threading.Thread(target=backend.call_soon_threadsafe, args=(done.set,))
        thread.start()
        thread.join()
        await done.wait()
        return done.is_set()

    assert MemoryBackend.run("memory", None, main, ())


def test_advancing_is_over_when_nothing_is_due_any_more() -> None:
    async def main() -> None:
        net = Network()
        called: list[float] = []

        def again() -> None:
            called.append(net.clock)
            if len(called) < 10:
                net.scheduler.call_soon(net.scheduler.call_later, 0, again)

        net.scheduler.call_later(5, again)
        await net.advance(4.999)
        assert called == []
        await net.advance(0.001)
        assert called == [5.0] * 10
        assert net.clock == 5

    drive(main())


def test_advancing_a_program_that_never_pauses_comes_to_an_end() -> None:
    async def main() -> None:
        net = Network()

        def again() -> None:
            net.scheduler.call_soon(again)

        again()
        await net.advance(0.01)
        assert 0.01 <= net.clock < 0.02

    drive(main())
