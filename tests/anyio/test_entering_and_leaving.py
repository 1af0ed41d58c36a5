"""A backend that one task enters and another leaves: fixtures, and ``start()`` and ``stop()``."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import unittest
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trio
from core.own_loops import ASYNCIO, HOSTS, Host
from core.support import EchoBack, Recorder, descriptors, until
from halfclose import Backend, ConnectionAborted, ConnectionDone, open_backend
from halfclose_anyio import serve_stream

each_host = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
each_asyncio = pytest.mark.parametrize("host", ASYNCIO.values(), ids=ASYNCIO)
both_ways = pytest.mark.parametrize("sockets", ["poller", "native"])


async def in_a_task(function: Callable[..., Awaitable[Any]], *args: object) -> Any:
    """Await it in a task of its own, on whichever loop runs."""
    if not trio.lowlevel.in_trio_run():

        async def run() -> Any:
            return await function(*args)

        return await asyncio.get_running_loop().create_task(run())
    outcome: list[Any] = []

    async def task() -> None:
        try:
            outcome.append(await function(*args))
        except BaseException as error:
            outcome.append(error)
            if isinstance(error, trio.Cancelled):
                raise

    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


async def pair(backend: Backend) -> tuple[Recorder, Recorder]:
    """Both ends of a connection that is open."""
    server = Recorder()
    listener = await backend.listen("tcp:127.0.0.1:0", lambda: server)
    client = await backend.connect(listener.endpoint, Recorder)
    client.transport.write(b"x")
    await until(backend, lambda: server.data)
    return client, server


@each_host
@both_ways
def test_three_tasks(host: Host, sockets: str) -> None:
    """One that is over has entered it; trio too has nothing against that."""

    async def main() -> None:
        backend = open_backend(options={"sockets": sockets})
        await in_a_task(backend.__aenter__)
        client, server = await in_a_task(pair, backend)
        await in_a_task(backend.__aexit__, None, None, None)
        for protocol in (client, server):
            assert isinstance(protocol.reason, ConnectionDone)
        with pytest.raises(RuntimeError, match="has been left"):
            await backend.connect("tcp:127.0.0.1:1", Recorder)

    host(main)


@each_asyncio
@both_ways
def test_entered_by_a_task_that_goes_on(host: Host, sockets: str) -> None:
    async def main() -> None:
        stack = contextlib.AsyncExitStack()
        backend = await stack.enter_async_context(open_backend(options={"sockets": sockets}))
        client, server = await in_a_task(pair, backend)
        await in_a_task(stack.aclose)
        assert client.events == ["made", "lost"]
        assert server.events == ["made", "data", "lost"]
        await asyncio.sleep(0.001)

    host(main)


@each_asyncio
def test_left_by_an_error_of_another_task(host: Host) -> None:
    """As where it was entered, the connections are aborted and the error comes out bare."""

    async def main() -> None:
        error = ValueError("mine")
        stack = contextlib.AsyncExitStack()
        backend = await in_a_task(stack.enter_async_context, open_backend())
        client, _ = await pair(backend)

        async def leave() -> None:
            async with stack:
                raise error

        with pytest.raises(ValueError, match="mine") as caught:
            await in_a_task(leave)
        assert caught.value is error
        assert type(client.reason) is ConnectionAborted

    host(main)


@each_host
def test_left_by_a_task_of_its_own(host: Host) -> None:
    """Who leaves is not waited for by itself."""

    async def main() -> None:
        stack = contextlib.AsyncExitStack()
        backend = await in_a_task(stack.enter_async_context, open_backend())
        left: list[bool] = []

        async def leave() -> None:
            await stack.aclose()
            left.append(True)

        backend.start_soon(leave)
        while not left:
            if trio.lowlevel.in_trio_run():
                await trio.sleep(0.001)
            else:
                await asyncio.sleep(0.001)

    host(main)


@each_asyncio
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_fatal_event_where_the_entering_task_goes_on(
    host: Host, error: type[BaseException]
) -> None:
    """It is cancelled, wherever it waits, and what was raised comes from leaving."""
    raised = error("mine")

    async def main() -> str:
        stack = contextlib.AsyncExitStack()
        backend = await stack.enter_async_context(open_backend())
        backend.call_soon(_raise, raised)
        try:
            await asyncio.sleep(3600)
        finally:
            with pytest.raises(error) as caught:
                await stack.aclose()
            assert caught.value is raised
        return "not reached"

    with pytest.raises(asyncio.CancelledError):
        host(main)


@each_asyncio
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_fatal_event_where_the_entering_task_is_over(
    host: Host, error: type[BaseException]
) -> None:
    """It ends the loop's run, as what any callback raises does, and is raised once."""
    raised = error("mine")
    left: list[bool] = []

    async def main() -> None:
        stack = contextlib.AsyncExitStack()
        backend = await in_a_task(stack.enter_async_context, open_backend())
        try:
            backend.call_soon(_raise, raised)
            await asyncio.sleep(3600)
        finally:
            await stack.aclose()
            left.append(True)

    with pytest.raises(error) as caught:
        host(main)
    assert caught.value is raised


@each_asyncio
def test_a_fatal_event_while_another_task_leaves(host: Host) -> None:
    """What waits for the connections is ended, and raises it."""
    raised = SystemExit("mine")

    class Deaf(Recorder):
        def connectionMade(self) -> None:
            self.transport.pauseProducing()

    async def main() -> None:
        async with open_backend() as peers:
            listener = await peers.listen("tcp:127.0.0.1:0", Deaf)
            backend = open_backend(options={"grace": 3600})
            await in_a_task(backend.__aenter__)
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.write(b"x" * 30_000_000)
            backend.call_later(0.01, _raise, raised)
            with pytest.raises(SystemExit) as caught:
                await backend.__aexit__(None, None, None)
            assert caught.value is raised
            assert type(client.reason) is ConnectionAborted
            # It was this task that was interrupted, and nothing of it is left.
            task: Any = asyncio.current_task()
            assert task.cancelling() == 0
            await asyncio.sleep(0.001)

    host(main)


def _raise(error: BaseException) -> None:
    raise error


@each_asyncio
def test_a_fixture(host: Host) -> None:
    """An asynchronous generator that is driven by a task for each step, as fixtures are."""

    async def fixture() -> AsyncIterator[Backend]:
        async with open_backend() as backend:
            yield backend

    async def main() -> None:
        generator = fixture()
        backend = await in_a_task(generator.__anext__)
        client, _ = await in_a_task(pair, backend)
        with pytest.raises(StopAsyncIteration):
            await in_a_task(generator.__anext__)
        assert isinstance(client.reason, ConnectionDone)

    host(main)


def test_unittest() -> None:
    """``enterAsyncContext``, whose tests and cleanups are tasks of their own."""
    seen: list[Recorder] = []

    class Case(unittest.IsolatedAsyncioTestCase):
        async def asyncSetUp(self) -> None:
            self.backend = await self.enterAsyncContext(open_backend())

        async def test_echo(self) -> None:
            listener = await self.backend.listen("tcp:127.0.0.1:0", EchoBack)
            client = await self.backend.connect(listener.endpoint, Recorder)
            client.transport.write(b"hello")
            await until(self.backend, lambda: client.data)
            seen.append(client)

    result = unittest.TestResult()
    Case("test_echo").run(result)
    assert result.wasSuccessful(), result.errors + result.failures
    assert isinstance(seen[0].reason, ConnectionDone)


@each_asyncio
def test_a_stream_is_served_by_any_task(host: Host) -> None:
    import anyio

    async def main() -> None:
        async with open_backend() as backend:
            listener = await backend.listen("tcp:127.0.0.1:0", EchoBack)
            stream = await anyio.connect_tcp("127.0.0.1", int(str(listener.endpoint).split(":")[2]))
            client = Recorder()
            task = asyncio.get_running_loop().create_task(serve_stream(stream, client))
            await until(backend, lambda: client.events)
            client.transport.write(b"x")
            client.transport.loseWriteConnection()
            await task
            assert client.data == b"x"

    host(main)


# -- another loop ------------------------------------------------------------------------------


@each_host
@both_ways
def test_left_where_another_loop_runs(host: Host, sockets: str) -> None:
    """Its own has ended: what is open is aborted at once, and the error says why."""
    protocols: list[Recorder] = []
    cancelled: list[bool] = []

    async def task() -> None:
        try:
            await backend.sleep(3600)
        finally:
            cancelled.append(True)

    async def enter() -> None:
        await in_a_task(backend.__aenter__)
        protocols.extend(await pair(backend))
        # More than the kernel takes: without a loop it would never be sent.
        protocols[0].transport.pauseProducing()
        protocols[1].transport.write(b"x" * 30_000_000)
        backend.start_soon(task)
        await backend.sleep(0)

    async def leave() -> None:
        with pytest.raises(RuntimeError, match="another event loop, which has ended"):
            await backend.listen("tcp:127.0.0.1:0", Recorder)
        with pytest.raises(RuntimeError, match="which has ended: its connections were"):
            await backend.__aexit__(None, None, None)

    before = len(descriptors())
    backend = open_backend("anyio", {"sockets": sockets})
    host(enter)
    host(leave)
    assert backend.left
    assert cancelled
    assert all(each.reason is not None for each in protocols)
    assert len(descriptors()) <= before + 1


def test_left_where_its_loop_stands_still() -> None:
    """It can be run again; its tasks are cancelled then."""
    ended: list[bool] = []

    async def task() -> None:
        try:
            await backend.sleep(3600)
        finally:
            ended.append(True)

    async def enter() -> None:
        await backend.__aenter__()
        backend.start_soon(task)
        await backend.sleep(0.001)

    backend = open_backend("anyio")
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(enter())
        with pytest.raises(RuntimeError, match="another event loop"):
            second.run(backend.__aexit__(None, None, None))
        assert not ended
        first.run(asyncio.sleep(0.001))
        assert ended


@each_host
def test_another_thread_is_told_and_changes_nothing(host: Host) -> None:
    async def elsewhere(backend: Backend) -> None:
        with pytest.raises(RuntimeError, match="another event loop, which runs in another thread"):
            await backend.listen("tcp:127.0.0.1:0", Recorder)
        with pytest.raises(RuntimeError, match="runs in another thread; leave it there"):
            await backend.__aexit__(None, None, None)

    async def main() -> None:
        async with open_backend() as backend:
            with ThreadPoolExecutor() as threads:
                threads.submit(host, lambda: elsewhere(backend)).result()
            client, _ = await pair(backend)
        assert isinstance(client.reason, ConnectionDone)

    host(main)


# -- what trio cannot --------------------------------------------------------------------------


@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_trio_says_what_it_cannot(sockets: str) -> None:
    """It is left all the same: the error tells what is wrong, and the way that works."""

    async def main() -> None:
        before = len(descriptors())
        backend = open_backend(options={"sockets": sockets})
        protocols: list[Recorder] = []

        async def enter(task_status: trio.TaskStatus[None]) -> None:
            await backend.__aenter__()
            task_status.started()
            await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            await nursery.start(enter)
            protocols += await pair(backend)
            with pytest.raises(RuntimeError, match=r"another task.*nursery\.start"):
                await backend.__aexit__(None, None, None)
            assert backend.left
            assert [type(each.reason) for each in protocols] == [ConnectionDone] * 2
            nursery.cancel_scope.cancel()
        assert len(descriptors()) <= before + 1

    trio.run(main)


def test_trio_says_that_a_nursery_is_between() -> None:
    """Left inside of what was opened since: it is left, and the error is ours."""

    async def main() -> None:
        backend = open_backend()
        await backend.__aenter__()
        client, _ = await pair(backend)
        with trio.CancelScope():
            match = r"was left in another nursery.*nursery\.start"
            with pytest.raises(RuntimeError, match=match):
                await backend.__aexit__(None, None, None)
        assert backend.left
        assert isinstance(client.reason, ConnectionDone)
        await trio.lowlevel.checkpoint()

    trio.run(main)


@each_host
def test_several_are_left_in_the_order_of_entering(host: Host) -> None:
    """As by services that are started and stopped in one task; trio's scopes go the other way."""

    async def main() -> None:
        backends = [open_backend() for _ in range(3)]
        for backend in backends:
            await backend.__aenter__()
        clients = [(await pair(backend))[0] for backend in backends]
        for backend, client in zip(backends, clients, strict=True):
            assert client.reason is None
            await backend.__aexit__(None, None, None)
            assert isinstance(client.reason, ConnectionDone)

    host(main)


@pytest.mark.parametrize("left", [True, False])
def test_trio_keeps_no_task_that_has_ended(left: bool) -> None:
    """One entered a backend; another has left it, or nobody."""
    entered: list[weakref.ref[trio.lowlevel.Task]] = []

    async def main() -> None:
        backend = open_backend()

        async def start() -> None:
            entered.append(weakref.ref(trio.lowlevel.current_task()))
            await backend.__aenter__()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
        if left:
            await backend.__aexit__(None, None, None)

    trio.run(main)
    gc.collect()
    assert entered[0]() is None


def test_the_way_that_works_on_trio() -> None:
    """As the error says it."""

    async def main() -> None:
        async def hold(task_status: trio.TaskStatus[Backend]) -> None:
            async with open_backend() as backend:
                task_status.started(backend)
                await end.wait()

        end = trio.Event()
        async with trio.open_nursery() as nursery:
            backend = await nursery.start(hold)
            client, _ = await pair(backend)
            end.set()
        assert isinstance(client.reason, ConnectionDone)

    trio.run(main)


def test_a_fatal_event_on_trio_where_the_entering_task_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged at once, and raised where the backend is left."""
    raised = SystemExit("mine")

    async def main() -> None:
        backend = open_backend()
        await in_a_task(backend.__aenter__)
        backend.call_soon(_raise, raised)
        await until(backend, lambda: caplog.records)
        with pytest.raises(SystemExit) as caught:
            await backend.__aexit__(None, None, None)
        assert caught.value is raised

    trio.run(main)
    assert len(caplog.records) == 1
