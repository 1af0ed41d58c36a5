"""The loop's calls on asyncio and uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from .loop import Loop

if TYPE_CHECKING:
    from .backend import AnyioBackend

__all__ = ["AsyncioLoop"]


class _Watch:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        backend: AnyioBackend,
        fd: int,
        ready: Callable[[], object],
        write: bool,
    ) -> None:
        self._loop = loop
        self._guarded = backend.guarded
        self._fd = fd
        self._ready = ready
        self._write = write
        self._stopped = False
        self._asked_again = False
        (loop.add_writer if write else loop.add_reader)(fd, self._serve)

    def _serve(self) -> None:
        if self._guarded(self._ready) and not self._asked_again:
            self._asked_again = True
            self._loop.call_soon(self._again)

    def _again(self) -> None:
        self._asked_again = False
        if not self._stopped:
            self._serve()

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            (self._loop.remove_writer if self._write else self._loop.remove_reader)(self._fd)


class AsyncioLoop(Loop):
    """The asyncio loop that runs in this thread."""

    def __init__(self, backend: AnyioBackend) -> None:
        super().__init__(backend)
        self._loop = asyncio.get_running_loop()

    def time(self) -> float:
        return self._loop.time()

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        self._loop.call_soon(self._backend.guarded, function, *args)

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        self._loop.call_soon_threadsafe(self._backend.guarded, function, *args)

    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, self._backend.guarded_timer, function, *args)

    def watch(self, fd: int, ready: Callable[[], object], write: bool) -> _Watch:
        return _Watch(self._loop, self._backend, fd, ready, write)
