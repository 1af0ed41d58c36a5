"""What halfclose asks of an event loop, by `example_loop.loop`."""

from __future__ import annotations

import selectors
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from types import FrameType
from typing import Any, TypeVar
from weakref import WeakSet

from halfclose import Address, Backend
from halfclose.io.socket_channel import SocketChannel

from .loop import Cancelled, Event, Loop, Task, Timer, Watch, running

__all__ = ["ExampleBackend"]

T = TypeVar("T")


class ExampleBackend(Backend):
    """The bare loop of this package."""

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        self._loop: Loop
        self._host: Task
        self._tasks: set[Task] = set()
        self._timers: WeakSet[Timer] = WeakSet()  # The loop holds them until their time.
        self._fatal: BaseException | None = None

    # -- running -------------------------------------------------------------------------------

    @classmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        if running() is not None:
            raise RuntimeError(
                f"backend {name!r}: its loop runs in this thread; use halfclose.open_backend"
            )
        backend = cls(name, options)

        async def body() -> T:
            async with backend:
                return await main(backend, *args)

        loop = Loop()
        task = Task(loop, body())
        with _Interrupts(loop, task) as interrupts:
            try:
                return loop.run(task)  # type: ignore[no-any-return]
            except Cancelled:
                if interrupts.count:
                    raise KeyboardInterrupt from None
                raise

    async def start(self) -> None:
        loop = running()
        if loop is None or loop.current is None:
            raise RuntimeError(f"backend {self.name!r}: its loop does not run in this thread")
        self._loop = loop
        self._host = loop.current

    async def stop(self, error: BaseException | None) -> None:
        for timer in self._timers:
            timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        for task in list(self._tasks):
            await task.done.wait()
        if self._fatal is not None:
            raise self._fatal

    def fatal(self, error: BaseException) -> None:
        if self._fatal is None:
            self._fatal = error
            self._host.cancel()

    # -- time and calls ------------------------------------------------------------------------

    def time(self) -> float:
        return time.monotonic()

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        if not self.left:
            self._loop.call_soon(copy_context().run, self.guarded_timer, function, *args)

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        if self.left:
            return
        call = copy_context().run
        with suppress(RuntimeError):  # The loop has ended since: another thread came late.
            self._loop.call_soon_threadsafe(call, self.guarded_timer, function, *args)

    def call_later(self, seconds: float, function: Callable[..., object], *args: object) -> Timer:
        if self.left:
            return Timer(function, args)  # The loop does not know of it.
        when = time.monotonic() + seconds
        timer = self._loop.call_at(when, copy_context().run, self.guarded_timer, function, *args)
        self._timers.add(timer)
        return timer

    # -- tasks and events ----------------------------------------------------------------------

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        if self.left:
            return  # It would be cancelled at once.
        self._tasks.add(Task(self._loop, self._run_task(function, args)))

    async def _run_task(
        self, function: Callable[..., Awaitable[object]], args: tuple[object, ...]
    ) -> None:
        task = self._loop.current
        try:
            await function(*args)
        except Cancelled:
            pass
        except (KeyboardInterrupt, SystemExit) as error:
            self.fatal(error)
        except BaseException as error:
            self.check_process(error)
            self.report(error, "the task %r failed", function)
        finally:
            self._tasks.discard(task)
            self.check_process()

    async def sleep(self, seconds: float) -> None:
        await self._loop.sleep(seconds)

    def create_event(self) -> Event:
        return Event()

    # -- descriptors and names -----------------------------------------------------------------

    def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> _Watched:
        event = selectors.EVENT_WRITE if write else selectors.EVENT_READ
        return _Watched(self, self._loop.watch(fd, event, lambda: self.guarded(ready)))

    async def resolve(self, host: str, port: int) -> list[Address]:
        done = Event()
        outcome: list[Any] = []

        def look_up() -> None:
            try:
                outcome.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            except Exception as error:
                outcome.append(error)
            try:
                self._loop.call_soon_threadsafe(done.set)
            except RuntimeError:
                pass  # The loop has ended: nobody waits.

        # A lookup cannot be cancelled; a daemon thread can be left alone.
        threading.Thread(target=look_up, daemon=True).start()
        await done.wait()
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return [(family, address) for family, _, _, _, address in outcome[0]]

    def adopt(self, sock: socket.socket) -> SocketChannel:
        # This loop has no transports of its own.
        return SocketChannel(sock, self.driver.poller)


class _Watched:
    """What the loop watches for a backend."""

    def __init__(self, backend: ExampleBackend, watch: Watch) -> None:
        self._backend = backend
        self._watch = watch

    def stop(self) -> None:
        # A forked child shares the loop's epoll instance with its parent.
        if self._backend.foreign is None:
            self._watch.stop()


class _Interrupts:
    """SIGINT cancels the main task; a handler that the program has set is left alone."""

    def __init__(self, loop: Loop, main: Task) -> None:
        self._loop = loop
        self._main = main
        self._installed = False
        self.count = 0

    def __enter__(self) -> _Interrupts:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt  # Its code does not return to the loop.
        self._loop.call_soon_threadsafe(self._main.cancel)

    def __exit__(self, *exception: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
