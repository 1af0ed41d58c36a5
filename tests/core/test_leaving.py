"""Tasks, timers and events of a backend, and what leaving it ends."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable

import halfclose
import pytest
from core.support import (
    ANYIO,
    VARIANTS,
    EchoBack,
    Recorder,
    Threads,
    descriptors,
    python,
    run,
    until,
)
from halfclose import (
    TCP,
    Backend,
    ConnectionAborted,
    ConnectionDone,
    Event,
    HalfCloseableProtocol,
    Protocol,
    open_backend,
)

pytestmark = pytest.mark.parametrize("variant", VARIANTS)


class Odd(Exception):
    pass


class OddBase(BaseException):
    pass


def test_the_result_and_the_arguments(variant: str) -> None:
    async def main(backend: Backend, *args: object) -> tuple[object, ...]:
        assert isinstance(backend, Backend)
        return backend.name, *args

    assert halfclose.run(main, 1, "two", None, backend=variant) == (variant, 1, "two", None)


def test_main_may_be_any_function_that_gives_an_awaitable(variant: str) -> None:
    class Main:
        async def __call__(self, backend: Backend) -> int:
            await backend.sleep(0)
            return 1

    assert halfclose.run(Main(), backend=variant) == 1
    assert halfclose.run(lambda backend: Main()(backend), backend=variant) == 1


@pytest.mark.parametrize("when", ["at once", "later"])
@pytest.mark.parametrize("error", [Odd, OddBase, KeyboardInterrupt, SystemExit, StopAsyncIteration])
def test_the_exception_of_main_comes_out_bare(
    variant: str, error: type[BaseException], when: str
) -> None:
    raised = error("mine")

    async def main(backend: Backend) -> None:
        if when == "later":
            await backend.sleep(0.001)
        raise raised

    with pytest.raises(error) as caught:
        halfclose.run(main, backend=variant)
    assert caught.value is raised
    assert caught.value.__context__ is None
    assert "main" in [entry.name for entry in caught.traceback]


@pytest.mark.parametrize("error", [Odd, OddBase, KeyboardInterrupt, SystemExit])
def test_the_exception_of_a_body_comes_out_bare(variant: str, error: type[BaseException]) -> None:
    async def main(backend: Backend) -> None:
        raised = error("mine")
        with pytest.raises(error) as caught:  # noqa: PT012
            async with open_backend() as inner:
                inner.start_soon(inner.sleep, 3600)
                await inner.sleep(0)
                raise raised
        assert caught.value is raised
        await backend.sleep(0.001)

    run(main, variant=variant)


@pytest.mark.parametrize("event", ["connectionMade", "dataReceived", "readConnectionLost"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_a_fatal_event_comes_out_of_run_bare(
    variant: str, event: str, error: type[BaseException], sockets: str
) -> None:
    raised = error("mine")
    server = Fatal(event, raised)

    async def main(backend: Backend) -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", lambda: server)
        client = await backend.connect(listener.endpoint, Recorder)
        client.transport.write(b"x")
        client.transport.loseWriteConnection()
        await backend.sleep(3600)

    with pytest.raises(error) as caught:
        run(main, variant=variant, options={"sockets": sockets})
    assert caught.value is raised
    assert server.reason is raised
    assert server.lost == 1


class Fatal(HalfCloseableProtocol):
    def __init__(self, event: str, error: BaseException) -> None:
        self.event = event
        self.error = error
        self.lost = 0
        self.reason: BaseException | None = None

    def _maybe(self, event: str) -> None:
        if event == self.event:
            raise self.error

    def connectionMade(self) -> None:
        self._maybe("connectionMade")

    def dataReceived(self, data: bytes) -> None:
        self._maybe("dataReceived")

    def readConnectionLost(self) -> None:
        self._maybe("readConnectionLost")

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: BaseException) -> None:
        self.reason = reason
        self.lost += 1


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit"])
def test_a_fatal_event_comes_out_of_an_open_backend_inside_run(variant: str, error: str) -> None:
    """The inner backend's loop is ours, so that it can and must come out of it, twice too."""
    out = python(
        f"""
        import halfclose

        class P(halfclose.Protocol):
            def connectionMade(self):
                raise {error}("mine")

        async def main(backend):
            try:
                async with halfclose.open_backend() as inner:
                    listener = await inner.listen("tcp:127.0.0.1:0", P)
                    await inner.connect(listener.endpoint, halfclose.Protocol)
                    await inner.sleep(10)
            except {error} as error:
                print(repr(error))
                raise

        for _ in range(2):
            try:
                halfclose.run(main, backend={variant!r})
            except {error} as error:
                print("run", repr(error))
        """,
        warm=True,
    )
    assert out.splitlines() == [f"{error}('mine')", f"run {error}('mine')"] * 2


def test_a_reactor_that_was_stopped_does_not_spoil_the_next_run(variant: str) -> None:
    if variant in ANYIO:
        pytest.skip("there is no reactor")
    out = python(
        f"""
        import halfclose, time

        async def stop(backend):
            backend.reactor.stop()
            await backend.sleep(10)

        async def simple(backend):
            await backend.sleep(0.01)
            return backend.name

        for _ in range(3):
            begin = time.monotonic()
            try:
                halfclose.run(stop, backend={variant!r})
            except RuntimeError:
                print("stopped", time.monotonic() - begin < 5)
            print(halfclose.run(simple, backend={variant!r}))
        """,
        warm=True,
    )
    assert out.splitlines() == ["stopped True", variant] * 3


def test_two_fatal_events_at_once(variant: str) -> None:
    """The first one comes out."""

    async def main(backend: Backend) -> None:
        def factory() -> Protocol:
            return Fatal("connectionMade", KeyboardInterrupt("mine"))

        listener = await backend.listen("tcp:127.0.0.1:0", factory)
        for _ in range(3):
            backend.start_soon(backend.connect, listener.endpoint, Recorder)
        await backend.sleep(3600)

    with pytest.raises(KeyboardInterrupt, match="mine"):
        run(main, variant=variant)


def test_a_fatal_task(variant: str) -> None:
    raised = SystemExit("mine")

    async def task() -> None:
        raise raised

    async def main(backend: Backend) -> None:
        backend.start_soon(task)
        await backend.sleep(3600)

    with pytest.raises(SystemExit) as caught:
        run(main, variant=variant)
    assert caught.value is raised


@pytest.mark.parametrize("how", ["call_soon", "call_later", "call_soon_threadsafe"])
def test_a_fatal_call(variant: str, how: str) -> None:
    raised = KeyboardInterrupt("mine")

    def fatal() -> None:
        raise raised

    async def main(backend: Backend) -> None:
        if how == "call_later":
            backend.call_later(0.001, fatal)
        else:
            getattr(backend, how)(fatal)
        await backend.sleep(3600)

    with pytest.raises(KeyboardInterrupt) as caught:
        run(main, variant=variant)
    assert caught.value is raised


# -- tasks -------------------------------------------------------------------------------------


def errors(caplog: pytest.LogCaptureFixture) -> list[BaseException | None]:
    return [
        record.exc_info[1] if record.exc_info else None
        for record in caplog.records
        if record.name == "halfclose" and record.levelno >= logging.ERROR
    ]


@pytest.mark.parametrize("error", [Odd, OddBase, StopAsyncIteration])
@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_task_that_fails_is_logged_and_harms_nobody(
    variant: str, error: type[BaseException], when: str, caplog: pytest.LogCaptureFixture
) -> None:
    raised = error("mine")
    other: list[int] = []

    async def main(backend: Backend) -> None:
        async def task() -> None:
            if when == "later":
                await backend.sleep(0)
            raise raised

        async def survivor() -> None:
            await backend.sleep(0.01)
            other.append(1)

        backend.start_soon(survivor)
        backend.start_soon(task)
        await until(backend, lambda: other)

    run(main, variant=variant)
    assert errors(caplog) == [raised]


def test_a_task_gets_its_arguments_and_is_not_begun_at_once(variant: str) -> None:
    heard: list[object] = []

    async def main(backend: Backend) -> None:
        async def task(*args: object) -> None:
            heard.append(args)

        backend.start_soon(task, 1, "two")
        assert heard == []
        await until(backend, lambda: heard)

    run(main, variant=variant)
    assert heard == [(1, "two")]


def test_leaving_cancels_tasks(variant: str, caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def main(backend: Backend) -> None:
        begun: list[int] = []

        async def task() -> None:
            begun.append(1)
            try:
                await backend.sleep(3600)
            finally:
                ended.append("task")

        for _ in range(3):
            backend.start_soon(task)
        await until(backend, lambda: len(begun) == 3)

    run(main, variant=variant)
    assert ended == ["task"] * 3
    assert errors(caplog) == []


@pytest.mark.parametrize("waits", ["sleep", "event", "whenClosed"])
def test_leaving_cancels_whatever_a_task_waits_for(variant: str, waits: str) -> None:
    ended: list[int] = []

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            async with open_backend() as inner:
                begun: list[int] = []
                event = inner.create_event()
                what: dict[str, Callable[[], Awaitable[object]]] = {
                    "sleep": lambda: inner.sleep(3600),
                    "event": event.wait,
                    "whenClosed": client.transport.whenClosed,
                }

                async def task() -> None:
                    begun.append(1)
                    try:
                        await what[waits]()
                    finally:
                        ended.append(1)

                inner.start_soon(task)
                await until(inner, lambda: begun)
            assert ended == [1]
            assert client.transport.state.value == "open"

    run(main, variant=variant)


def test_a_task_that_has_not_begun_when_its_backend_is_left(variant: str) -> None:
    """It begins never, or is cancelled: afterwards nothing of it runs, nor opens anything."""
    went: list[str] = []

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            assert backend.driver.poller

            async def leave() -> None:
                async with open_backend() as inner:

                    async def task() -> None:
                        await inner.sleep(0)
                        went.append("went on")
                        await inner.connect(listener.endpoint, Recorder)
                        went.append("connected")

                    inner.start_soon(task)

            await leave()
            for _ in range(20):
                await backend.sleep(0.001)
            assert went == []

    run(main, variant=variant)


def test_a_connect_that_has_not_begun_when_its_backend_is_left(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.loseConnection()
            await client.transport.whenClosed()
            before = descriptors()
            made: list[int] = []

            class Client(Recorder):
                def connectionMade(self) -> None:
                    made.append(1)

            async with open_backend() as inner:
                inner.start_soon(inner.connect, listener.endpoint, Client)
            for _ in range(20):
                await backend.sleep(0.001)
            assert made == []
            added = {fd: what for fd, what in descriptors().items() if before.get(fd) != what}
            assert added == {}

    run(main, variant=variant)


def test_a_task_that_connects_again_when_it_is_cancelled(variant: str) -> None:
    """A retry loop that takes a cancellation for a failure must not revive a closed poller."""

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            assert backend.driver.poller
            before = descriptors()
            begun: list[int] = []
            async with open_backend(options={"grace": 0.1}) as inner:

                async def task() -> None:
                    begun.append(1)
                    try:
                        await inner.sleep(3600)
                    finally:
                        await inner.connect(listener.endpoint, Recorder)

                inner.start_soon(task)
                await until(inner, lambda: begun)
            for _ in range(20):
                await backend.sleep(0.001)
            added = {fd: what for fd, what in descriptors().items() if before.get(fd) != what}
            assert added == {}

    run(main, variant=variant)


# -- timers and calls --------------------------------------------------------------------------


def test_calls_come_in_order_and_never_at_once(variant: str) -> None:
    heard: list[int] = []

    async def main(backend: Backend) -> None:
        for number in range(100):
            backend.call_soon(heard.append, number)
        assert heard == []
        await until(backend, lambda: len(heard) == 100)

    run(main, variant=variant)
    assert heard == list(range(100))


def test_timers_come_in_order_of_their_time(variant: str) -> None:
    heard: list[float] = []

    async def main(backend: Backend) -> None:
        while True:
            begin, begun = backend.time(), time.monotonic()
            timers = [
                backend.call_later(seconds, heard.append, seconds)
                for seconds in (0.06, 0.02, 0.04, 0)
            ]
            if time.monotonic() - begun < 0.01:
                break
            # The machine was late: the first may be due before the last.
            for timer in timers:
                timer.cancel()
        assert heard == []
        await until(backend, lambda: len(heard) == 4)
        assert backend.time() - begin >= 0.059

    run(main, variant=variant)
    assert heard == [0, 0.02, 0.04, 0.06]


def test_a_cancelled_timer(variant: str) -> None:
    heard: list[str] = []

    async def main(backend: Backend) -> None:
        early = backend.call_later(0.001, heard.append, "early")
        never = backend.call_later(0.001, heard.append, "never")
        never.cancel()
        never.cancel()
        # One timer that cancels the next one of the same moment.
        at_once: list[halfclose.TimerHandle] = []
        backend.call_later(0.005, lambda: at_once[0].cancel())
        at_once.append(backend.call_later(0.005, heard.append, "cancelled by the other"))
        backend.call_later(0.02, heard.append, "late")
        await until(backend, lambda: "late" in heard)
        early.cancel()
        early.cancel()

    run(main, variant=variant)
    assert heard == ["early", "late"]


@pytest.mark.parametrize("how", ["call_soon", "call_later", "call_soon_threadsafe"])
def test_a_call_that_raises_is_logged_and_the_next_comes(
    variant: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []
    raised = OddBase("mine")

    def bad() -> None:
        raise raised

    async def main(backend: Backend) -> None:
        for function in (bad, lambda: heard.append(1)):
            if how == "call_later":
                backend.call_later(0, function)
            else:
                getattr(backend, how)(function)
        await until(backend, lambda: heard)

    run(main, variant=variant)
    assert errors(caplog) == [raised]


def test_no_timer_rings_after_leaving(variant: str) -> None:
    heard: list[str] = []

    async def main(backend: Backend) -> None:
        backend.call_later(0.001, heard.append, "later")

    run(main, variant=variant)

    async def again(backend: Backend) -> None:
        before = list(heard)
        await backend.sleep(0.01)
        assert heard == before

    run(again, variant=variant)


def test_calls_from_a_thread(variant: str) -> None:
    heard: list[tuple[int, int]] = []

    async def main(backend: Backend) -> None:
        def call(thread: int, number: int) -> None:
            assert threading.get_ident() == home
            heard.append((thread, number))

        def work(thread: int) -> None:
            for number in range(200):
                backend.call_soon_threadsafe(call, thread, number)

        home = threading.get_ident()
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for each in threads:
            each.start()
        await until(backend, lambda: len(heard) == 800)
        for each in threads:
            each.join(10)

    run(main, variant=variant)
    for thread in range(4):
        assert [n for t, n in heard if t == thread] == list(range(200))


def test_a_call_from_a_thread_wakes_an_idle_loop(variant: str) -> None:
    async def main(backend: Backend) -> None:
        event = backend.create_event()
        thread = threading.Timer(0.05, backend.call_soon_threadsafe, [event.set])
        thread.start()
        await event.wait()
        thread.join(10)

    run(main, variant=variant)


# -- events ------------------------------------------------------------------------------------


def test_an_event(variant: str) -> None:
    async def main(backend: Backend) -> None:
        event = backend.create_event()
        woken: list[int] = []

        async def waiter(number: int) -> None:
            await event.wait()
            woken.append(number)

        for number in range(5):
            backend.start_soon(waiter, number)
        await backend.sleep(0.005)
        assert not event.is_set()
        assert woken == []
        event.set()
        assert event.is_set()
        assert woken == []  # nobody runs inside set()
        event.set()
        await until(backend, lambda: len(woken) == 5)
        await event.wait()

    run(main, variant=variant)


def test_cancelling_one_waiter_affects_no_other(variant: str) -> None:
    async def main(backend: Backend) -> None:
        event = backend.create_event()
        woken: list[int] = []

        async def waiter(number: int) -> None:
            await event.wait()
            woken.append(number)

        async with open_backend() as inner:
            for number in range(10):
                (inner if number % 2 else backend).start_soon(waiter, number)
            await backend.sleep(0.005)
        event.set()
        await until(backend, lambda: len(woken) == 5)
        await backend.sleep(0.005)
        assert sorted(woken) == [0, 2, 4, 6, 8]

    run(main, variant=variant)


# -- leaving -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_leaving_closes_every_connection_cleanly(variant: str, sockets: str) -> None:
    clients: list[Recorder] = []

    async def main(backend: Backend) -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", EchoBack)
        for _ in range(5):
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.write(b"x" * 100_000)
            clients.append(client)
        await until(backend, lambda: all(len(c.data) == 100_000 for c in clients))

    run(main, variant=variant, options={"sockets": sockets})
    for client in clients:
        assert client.events == ["made", "data", "lost"]
        assert isinstance(client.reason, ConnectionDone)


@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_a_body_that_raises_aborts_at_once(variant: str, sockets: str) -> None:
    clients: list[Recorder] = []

    async def main(backend: Backend) -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", EchoBack)
        for _ in range(5):
            clients.append(await backend.connect(listener.endpoint, Recorder))
            clients[-1].transport.write(b"x" * 10_000_000)
        raise Odd

    with pytest.raises(Odd):
        run(main, variant=variant, options={"sockets": sockets}, limit=4)
    for client in clients:
        assert client.events[-1] == "lost"
        assert client.events.count("lost") == 1
        assert type(client.reason) is ConnectionAborted


def test_grace_runs_out(variant: str) -> None:
    """A peer that never reads: after the grace its connection is aborted."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def main(backend: Backend) -> Recorder:
            client = await backend.connect(f"tcp:127.0.0.1:{server.getsockname()[1]}", Recorder)
            assert isinstance(client, Recorder)
            client.transport.write(b"x" * 30_000_000)
            return client

        client = run(main, variant=variant, options={"grace": 0.2}, limit=4)
        assert client.events == ["made", "lost"]
        assert type(client.reason) is ConnectionAborted
        peer, _ = server.accept()
        with peer, pytest.raises(ConnectionResetError):  # noqa: PT012
            while peer.recv(1 << 20):
                pass


def test_when_closed_is_answered_on_leaving(variant: str) -> None:
    answers: list[BaseException] = []

    async def main(backend: Backend) -> None:
        async with open_backend() as inner:
            listener = await inner.listen("tcp:127.0.0.1:0", EchoBack)
            client = await inner.connect(listener.endpoint, Recorder)

            async def waiter() -> None:
                answers.append(await client.transport.whenClosed())

            backend.start_soon(waiter)
            await backend.sleep(0.002)
        await until(backend, lambda: answers)
        assert answers == [client.reason]
        assert await client.transport.whenClosed() is client.reason

    run(main, variant=variant)


def test_verbs_after_leaving_do_no_harm(variant: str) -> None:
    async def main(backend: Backend) -> Recorder:
        listener = await backend.listen("tcp:127.0.0.1:0", EchoBack)
        client = await backend.connect(listener.endpoint, Recorder)
        assert isinstance(client, Recorder)
        return client

    client = run(main, variant=variant)
    transport = client.transport
    transport.write(b"late")
    transport.write(b"later")
    assert transport.droppedBytes == 9
    for verb in (
        transport.loseWriteConnection,
        transport.loseConnection,
        transport.abortConnection,
        transport.pauseProducing,
        transport.resumeProducing,
        transport.stopProducing,
        transport.unregisterProducer,
        transport.getPeer,
        transport.getHost,
        transport.getHandle,
    ):
        verb()
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    assert transport.state.value == "closed"
    assert client.events == ["made", "lost"]


def test_again_and_again(variant: str) -> None:
    """Nothing is left behind: no descriptor, no thread, no exception that nobody sees."""

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.write(b"x")
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()

    run(main, variant=variant)
    before, threads = descriptors(), Threads()
    for _ in range(20):
        run(main, variant=variant)
    assert len(descriptors()) == len(before)
    assert threads.new() == []


def test_from_a_thread_that_is_not_the_main_one(variant: str) -> None:
    found: list[object] = []

    async def main(backend: Backend) -> str:
        await backend.sleep(0.001)
        return backend.name

    def work() -> None:
        found.append(halfclose.run(main, backend=variant))

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(20)
    assert found == [variant, variant]


def test_in_several_threads_at_once(variant: str) -> None:
    found: list[object] = []
    together = threading.Barrier(3, timeout=20)

    async def main(backend: Backend) -> Recorder:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            together.wait()
            client.transport.write(b"x")
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
            assert isinstance(client, Recorder)
            return client

    def work() -> None:
        try:
            found.append(bytes(halfclose.run(main, backend=variant).data))
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [b"x"] * 3


# -- signals -----------------------------------------------------------------------------------

INTERRUPT = """
    import os, signal, sys, threading, halfclose

    before = [signal.getsignal(n) for n in range(1, 32) if n not in (9, 19)]
    ended = []

    async def main(backend):
        {prelude}
        try:
            backend.call_later({when}, os.kill, os.getpid(), signal.SIGINT)
            await backend.sleep(60)
        finally:
            ended.append(1)

    for _ in range(2):
        try:
            halfclose.run(main, backend={variant!r})
        except KeyboardInterrupt:
            print("interrupted")
        after = [signal.getsignal(n) for n in range(1, 32) if n not in (9, 19)]
        assert before == after, (before, after)
    print(len(ended))
"""


@pytest.mark.parametrize("when", [0, 0.05])
def test_sigint_interrupts_run(variant: str, when: float) -> None:
    out = python(INTERRUPT.format(variant=variant, when=when, prelude="pass"), warm=True)
    assert out.split() == ["interrupted", "interrupted", "2"]


def test_sigint_with_connections_open(variant: str) -> None:
    prelude = """
        lost = []
        class P(halfclose.Protocol):
            def connectionLost(self, reason):
                lost.append(type(reason).__name__)
                print(*lost) if len(lost) == 2 else None
        listener = await backend.listen("tcp:127.0.0.1:0", P)
        await backend.connect(listener.endpoint, P)
        await backend.sleep(0.01)
    """.strip()
    out = python(INTERRUPT.format(variant=variant, when=0.05, prelude=prelude), warm=True)
    assert out.split() == [*(["ConnectionAborted"] * 2), "interrupted"] * 2 + ["2"]


def test_the_programs_own_sigint_handler_stays(variant: str) -> None:
    out = python(
        f"""
        import os, signal, halfclose
        heard = []
        def handler(number, frame):
            heard.append(number)
        signal.signal(signal.SIGINT, handler)

        async def main(backend):
            backend.call_later(0, os.kill, os.getpid(), signal.SIGINT)
            await backend.sleep(0.1)
            return "done"

        print(halfclose.run(main, backend={variant!r}), heard)
        assert signal.getsignal(signal.SIGINT) is handler
        """,
        warm=True,
    )
    assert out == "done [2]\n"


def test_a_second_sigint_does_not_wait_for_main(variant: str) -> None:
    """A main that will not be cancelled cannot keep the user from getting out."""
    if variant in ANYIO:
        pytest.skip("what asyncio and trio do with a second SIGINT is theirs")
    out = python(
        f"""
        import os, signal, halfclose, threading

        async def main(backend):
            backend.call_later(0, os.kill, os.getpid(), signal.SIGINT)
            backend.call_later(0.2, os.kill, os.getpid(), signal.SIGINT)
            for _ in range(20):
                try:
                    await backend.sleep(1)
                except BaseException as error:
                    print(type(error).__name__)

        async def simple(backend):
            await backend.sleep(0)
            return "still works"

        import time
        begin = time.monotonic()
        try:
            halfclose.run(main, backend={variant!r})
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - begin < 10)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        print(halfclose.run(simple, backend={variant!r}))
        """,
        warm=True,
    )
    lines = out.splitlines()
    assert lines[0] == "CancelledError"
    assert "interrupted True" in lines
    assert "still works" in lines


class Leaving(Exception):
    pass


@pytest.mark.parametrize("sockets", ["poller", "native"])
@pytest.mark.parametrize("leaves", ["at once", "after a grace"])
@pytest.mark.parametrize("peer_ends", [True, False], ids=["peer has ended", "peer has not"])
def test_what_was_told_as_sent_survives_leaving(
    variant: str, sockets: str, peer_ends: bool, leaves: str
) -> None:
    """connectionLost(ConnectionDone) was told: a reset would take it back."""
    size = 400_000

    class Answering(Recorder):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(bytes(size))
            self.transport.loseConnection()

        def connectionLost(self, reason: BaseException) -> None:
            reasons.append(reason)
            done[0].set()

    reasons: list[BaseException] = []
    done: list[Event] = []

    async def main(backend: Backend) -> None:
        done.append(backend.create_event())
        async with await backend.listen(TCP("127.0.0.1", 0), Answering) as listener:
            assert isinstance(listener.endpoint, TCP)
            raw.connect(("127.0.0.1", listener.endpoint.port))
            raw.sendall(b"request")
            if peer_ends:
                raw.shutdown(socket.SHUT_WR)
            await done[0].wait()
            if leaves == "at once":
                raise Leaving

    with socket.socket() as raw:
        raw.settimeout(10)
        try:
            run(main, variant=variant, options={"sockets": sockets, "grace": 0.05})
        except Leaving:
            pass
        assert [type(reason) for reason in reasons] == [ConnectionDone]
        got = 0
        while data := raw.recv(65536):
            got += len(data)
    assert got == size
