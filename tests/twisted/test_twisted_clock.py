"""The wall clock steps while a reactor runs, or is a test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import halfclose
import pytest
from core.support import TWISTED, EchoBack, Recorder, run
from halfclose import Backend, ConnectionOptions
from halfclose_twisted import as_factory
from halfclose_twisted.pace import Timers, pace_of
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

each_variant = pytest.mark.parametrize("variant", TWISTED)
each_way = pytest.mark.parametrize("sockets", ["poller", "native"])
each_step = pytest.mark.parametrize("step", [-3600.0, 3600.0])


class WallClock:
    """What a reactor takes for the time of day."""

    offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


@contextmanager
def wall_clock(backend: Any) -> Iterator[WallClock]:
    """The reactor of *backend* goes by a clock that can be set."""
    clock = WallClock()
    backend.reactor.seconds = clock
    try:
        yield clock
    finally:
        del backend.reactor.seconds


@each_variant
@each_step
def test_what_is_due_in_the_next_turn_is_not_delayed(variant: str, step: float) -> None:
    async def main(backend: Backend) -> None:
        with wall_clock(backend) as clock:
            called: list[str] = []
            soon, later, thread, task = (backend.create_event() for _ in range(4))

            async def in_task() -> None:
                await backend.sleep(0)
                called.append("task")
                task.set()

            def from_thread() -> None:
                called.append("thread")
                thread.set()

            backend.call_soon(called.append, "soon")
            backend.call_soon(soon.set)
            backend.call_later(0.0, later.set)
            backend.start_soon(in_task)
            other = threading.Thread(target=backend.call_soon_threadsafe, args=(from_thread,))
            other.start()
            other.join()
            # In the very moment before the reactor looks what is due.
            clock.offset += step
            for event in (soon, later, thread, task):
                await event.wait()
            assert sorted(called) == ["soon", "task", "thread"]

    run(main, variant=variant)


@each_variant
@each_step
def test_timers_go_by_the_monotonic_clock(variant: str, step: float) -> None:
    async def main(backend: Backend) -> None:
        with wall_clock(backend) as clock:
            pause = 0.05
            begun = time.monotonic()
            over = backend.create_event()
            backend.call_later(pause, over.set)
            timers = [backend.call_later(3600.5, over.set) for _ in range(3)]
            backend.call_soon(setattr, clock, "offset", step)
            await backend.sleep(pause)
            assert pause <= time.monotonic() - begun
            await over.wait()
            for timer in timers:
                timer.cancel()

    run(main, variant=variant)


@each_variant
@each_way
@each_step
def test_connections_are_not_delayed(variant: str, sockets: str, step: float) -> None:
    """An exchange, a timeout, an abort and leaving, each in the moment of a step."""

    async def main(backend: Backend) -> None:
        options = ConnectionOptions(half_close_timeout=0.05)
        with wall_clock(backend) as clock:
            async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
                for _ in range(2):
                    client = await backend.connect(listener.endpoint, Recorder)
                    clock.offset += step
                    client.transport.write(b"x")
                    client.transport.loseWriteConnection()
                    clock.offset += step
                    await client.transport.whenClosed()
                    assert client.data == b"x"
            async with await backend.listen("tcp:127.0.0.1:0", Recorder) as listener:
                client = await backend.connect(listener.endpoint, Recorder, options=options)
                client.transport.loseWriteConnection()
                clock.offset += step
                assert isinstance(await client.transport.whenClosed(), halfclose.HalfCloseTimeout)
                settings = {"sockets": sockets, "grace": 0.2}
                async with halfclose.open_backend(options=settings) as inner:
                    client = await inner.connect(listener.endpoint, Recorder)
                    client.transport.abortConnection()
                    await client.transport.whenClosed()
                    await inner.connect(listener.endpoint, Recorder)
                    backend.call_soon(setattr, clock, "offset", clock.offset + step)

    run(main, variant=variant, options={"sockets": sockets, "grace": 0.2})


@pytest.mark.parametrize("variant", ["twisted+select", "twisted+poll", "twisted+epoll"])
def test_a_step_does_not_end_busy_polling_for_good(variant: str) -> None:
    """What asks to be looked at again is a delayed call, for its price: it is asked for anew."""

    async def main(backend: Any) -> None:
        reader, writer = socket_pair()
        looks: list[int] = []
        enough = backend.create_event()

        def ready() -> bool:
            looks.append(1)
            if len(looks) == 3:
                clock.offset -= 3600.0
            if len(looks) == 50:
                reader.recv(1)
            if len(looks) == 100:
                enough.set()
            return len(looks) < 100

        with wall_clock(backend) as clock, reader, writer:
            watch = backend.watch(reader.fileno(), ready)
            writer.send(b"x")
            await enough.wait()
            watch.stop()

    run(main, variant=variant)


def socket_pair() -> tuple[Any, Any]:
    import socket

    reader, writer = socket.socketpair()
    reader.setblocking(False)
    return reader, writer


# -- a reactor whose clock a test moves --------------------------------------------------------


def test_a_clock_of_the_tests_own() -> None:
    """`twisted.internet.testing.MemoryReactorClock`: everything goes by its clock."""
    reactor = MemoryReactorClock()
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[0]

    options = ConnectionOptions(close_timeout=10)
    protocol = as_factory(factory, options, reactor=reactor).buildProtocol(None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    connection: Any = made[0].transport
    backend = connection._backend
    assert backend.time() == reactor.seconds() == 0.0
    called: list[str] = []
    backend.call_soon(called.append, "soon")
    backend.call_later(5.0, called.append, "later")
    backend.call_soon_threadsafe(called.append, "threadsafe")
    assert called == []
    reactor.advance(0)
    assert called == ["soon", "threadsafe"]
    reactor.advance(4.9)
    assert len(called) == 2
    reactor.advance(0.2)
    assert called[-1] == "later"
    assert backend.time() == reactor.seconds()
    protocol.dataReceived(b"in")
    connection.write(b"out")
    assert (bytes(made[0].data), transport.value()) == (b"in", b"out")
    connection.loseConnection()
    reactor.advance(0)
    protocol.connectionLost(Failure(ConnectionError()))
    reactor.advance(0)
    assert made[0].events == ["made", "data", "lost"]
    assert not reactor.getDelayedCalls()


def test_timers_in_order_and_cancelled() -> None:
    reactor = MemoryReactorClock()
    called: list[int] = []
    timers = Timers(pace_of(reactor), lambda function, *args: function(*args))
    each = [timers.add(number % 7, called.append, number) for number in range(300)]
    for timer in each[::2]:
        timer.cancel()
    timers.add(float("inf"), called.append, -1).cancel()
    with pytest.raises(ValueError, match="a number"):
        timers.add(float("nan"), called.append, -1)
    # As one is called, another goes and another comes.
    timers.add(0.5, each[1].cancel)
    timers.add(2.5, lambda: timers.add(0.0, called.append, 1000))
    reactor.advance(2.5)
    assert called[-1] == 1000
    reactor.advance(10)
    expected = [number for day in range(3) for number in range(1, 300, 2) if number % 7 == day]
    late = [number for day in range(3, 7) for number in range(1, 300, 2) if number % 7 == day]
    expected.remove(1)
    assert called == [*expected, 1000, *late]
    assert not reactor.getDelayedCalls()
    each[1].cancel()
