"""What a backend, a connection and their handles do when the event loop is over: nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import halfclose
import pytest
import trio
import trio.lowlevel
from core.own_loops import HOSTS, Host
from core.support import ANYIO, EchoBack, Recorder
from halfclose import Backend, open_backend

each_host = pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)


def bad(*args: object) -> None:
    raise AssertionError("it was called")


async def bad_task() -> None:
    raise AssertionError("it was run")


class Producer:
    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


async def turns() -> None:
    """Give what was begun by mistake the occasion to come."""
    for _ in range(5):
        if trio.lowlevel.in_trio_run():
            await trio.sleep(0.001)
        else:
            await asyncio.sleep(0.001)


class Left:
    """A backend that has been left, and what it gave."""

    def __init__(self) -> None:
        self.backend: Backend
        self.protocols: list[Recorder] = []
        self.handles: list[Callable[[], object]] = []
        self.descriptors: list[int] = []

    async def make(self, backend: Backend) -> None:
        """Take of everything one, a connection too."""
        listener = await backend.listen("tcp:127.0.0.1:0", EchoBack)
        self.protocols.append(await backend.connect(listener.endpoint, Recorder))
        self.handles.append(listener.close)
        await self.take_handles(backend)

    async def take_handles(self, backend: Backend) -> None:
        self.backend = backend
        self.descriptors += os.pipe()
        watches = [
            backend.watch(self.descriptors[0], bad),
            backend.watch(self.descriptors[1], lambda: None, write=True),
        ]
        timers = [backend.call_later(3600, bad), backend.call_later(0, lambda: None)]
        event = backend.create_event()

        async def waiter() -> None:
            await event.wait()

        backend.start_soon(waiter)
        await backend.sleep(0.001)
        self.handles += [watch.stop for watch in watches]
        self.handles += [timer.cancel for timer in timers]
        self.handles += [event.set, backend.create_event().set]

    def use(self) -> None:
        """Call everything that there is; none of it raises."""
        backend, transport = self.backend, self.protocols[0].transport
        for _ in range(2):
            for handle in self.handles:
                handle()
            backend.call_soon(bad)
            backend.call_soon_threadsafe(bad)
            backend.call_later(0, bad).cancel()
            backend.call_later(0, bad)
            backend.start_soon(bad_task)
            backend.create_event().set()
            assert backend.time() > 0
            transport.write(b"x")
            transport.writeSequence([b"x"])
            transport.loseWriteConnection()
            transport.loseConnection()
            transport.abortConnection()
            transport.pauseProducing()
            transport.resumeProducing()
            transport.stopProducing()
            transport.registerProducer(Producer(), True)
            transport.unregisterProducer()
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
            assert transport.getHandle() is None
            assert str(transport.getPeer()).startswith("tcp:")
            closed = transport.whenClosed()
            with pytest.raises(StopIteration):
                closed.send(None)

    def use_in_a_thread(self) -> None:
        thread = threading.Thread(target=self.backend.call_soon_threadsafe, args=[bad])
        thread.start()
        thread.join()

    def close(self) -> None:
        for fd in self.descriptors:
            os.close(fd)


@each_host
@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_after_a_program(host: Host, sockets: str, caplog: pytest.LogCaptureFixture) -> None:
    """Left, in the loop that goes on; then with the loop closed; then inside another one."""
    left = Left()

    async def main() -> None:
        async with open_backend(options={"sockets": sockets}) as backend:
            await left.make(backend)
        left.use()
        left.use_in_a_thread()
        # What was begun all the same would come now.
        await turns()

    async def later() -> None:
        left.use()
        left.use_in_a_thread()

    host(main)
    left.use()
    left.use_in_a_thread()
    host(later)
    asyncio.run(later())
    trio.run(later)
    left.close()
    assert [r for r in caplog.records if "were dropped" not in r.getMessage()] == []


@pytest.mark.parametrize("variant", ANYIO)
def test_after_a_run(variant: str) -> None:
    left = Left()
    halfclose.run(left.make, backend=variant)
    left.use()
    left.use_in_a_thread()
    left.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_loop_that_is_closed_under_a_backend(loop: str) -> None:
    """A program can end its loop and forget the backend: its handles raise nothing either."""
    import uvloop

    left = Left()
    made: Any = asyncio.new_event_loop() if loop == "asyncio" else uvloop.new_event_loop()

    async def enter() -> None:
        await left.take_handles(await open_backend().__aenter__())

    made.run_until_complete(enter())
    tasks = asyncio.all_tasks(made)
    for handle in left.handles:
        handle()
    for task in tasks:
        task.cancel()
    made.run_until_complete(asyncio.wait(tasks))
    watch = left.backend.watch(left.descriptors[0], bad)
    event = left.backend.create_event()
    made.close()
    watch.stop()
    event.set()
    left.backend.call_soon(bad)
    left.backend.call_soon_threadsafe(bad)
    left.backend.start_soon(bad_task)
    left.backend.call_later(0, bad).cancel()
    left.backend.create_event().set()
    left.close()


@each_host
def test_what_was_asked_for_before_leaving(host: Host) -> None:
    """A call from a thread that has not come when the backend is left never comes (ERR-14)."""
    called: list[str] = []

    async def main() -> None:
        async with open_backend() as backend:
            backend.call_soon_threadsafe(called.append, "threadsafe")
            backend.call_later(0, called.append, "later")
        await turns()

    host(main)
    assert called == []
