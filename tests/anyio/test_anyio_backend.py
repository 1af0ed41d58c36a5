"""open_backend inside running asyncio, uvloop and trio programs."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
import trio
import uvloop
from core.support import EchoBack, Recorder, Threads, descriptors, until
from halfclose import Backend, ConnectionAborted, ConnectionDone, Protocol, open_backend

T = TypeVar("T")

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"loop_factory": uvloop.new_event_loop}),
    "trio": ("trio", {}),
}

pytestmark = pytest.mark.parametrize("loop", LOOPS)


def program(loop: str, main: Callable[[], Awaitable[T]], limit: float = 20.0) -> T:
    """Run *main*, a program that owns its event loop."""

    async def limited() -> T:
        with anyio.fail_after(limit):
            return await main()

    library, options = LOOPS[loop]
    return anyio.run(limited, backend=library, backend_options=options)


class Odd(Exception):
    pass


class OddBase(BaseException):
    pass


async def connection(backend: Backend) -> Recorder:
    """A connection to ourselves."""
    listener = await backend.listen("tcp:127.0.0.1:0", EchoBack)
    client = await backend.connect(listener.endpoint, Recorder)
    assert isinstance(client, Recorder)
    return client


async def quiet() -> None:
    """Give a stray cancellation, left behind by mistake, the occasion to come."""
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    await anyio.sleep(0.002)


@pytest.mark.parametrize("name", [None, "anyio", "own"])
@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_in_a_program(loop: str, name: str | None, sockets: str) -> None:
    async def main() -> None:
        chosen = f"anyio+{loop}" if name == "own" else name
        async with open_backend(chosen, {"sockets": sockets}) as backend:
            client = await connection(backend)
            client.transport.write(b"x" * 100_000)
            client.transport.loseWriteConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)
            assert len(client.data) == 100_000
        await quiet()

    program(loop, main)


@pytest.mark.parametrize("other", LOOPS)
def test_another_loop(loop: str, other: str) -> None:
    async def main() -> None:
        if other == loop:
            async with open_backend(f"anyio+{other}"):
                pass
        else:
            with pytest.raises(RuntimeError, match=rf"anyio\+{other}.*{loop}"):
                await open_backend(f"anyio+{other}").__aenter__()
        await quiet()

    program(loop, main)


@pytest.mark.parametrize("error", [Odd, OddBase, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_the_exception_of_the_body_is_bare(loop: str, error: type[BaseException]) -> None:
    async def main() -> None:
        raised = error("mine")
        with pytest.raises(error) as caught:  # noqa: PT012
            async with open_backend() as backend:
                backend.start_soon(anyio.sleep, 3600)
                client = await connection(backend)
                await anyio.lowlevel.checkpoint()
                raise raised
        assert caught.value is raised
        assert caught.value.__cause__ is None
        assert client.events == ["made", "lost"]
        assert type(client.reason) is ConnectionAborted
        await quiet()

    program(loop, main)


def test_the_exception_of_the_body_is_bare_in_a_strict_group(loop: str) -> None:
    """A group of the program's own holds it once, and not a group of ours."""

    async def main() -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep, 3600)
                async with open_backend() as backend:
                    await connection(backend)
                    raise Odd("mine")
        except ExceptionGroup as error:
            inner = error.exceptions
        else:
            raise AssertionError("nothing was raised")
        assert [type(each) for each in inner] == [Odd]

    program(loop, main)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("event", ["connectionMade", "dataReceived"])
def test_a_fatal_event_is_bare(loop: str, error: type[BaseException], event: str) -> None:
    raised = error("mine")

    class Bad(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            if event == "connectionMade":
                raise raised

        def dataReceived(self, data: bytes) -> None:
            raise raised

    async def main() -> None:
        server = Bad()
        with pytest.raises(error) as caught:  # noqa: PT012
            async with open_backend() as backend:
                listener = await backend.listen("tcp:127.0.0.1:0", lambda: server)
                client = await backend.connect(listener.endpoint, Recorder)
                client.transport.write(b"x")
                await anyio.sleep(3600)
        assert caught.value is raised
        assert server.reason is raised
        assert server.events == ["made", "lost"]
        await quiet()

    program(loop, main)


# -- cancelled ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_a_cancel_scope(loop: str, sockets: str) -> None:
    """It leaves at once, aborts, and the scope swallows its own cancellation."""

    async def main() -> None:
        clients: list[Recorder] = []
        with anyio.CancelScope() as scope:
            async with open_backend(options={"sockets": sockets, "grace": 3600}) as backend:
                clients.append(await connection(backend))
                clients[0].transport.write(b"x" * 30_000_000)
                backend.call_later(0.01, scope.cancel)
                await anyio.sleep(3600)
            raise AssertionError("the body went on")
        assert scope.cancelled_caught
        assert clients[0].events[-1] == "lost"
        assert clients[0].events.count("lost") == 1
        assert type(clients[0].reason) is ConnectionAborted
        await quiet()

    program(loop, main)


@pytest.mark.parametrize("inside", [False, True])
def test_move_on_after(loop: str, inside: bool) -> None:
    async def main() -> None:
        if inside:
            async with open_backend() as backend:
                client = await connection(backend)
                with anyio.move_on_after(0.01) as scope:
                    await client.transport.whenClosed()
                assert scope.cancelled_caught
                assert client.events == ["made"]
                client.transport.loseConnection()
                await client.transport.whenClosed()
        else:
            with anyio.CancelScope() as scope:
                async with open_backend(options={"grace": 3600}) as backend:
                    client = await connection(backend)
                    scope.deadline = anyio.current_time() + 0.01
                    await client.transport.whenClosed()
            assert scope.cancelled_caught
            assert type(client.reason) is ConnectionAborted
        await quiet()

    program(loop, main)


def test_cancelled_while_it_winds_down(loop: str) -> None:
    """A peer that never ends keeps the backend waiting for its grace; a cancellation does not."""

    class Deaf(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.pauseProducing()

    async def main() -> None:
        clients: list[Recorder] = []
        before = descriptors()
        with anyio.CancelScope() as scope:
            async with open_backend(options={"grace": 3600}) as outer:
                listener = await outer.listen("tcp:127.0.0.1:0", Deaf)
                async with open_backend(options={"grace": 3600}) as backend:
                    clients.append(await backend.connect(listener.endpoint, Recorder))
                    clients[0].transport.write(b"x" * 30_000_000)
                    scope.deadline = anyio.current_time() + 0.05
        assert scope.cancelled_caught
        assert type(clients[0].reason) is ConnectionAborted
        await quiet()
        assert len(descriptors()) == len(before)

    program(loop, main)


def test_a_fail_after_is_a_timeout_error(loop: str) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):  # noqa: PT012
            with anyio.fail_after(0.01):
                async with open_backend(options={"grace": 3600}) as backend:
                    await connection(backend)
                    await anyio.sleep(3600)
        await quiet()

    program(loop, main)


def test_a_shielded_body(loop: str) -> None:
    async def main() -> None:
        done: list[str] = []
        with anyio.CancelScope() as scope:
            scope.cancel()
            with anyio.CancelScope(shield=True):
                async with open_backend() as backend:
                    client = await connection(backend)
                    client.transport.write(b"x")
                    client.transport.loseWriteConnection()
                    await client.transport.whenClosed()
                    done.append(bytes(client.data).decode())
        assert done == ["x"]

    program(loop, main)


def test_entering_when_cancelled_already(loop: str) -> None:
    async def main() -> None:
        before = descriptors()
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with open_backend() as backend:
                await connection(backend)
            raise AssertionError("never")
        assert scope.cancelled_caught
        await quiet()
        assert len(descriptors()) == len(before)

    program(loop, main)


def asyncio_only(loop: str) -> None:
    if loop == "trio":
        pytest.skip("asyncio's own cancellation")


def test_task_cancel(loop: str) -> None:
    asyncio_only(loop)

    async def main() -> None:
        clients: list[Recorder] = []

        async def body() -> None:
            async with open_backend(options={"grace": 3600}) as backend:
                clients.append(await connection(backend))
                await asyncio.sleep(3600)

        task = asyncio.ensure_future(body())
        while not clients:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert clients[0].events == ["made", "lost"]
        assert type(clients[0].reason) is ConnectionAborted
        assert len(asyncio.all_tasks()) == 1
        await quiet()

    program(loop, main)


def test_a_cancellation_that_is_taken_back(loop: str) -> None:
    """asyncio.timeout, of Python 3.11, counts on the task's own count of cancellations."""
    asyncio_only(loop)
    timeout = getattr(asyncio, "timeout", None)
    if timeout is None:
        pytest.skip("Python 3.11")

    async def main() -> None:
        for _ in range(3):
            with pytest.raises(TimeoutError):  # noqa: PT012
                async with timeout(None) as limit, open_backend() as backend:
                    client = await connection(backend)
                    limit.reschedule(asyncio.get_running_loop().time() + 0.01)
                    await asyncio.sleep(3600)
            assert type(client.reason) is ConnectionAborted
            task: Any = asyncio.current_task()
            assert task.cancelling() == 0
            with pytest.raises(Odd):  # noqa: PT012
                async with open_backend() as backend:
                    await connection(backend)
                    raise Odd
            assert task.cancelling() == 0
            async with open_backend() as backend:
                await connection(backend)
            assert task.cancelling() == 0
        await quiet()

    program(loop, main)


def test_wait_for(loop: str) -> None:
    asyncio_only(loop)

    async def main() -> None:
        async def body() -> None:
            async with open_backend(options={"grace": 3600}) as backend:
                await connection(backend)
                await asyncio.sleep(3600)

        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(body(), 0.02)
        await quiet()

    program(loop, main)


# -- several -----------------------------------------------------------------------------------


def test_nested(loop: str) -> None:
    async def main() -> None:
        async with open_backend() as outer:
            listener = await outer.listen("tcp:127.0.0.1:0", EchoBack)
            kept = await outer.connect(listener.endpoint, Recorder)
            async with open_backend() as inner:
                assert inner is not outer
                ended = await inner.connect(listener.endpoint, Recorder)
                async with open_backend() as innermost:
                    deepest = await innermost.connect(listener.endpoint, Recorder)
                assert deepest.events == ["made", "lost"]
                assert ended.events == ["made"]
            assert ended.events == ["made", "lost"]
            assert isinstance(ended.reason, ConnectionDone)
            assert kept.events == ["made"]
            with pytest.raises(Odd):  # noqa: PT012
                async with open_backend() as inner:
                    failed = await inner.connect(listener.endpoint, Recorder)
                    raise Odd
            assert type(failed.reason) is ConnectionAborted
            kept.transport.write(b"x")
            await until(outer, lambda: kept.data == b"x")
        assert isinstance(kept.reason, ConnectionDone)

    program(loop, main)


def test_side_by_side(loop: str) -> None:
    async def main() -> None:
        async def one() -> None:
            async with open_backend() as backend:
                for _ in range(3):
                    client = await connection(backend)
                    client.transport.write(b"x")
                    client.transport.loseWriteConnection()
                    await client.transport.whenClosed()
                    assert client.data == b"x"

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)

    program(loop, main)


# -- tasks and calls ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Odd, OddBase, GeneratorExit])
def test_a_task_that_fails(
    loop: str, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    raised = error("mine")

    async def bad() -> None:
        await anyio.lowlevel.checkpoint()
        raise raised

    async def main() -> None:
        async with open_backend() as backend:
            client = await connection(backend)
            backend.start_soon(bad)
            await until(backend, lambda: caplog.records)
            client.transport.write(b"x")
            await until(backend, lambda: client.data)

    program(loop, main)
    errors = [r for r in caplog.records if r.name == "halfclose" and r.levelno >= logging.ERROR]
    assert [record.exc_info[1] for record in errors if record.exc_info] == [raised]


def test_a_task_that_fails_with_a_group(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    async def bad() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(worse)
            await anyio.sleep(3600)

    async def worse() -> None:
        raise Odd

    async def main() -> None:
        async with open_backend() as backend:
            backend.start_soon(bad)
            await until(backend, lambda: caplog.records)

    program(loop, main)
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1


def test_a_task_that_raises_a_cancellation_of_its_own(loop: str) -> None:
    """It ends that task; nothing else."""
    asyncio_only(loop)

    async def bad() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        async with open_backend() as backend:
            backend.start_soon(bad)
            await quiet()
            client = await connection(backend)
            client.transport.write(b"x")
            await until(backend, lambda: client.data)

    program(loop, main)


def test_tasks_are_cancelled_at_leaving_and_may_clean_up(loop: str) -> None:
    async def main() -> None:
        ended: list[str] = []
        begun: list[int] = []

        async def task() -> None:
            begun.append(1)
            try:
                await anyio.sleep(3600)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.01)
                ended.append("clean")

        async with open_backend() as backend:
            backend.start_soon(task)
            backend.start_soon(task)
            await until(backend, lambda: len(begun) == 2)
        assert ended == ["clean"] * 2

    program(loop, main)


def test_timers(loop: str) -> None:
    async def main() -> None:
        heard: list[float] = []
        async with open_backend() as backend:
            late = True
            while late:
                begun = backend.time()
                handles = [
                    backend.call_later(seconds, heard.append, seconds)
                    for seconds in (0.02, 0, 0.01, 3600, 0.015)
                ]
                # Where the machine was busy in between, the third may be due after the first.
                late = backend.time() - begun > 0.005
                if late:
                    for handle in handles:
                        handle.cancel()
            handles[4].cancel()
            handles[3].cancel()
            handles[3].cancel()
            await until(backend, lambda: len(heard) == 3)
            assert heard == [0, 0.01, 0.02]
            handles[0].cancel()
            # Very many, cancelled, cost nothing that stays.
            for _ in range(10_000):
                backend.call_later(3600, heard.append, -1).cancel()
            early = backend.call_later(0.001, heard.append, 9)
            await until(backend, lambda: 9 in heard)
            early.cancel()
        await quiet()
        assert heard == [0, 0.01, 0.02, 9]

    program(loop, main)


def test_calls_from_a_thread(loop: str) -> None:
    async def main() -> None:
        async with open_backend() as backend:
            heard: list[int] = []
            home = threading.get_ident()

            def call(number: int) -> None:
                assert threading.get_ident() == home
                heard.append(number)

            def work() -> None:
                for number in range(500):
                    backend.call_soon_threadsafe(call, number)

            thread = threading.Thread(target=work)
            thread.start()
            await until(backend, lambda: len(heard) == 500)
            thread.join(10)
            assert heard == list(range(500))

    program(loop, main)


def test_a_call_from_a_thread_after_leaving(loop: str) -> None:
    """The program's loop runs on; whatever the call does, it is harmless."""

    async def main() -> None:
        async with open_backend() as backend:
            pass
        thread = threading.Thread(target=backend.call_soon_threadsafe, args=[len, ()])
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
        await quiet()

    program(loop, main)


def test_nothing_is_left_behind(loop: str) -> None:
    async def main() -> None:
        async def once(error: BaseException | None) -> None:
            try:
                async with open_backend() as backend:
                    client = await connection(backend)
                    client.transport.write(b"x")
                    backend.call_later(3600, print)
                    backend.start_soon(anyio.sleep, 3600)
                    await until(backend, lambda: client.data)
                    if error is not None:
                        raise error
            except Odd:
                pass

        await once(None)
        before, threads = len(descriptors()), Threads()
        for number in range(30):
            await once(Odd() if number % 2 else None)
        await quiet()
        assert len(descriptors()) == before
        assert threads.new() == []
        if loop == "trio":
            assert trio.lowlevel.current_statistics().tasks_living < 10
        else:
            assert len(asyncio.all_tasks()) == 1

    program(loop, main)


def test_a_factory_of_plain_protocols(loop: str) -> None:
    """EVT-12 in a program of one's own."""

    class Once(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data.upper())

    async def main() -> None:
        async with open_backend() as backend:
            listener = await backend.listen("tcp:127.0.0.1:0", Once)
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.write(b"abc")
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
            assert client.data == b"ABC"

    program(loop, main)
