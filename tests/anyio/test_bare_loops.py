"""A backend in programs that start asyncio, uvloop or trio by themselves, and know no anyio."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import halfclose_anyio.on_asyncio
import pytest
from core.own_loops import ASYNCIO, HOSTS, Host
from core.support import EchoBack, Recorder, descriptors, until
from halfclose import Backend, ConnectionDone, ConnectionLost, open_backend

each_host = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
each_asyncio = pytest.mark.parametrize("host", ASYNCIO.values(), ids=ASYNCIO)
both_ways = pytest.mark.parametrize("sockets", ["poller", "native"])


@each_host
@both_ways
def test_connections(host: Host, sockets: str) -> None:
    """Both ends, each begun by an event of the other or by the program."""

    async def main() -> None:
        async with open_backend(options={"sockets": sockets}) as backend:
            listener = await backend.listen("tcp:127.0.0.1:0", EchoBack)
            for _ in range(2):
                client = await backend.connect(listener.endpoint, Recorder)
                client.transport.write(b"x" * 300_000)
                client.transport.loseWriteConnection()
                assert isinstance(await client.transport.whenClosed(), ConnectionDone)
                assert len(client.data) == 300_000

    host(main)


def from_an_event(backend: Backend, start: Callable[[], None]) -> None:
    class Server(EchoBack):
        def connectionMade(self) -> None:
            start()

    async def connect() -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", Server)
        client = await backend.connect(listener.endpoint, Recorder)
        client.transport.write(b"x")
        await until(backend, lambda: client.data)

    backend.start_soon(connect)


def from_dataReceived(backend: Backend, start: Callable[[], None]) -> None:
    class Server(EchoBack):
        def dataReceived(self, data: bytes) -> None:
            start()
            super().dataReceived(data)

    async def connect() -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", Server)
        client = await backend.connect(listener.endpoint, Recorder)
        client.transport.write(b"x")

    backend.start_soon(connect)


def from_a_thread(backend: Backend, start: Callable[[], None]) -> None:
    thread = threading.Thread(target=backend.call_soon_threadsafe, args=[start])
    thread.start()
    thread.join()


def from_a_descriptor(backend: Backend, start: Callable[[], None]) -> None:
    reader, writer = os.pipe()

    def ready() -> None:
        watch.stop()
        os.close(reader)
        os.close(writer)
        start()

    watch = backend.watch(reader, ready)
    os.write(writer, b"x")


WAYS: dict[str, Callable[[Backend, Callable[[], None]], object]] = {
    "connectionMade": from_an_event,
    "dataReceived": from_dataReceived,
    "call_soon": lambda backend, start: backend.call_soon(start),
    "call_later": lambda backend, start: backend.call_later(0.001, start),
    "call_soon_threadsafe": from_a_thread,
    "watch": from_a_descriptor,
    "the program": lambda backend, start: start(),
}


@each_host
@both_ways
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_task_is_begun_from_everywhere(
    host: Host, sockets: str, way: Callable[[Backend, Callable[[], None]], object]
) -> None:
    """It may wait for everything that the loop has, and is not begun inside the call."""

    async def main() -> None:
        async with open_backend(options={"sockets": sockets}) as backend:
            done = backend.create_event()
            inside: list[bool] = []

            async def task() -> None:
                inside.append(True)
                await backend.sleep(0.001)
                listener = await backend.listen("tcp:localhost:0", EchoBack)
                await backend.connect(listener.endpoint, Recorder)
                event = backend.create_event()
                backend.call_soon(event.set)
                await event.wait()
                done.set()

            def start() -> None:
                backend.start_soon(task)
                assert not inside

            way(backend, start)
            await done.wait()

    host(main)


@each_host
def test_a_task_is_not_begun_if_the_backend_is_left_at_once(host: Host) -> None:
    """ERR-14: nothing of a program's begins on a backend that has been left."""
    begun: list[bool] = []

    async def task() -> None:
        begun.append(True)

    async def main() -> None:
        async with open_backend() as backend:
            backend.start_soon(task)

    host(main)
    assert begun == []


# -- tasks of asyncio's ------------------------------------------------------------------------


@each_asyncio
@both_ways
def test_somebody_cancels_all_tasks(host: Host, sockets: str) -> None:
    """Also those of a channel: its protocol hears of it, and the backend goes on."""

    async def main() -> None:
        async with open_backend(options={"sockets": sockets, "grace": 1}) as backend:
            servers: list[Recorder] = []

            class Server(Recorder):
                def connectionMade(self) -> None:
                    super().connectionMade()
                    servers.append(self)
                    if len(servers) == 2:
                        # Its channel's task has not begun yet.
                        cancel_all()

            def cancel_all() -> None:
                for task in asyncio.all_tasks():
                    if task is not own:
                        task.cancel()

            own = asyncio.current_task()
            listener = await backend.listen("tcp:127.0.0.1:0", Server)
            client = await backend.connect(listener.endpoint, Recorder)
            await until(backend, lambda: servers)
            cancel_all()
            again = await backend.connect(listener.endpoint, Recorder)
            await until(backend, lambda: len(servers) == 2)
            if sockets == "native":
                for protocol in (client, servers[0]):
                    assert type(await protocol.transport.whenClosed()) is ConnectionLost
                    assert protocol.events == ["made", "lost"]
            # One that has not begun is begun anew, and in the poller a connection has no task.
            again.transport.write(b"x")
            await until(backend, lambda: servers[1].data)
        assert len(asyncio.all_tasks()) <= 2

    # A loop may keep something for the next one.
    host(lambda: asyncio.sleep(0))
    before = len(descriptors())
    host(main)
    assert len(descriptors()) == before


@each_asyncio
def test_a_task_that_swallows_its_cancellation(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is cancelled again, later: it may have had reason to, and is named."""
    monkeypatch.setattr(halfclose_anyio.on_asyncio, "PATIENCE", 0.02)
    cancelled: list[int] = []

    async def stubborn() -> None:
        for number in range(3):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(number)

    async def main() -> None:
        async with open_backend() as backend:
            backend.start_soon(stubborn)
            await asyncio.sleep(0)
        assert cancelled == [0, 1, 2]

    host(main)
    assert [r.levelno for r in caplog.records if "stubborn" in r.getMessage()] == [
        logging.WARNING
    ] * 2


@each_asyncio
def test_a_task_cleans_up(host: Host) -> None:
    """It is cancelled once, as asyncio does it, so that it can wait while it cleans up."""

    async def main() -> None:
        ended: list[str] = []

        async def task(name: str) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.01)
                backend.start_soon(task, "late")
                ended.append(name)

        async with open_backend() as backend:
            backend.start_soon(task, "one")
            backend.start_soon(task, "two")
            await asyncio.sleep(0)
            # It has not begun when the backend is left, and never does.
            backend.start_soon(task, "three")
        assert ended == ["one", "two"]
        assert all(each is asyncio.current_task() for each in asyncio.all_tasks())

    host(main)


@each_asyncio
def test_a_task_that_nobody_else_holds(host: Host) -> None:
    """asyncio holds its tasks weakly."""

    async def main() -> None:
        async with open_backend() as backend:
            done = backend.create_event()

            async def task() -> None:
                forever: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                backend.call_later(0.01, lambda: waiting.pop().set_result(None))
                waiting.append(forever)
                del forever
                await waiting[0]
                done.set()

            waiting: list[asyncio.Future[None]] = []
            backend.start_soon(task)
            for _ in range(3):
                await asyncio.sleep(0)
                gc.collect()
            await done.wait()

    host(main)


@each_asyncio
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_fatal_task(host: Host, error: type[BaseException]) -> None:
    """It ends the body, and what it raised comes out bare."""
    raised = error("mine")

    async def bad() -> None:
        raise raised

    async def main() -> None:
        with pytest.raises(error) as caught:  # noqa: PT012
            async with open_backend() as backend:
                backend.start_soon(bad)
                await asyncio.sleep(3600)
        assert caught.value is raised
        task: Any = asyncio.current_task()
        assert task.cancelling() == 0
        await asyncio.sleep(0.001)

    host(main)


def test_a_task_factory_of_the_programs(caplog: pytest.LogCaptureFixture) -> None:
    """It makes our tasks too; and where it fails, nothing is left behind."""
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **settings: Any) -> Any:
        made.append(coroutine.__qualname__)
        if broken:
            raise ZeroDivisionError
        return asyncio.Task(coroutine, loop=loop, **settings)

    broken = False

    async def main() -> None:
        nonlocal broken
        asyncio.get_running_loop().set_task_factory(factory)
        async with open_backend() as backend:
            done = backend.create_event()

            async def task() -> None:
                done.set()

            backend.start_soon(task)
            await done.wait()
            assert made
            broken = True
            with pytest.raises(ZeroDivisionError):
                backend.start_soon(task)
            broken = False

    asyncio.run(main())
    gc.collect()
