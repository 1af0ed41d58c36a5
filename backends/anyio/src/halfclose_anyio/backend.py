"""The backend on anyio: the methods of `halfclose.EventLoop`, for three event loops."""

from __future__ import annotations

import contextvars
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar, TypeVar

import anyio
from halfclose import Address, Backend, Event, TimerHandle, Watch

from .channel import StreamChannel
from .loop import Loop

__all__ = ["AnyioBackend"]


T = TypeVar("T")


class AnyioBackend(Backend):
    """One asyncio, uvloop or trio event loop. Its options are those of `Backend`."""

    runner: ClassVar[tuple[str, dict[str, Any]]] = ("asyncio", {})
    """The arguments ``backend`` and ``backend_options`` of `anyio.run`."""

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        self._variant = name.partition("+")[2]
        self._loop: Loop

    # -- running -------------------------------------------------------------------------------

    @classmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        backend = cls(name, options)

        async def body() -> T:
            async with backend:
                return await main(backend, *args)

        library, settings = cls.runner

        def begin() -> T:
            return anyio.run(body, backend=library, backend_options=settings)

        return _unmarked().run(begin)

    async def start(self) -> None:
        running = _running_loop()
        if running is None or self._variant not in ("", running):
            raise RuntimeError(
                f"backend {self.name!r}: "
                + (f"it is {running} that runs here" if running else "no event loop runs here")
            )
        loop: Loop
        if running == "trio":
            from .on_trio import TrioLoop

            loop = TrioLoop(self)
        else:
            from .on_asyncio import AsyncioLoop

            loop = AsyncioLoop(self)
        self._loop = loop
        await loop.enter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.check_process(error)
        if self._loop.runs_here():
            self._loop.leaving()
            await super().__aexit__(kind, error, traceback)
            return
        if not self._loop.has_ended():
            raise self._elsewhere("runs in another thread; leave it there")
        # The loop has ended, so no connection can be closed in order: all are aborted.
        reason = error or self._elsewhere("has ended: its connections were aborted")
        await super().__aexit__(type(reason), reason, traceback)
        if error is None:
            raise reason

    def check_open(self) -> None:
        super().check_open()
        if not self._loop.runs_here():
            over = self._loop.has_ended()
            raise self._elsewhere("has ended" if over else "runs in another thread")

    def _elsewhere(self, what: str) -> RuntimeError:
        return RuntimeError(
            f"backend {self.name!r} was entered in another event loop, which {what}. One and the "
            "same has to run where it is entered, used and left; of pytest-asyncio, a fixture and "
            "its tests have it by the same loop_scope"
        )

    async def stop(self, error: BaseException | None) -> None:
        await self._loop.leave(error)

    def fatal(self, error: BaseException) -> None:
        self._loop.fatal(error)

    # -- time, tasks, events -------------------------------------------------------------------

    def time(self) -> float:
        return self._loop.time()

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        self._loop.call_soon(function, *args)

    def call_though_left(self, function: Callable[..., object], *args: object) -> bool:
        return self._loop.call_though_left(function, *args)

    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> TimerHandle:
        return self._loop.call_later(seconds, function, *args)

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        self._loop.call_soon_threadsafe(function, *args)

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        self._loop.start_soon(function, *args)

    def spawn(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """`start_soon`, for a task of the backend's own, which raises nothing.

        Its function runs even if the backend is left before the task's first turn.
        """
        self._loop.spawn(function, *args)

    async def sleep(self, seconds: float) -> None:
        await self._loop.sleep(seconds)

    def create_event(self) -> Event:
        return self._loop.create_event()

    # -- descriptors and names -----------------------------------------------------------------

    def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> Watch:
        return self._loop.watch(fd, ready, write)

    async def resolve(self, host: str, port: int) -> list[Address]:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]

    def adopt(self, sock: socket.socket) -> StreamChannel:
        self._loop.check_watchable(sock.fileno())
        channel = StreamChannel(self, sock)
        self.spawn(channel.run)
        return channel


def _running_loop() -> str | None:
    """The name of the loop that runs in this thread: "trio", "uvloop", "asyncio", or None."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return "trio"
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return "uvloop" if type(loop).__module__.partition(".")[0] == "uvloop" else "asyncio"


def _unmarked() -> contextvars.Context:
    """A copy of this context in which sniffio finds no loop, if none runs in this thread.

    A child that was forked inside a loop inherits sniffio's mark of that loop, and anyio would
    think that it still runs.
    """
    context = contextvars.copy_context()
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None and _running_loop() is None:
        context.run(sniffio.current_async_library_cvar.set, None)
    return context
