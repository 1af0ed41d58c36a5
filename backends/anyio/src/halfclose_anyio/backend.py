"""What core asks of a framework, by anyio."""

from __future__ import annotations

import contextvars
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, ClassVar, TypeVar

import anyio
import anyio.abc
from halfclose import Backend, TimerHandle, Watch
from halfclose.io.addresses import Address

from .channel import StreamChannel
from .loop import Loop

__all__ = ["AnyioBackend"]

_log = logging.getLogger("halfclose")

T = TypeVar("T")

_FATAL = (KeyboardInterrupt, SystemExit)


class AnyioBackend(Backend):
    """One asyncio, uvloop or trio event loop. Its options are those of `Backend`."""

    runner: ClassVar[tuple[str, dict[str, Any]]] = ("asyncio", {})
    """What `anyio.run` is told: the backend and its options."""

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        self._variant = name.partition("+")[2]
        self._loop: Loop
        self._tasks: anyio.abc.TaskGroup
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
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        if running == "trio":
            from .on_trio import TrioLoop

            self._loop = TrioLoop(self)
        else:
            from .on_asyncio import AsyncioLoop

            self._loop = AsyncioLoop(self)

    async def stop(self, error: BaseException | None) -> None:
        self._tasks.cancel_scope.cancel()
        # The group is shown only a cancellation: any other exception would come out in a group.
        if not isinstance(error, anyio.get_cancelled_exc_class()):
            error = None
        try:
            if error is None:
                await self._tasks.__aexit__(None, None, None)
            else:
                await self._tasks.__aexit__(type(error), error, error.__traceback__)
        except BaseException as failure:
            fatal = self._fatal or _fatal_in(failure)
            if fatal is not None:
                raise fatal from None
            raise
        if self._fatal is not None:
            raise self._fatal from None

    def fatal(self, error: BaseException) -> None:
        self._fatal = self._fatal or error
        self._tasks.cancel_scope.cancel()

    # -- time, tasks, events -------------------------------------------------------------------

    def time(self) -> float:
        return self._loop.time()

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        self._loop.call_soon(function, *args)

    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> TimerHandle:
        return self._loop.call_later(seconds, function, *args)

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        self._loop.call_soon_threadsafe(function, *args)

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        self.spawn(self._run_task, function, args)

    async def _run_task(
        self, function: Callable[..., Awaitable[object]], args: tuple[object, ...]
    ) -> None:
        try:
            await function(*args)
        except _FATAL as error:
            self.fatal(error)
        except BaseException as error:
            # In a forked child no event loop runs that could name its class of cancellation.
            self.check_process(error)
            # The task is over either way; raised on, one that it raised itself would end us all.
            if not isinstance(error, anyio.get_cancelled_exc_class()):
                _log.exception("the task %r failed", function)
        self.check_process()

    def spawn(self, function: Callable[..., Coroutine[Any, Any, object]], *args: object) -> None:
        """Run an internal task that raises nothing."""
        self._tasks.start_soon(function, *args)

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    def create_event(self) -> anyio.Event:
        return anyio.Event()

    # -- descriptors and names -----------------------------------------------------------------

    def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> Watch:
        return self._loop.watch(fd, ready, write)

    async def resolve(self, host: str, port: int) -> list[Address]:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]

    def adopt(self, sock: socket.socket) -> StreamChannel:
        channel = StreamChannel(self, sock)
        self.spawn(channel.run)
        return channel


def _running_loop() -> str | None:
    """ "trio", "uvloop" or "asyncio", whichever runs in this thread."""
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
    """This context, without the mark of a loop that does not run.

    A child that was forked inside a loop has the mark of its parent's, by which anyio would think
    that one runs here.
    """
    context = contextvars.copy_context()
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None and _running_loop() is None:
        context.run(sniffio.current_async_library_cvar.set, None)
    return context


def _fatal_in(error: BaseException) -> BaseException | None:
    """A KeyboardInterrupt or SystemExit inside an exception group."""
    if isinstance(error, _FATAL):
        return error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            found = _fatal_in(inner)
            if found is not None:
                return found
    return None
