"""The loop's calls on trio: one task for all timers, one for each watched descriptor."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

import trio

from .loop import Loop

if TYPE_CHECKING:
    from .backend import AnyioBackend

__all__ = ["TrioLoop"]


class _Timer:
    __slots__ = ("args", "cancelled", "function")

    def __init__(self, function: Callable[..., object], args: tuple[object, ...]) -> None:
        self.function = function
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        # A cancelled timer stays in the heap for a while, and must keep nothing alive.
        self.function = _nothing
        self.args = ()


def _nothing() -> None:
    pass


class _Watch:
    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.stopped = False

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            # The descriptor may be closed in this very turn, before a cancellation arrives.
            trio.lowlevel.notify_closing(self.fd)


class TrioLoop(Loop):
    """The trio run of this thread."""

    def __init__(self, backend: AnyioBackend) -> None:
        super().__init__(backend)
        self._token = trio.lowlevel.current_trio_token()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._number = count()
        self._sooner = trio.Event()
        self._sweep_at = 100
        backend.spawn(self._run_timers)

    def time(self) -> float:
        return trio.current_time()

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        self._token.run_sync_soon(self._backend.guarded, function, *args)

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        self._token.run_sync_soon(self._backend.guarded, function, *args)

    def call_later(self, seconds: float, function: Callable[..., object], *args: object) -> _Timer:
        timer = _Timer(function, args)
        deadline = trio.current_time() + seconds
        heapq.heappush(self._timers, (deadline, next(self._number), timer))
        if self._timers[0][2] is timer:
            self._sooner.set()
        return timer

    async def _run_timers(self) -> None:
        while True:
            self._drop_cancelled()
            deadline = self._timers[0][0] if self._timers else math.inf
            self._sooner = trio.Event()
            with trio.move_on_at(deadline):
                await self._sooner.wait()
            now = trio.current_time()
            while self._timers and self._timers[0][0] <= now:
                timer = heapq.heappop(self._timers)[2]
                if not timer.cancelled:
                    self._backend.guarded(timer.function, *timer.args)

    def _drop_cancelled(self) -> None:
        """Forget cancelled timers, also those far ahead once they are the most."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        if len(self._timers) > self._sweep_at:
            self._timers = [entry for entry in self._timers if not entry[2].cancelled]
            heapq.heapify(self._timers)
            self._sweep_at = max(100, 2 * len(self._timers))

    def watch(self, fd: int, ready: Callable[[], object], write: bool) -> _Watch:
        watch = _Watch(fd)
        self._backend.spawn(self._serve, watch, ready, write)
        return watch

    async def _serve(self, watch: _Watch, ready: Callable[[], object], write: bool) -> None:
        wait = trio.lowlevel.wait_writable if write else trio.lowlevel.wait_readable
        while not watch.stopped:
            try:
                await wait(watch.fd)
            except trio.ClosedResourceError:
                # Another watch of the same descriptor was stopped, or this one.
                continue
            while not watch.stopped and self._backend.guarded(ready):
                # It asks to be called again, which is sooner than a wait even where more is there.
                await trio.lowlevel.checkpoint()
