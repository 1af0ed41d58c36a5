"""The loop on asyncio and uvloop, which uses asyncio's public names only.

It needs no current task, and binds the backend to none: one task may enter the backend and another
one leave it, as fixtures do, and classes with methods ``start()`` and ``stop()``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
from halfclose import Backend, TimerHandle

from .loop import FATAL, Loop, NoTimer

__all__ = ["PATIENCE", "AsyncioLoop"]

_log = logging.getLogger("halfclose")

PATIENCE = 2.0
"""Seconds that a task has to clean up before it is cancelled again."""


class _Event(asyncio.Event):
    """An `asyncio.Event` whose `wait` always gives other tasks a turn.

    It can also be set after the loop has been closed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._home = loop

    def set(self) -> None:
        try:
            super().set()
        except RuntimeError:
            # The event is set all the same. The tasks that waited ended with the loop.
            if not self._home.is_closed():
                raise

    async def wait(self) -> bool:  # type: ignore[override]
        if self.is_set():
            await asyncio.sleep(0)
            return True
        return await super().wait()


class _Watch:
    """A descriptor that the loop watches for us."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        backend: Backend,
        fd: int,
        ready: Callable[[], object],
        write: bool,
    ) -> None:
        self._loop = loop
        self._backend = backend
        self._fd = fd
        self._ready = ready
        self._write = write
        self._stopped = False
        self._asked_again = False
        (loop.add_writer if write else loop.add_reader)(fd, self._serve)

    def _serve(self) -> None:
        if self._backend.guarded(self._ready) and not self._asked_again:
            self._asked_again = True
            self._loop.call_soon(self._again)

    def _again(self) -> None:
        self._asked_again = False
        if not self._stopped:
            self._serve()

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            # A forked child must not do that: it shares with its parent what the loop watches.
            if self._backend.foreign is None and not self._loop.is_closed():
                (self._loop.remove_writer if self._write else self._loop.remove_reader)(self._fd)


class _Begun:
    """The function that a task was begun with, its arguments, and whether it has begun."""

    __slots__ = ("args", "function", "ours", "runs")

    def __init__(
        self, function: Callable[..., Awaitable[object]], args: tuple[object, ...], ours: bool
    ) -> None:
        self.function = function
        self.args = args
        self.ours = ours
        self.runs = False
        """Whether the function has been called."""


class AsyncioLoop(Loop):
    """The asyncio loop that runs in this thread."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._loop = asyncio.get_running_loop()
        # Strong references, since the loop itself holds its tasks weakly.
        self._tasks: dict[asyncio.Task[None], _Begun] = {}
        self._starting = False
        self._body: asyncio.Task[object] | None = None
        self._cancellations = 0
        self._fatal: BaseException | None = None
        self._left = False

    # -- entering and leaving ------------------------------------------------------------------

    async def enter(self) -> None:
        self._body = asyncio.current_task()

    def leaving(self) -> None:
        # From now on a fatal event has to end this task.
        self._body = asyncio.current_task()

    def runs_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def has_ended(self) -> bool:
        return not self._loop.is_running()

    async def leave(self, error: BaseException | None) -> None:
        if not self.runs_here():
            self._left = True
            if not self._loop.is_closed():
                # The program may run the loop again, and these tasks must not go on then.
                for task in self._tasks:
                    task.cancel()
            return
        # If a cancelled scope of anyio's is around us, it would interrupt every wait.
        with anyio.CancelScope(shield=True):
            try:
                await self._end_tasks()
            except asyncio.CancelledError:
                # If `fatal` has cancelled us, its error is raised below.
                if self._fatal is None:
                    raise
            finally:
                self._left = True
                if self._cancellations and asyncio.current_task() is self._body:
                    await self._take_back_cancellations()
        if self._fatal is not None:
            raise self._fatal from None

    async def _end_tasks(self) -> None:
        """Cancel the tasks and wait for their end.

        If this is itself cancelled, it cancels the tasks again and goes on. If it is cancelled a
        second time, it stops waiting, since one of the tasks may be waiting for it.
        """
        interruption: asyncio.CancelledError | None = None
        own = asyncio.current_task()
        turns = 0
        again = False
        while tasks := [task for task in self._tasks if task is not own and not task.done()]:
            try:
                if turns < 2 and not all(self._tasks[task].runs for task in tasks):
                    # A task that is cancelled before its first turn cannot clean up, so each gets
                    # that turn. With an eager task factory its function begins in the second.
                    turns += 1
                    await asyncio.sleep(0)
                    continue
                for task in tasks:
                    if again:
                        _log.warning(
                            "the task %r goes on after it was cancelled; it is cancelled again",
                            self._tasks[task].function,
                        )
                    task.cancel()
                done, _ = await asyncio.wait(tasks, timeout=PATIENCE)
                again = len(done) < len(tasks)
            except asyncio.CancelledError as cancelled:
                if interruption is not None:
                    raise
                interruption = cancelled
        if interruption is not None:
            raise interruption

    async def _take_back_cancellations(self) -> None:
        """Undo what `fatal` did to the task of the body, now that the body is over.

        A cancellation that the task has not met yet is met here.
        """
        assert self._body is not None
        for _ in range(self._cancellations):
            self._body.uncancel()
        self._cancellations = 0
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)

    def fatal(self, error: BaseException) -> None:
        if self._fatal is not None and not self._left:
            error = self._fatal
        if self._backend.left and not self._left:
            # The body is over already; `leave` has not ended, and raises the error.
            self._fatal = error
        elif not self._left and self._body is not None and not self._body.done():
            self._fatal = error
            self._cancellations += 1
            self._body.cancel()
        elif not self._loop.is_closed():
            # We know of no task to cancel, for instance because a fixture has entered the backend
            # and will leave it. So the error ends the run of the loop: a callback raises it.
            self._fatal = None
            self._loop.call_soon(_raise, error)

    # -- tasks, events, time -------------------------------------------------------------------

    def _is_over(self) -> bool:
        return self._backend.left or self._loop.is_closed()

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        self._begin(_Begun(function, args, ours=False))

    def spawn(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        self._begin(_Begun(function, args, ours=True))

    def _begin(self, begun: _Begun) -> None:
        if self._is_over():
            return
        self._starting = True
        running = self._run(begun)
        try:
            task = self._loop.create_task(running)
        except BaseException:
            running.close()
            raise
        finally:
            self._starting = False
        self._tasks[task] = begun
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        begun = self._tasks.pop(task)
        if begun.ours and not begun.runs:
            # Somebody has cancelled this task, perhaps with all others, before its first turn. It
            # could not release its connection, so it is begun anew.
            self._begin(begun)

    async def _run(self, begun: _Begun) -> None:
        if self._starting:
            # An eager task factory runs this inside `start_soon`; the function must begin later.
            await asyncio.sleep(0)
        begun.runs = True
        if self._backend.left and not begun.ours:
            # A task of the program does not begin any more (ERR-14). One of ours does, since it has
            # to release something.
            return
        try:
            await begun.function(*begun.args)
        except asyncio.CancelledError as error:
            self._backend.check_process(error)
            raise
        except FATAL as error:
            # If the task raised it, the loop would end at once, without any cleaning up.
            self._backend.fatal(error)
        except BaseException as error:
            self._backend.check_process(error)
            self._backend.report(error, "the task %r failed", begun.function)
        self._backend.check_process()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def create_event(self) -> _Event:
        return _Event(self._loop)

    def time(self) -> float:
        return self._loop.time()

    # -- calls and descriptors -----------------------------------------------------------------

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        if not self._is_over():
            # `guarded_timer` looks again, since the backend may be left before the call is made.
            self._loop.call_soon(self._backend.guarded_timer, function, *args)

    def call_though_left(self, function: Callable[..., object], *args: object) -> bool:
        if not self._loop.is_running():
            return False
        self._loop.call_soon(self._backend.guarded, function, *args)
        return True

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        if self._is_over():
            return
        try:
            # `guarded_timer`, as in `call_soon`.
            self._loop.call_soon_threadsafe(self._backend.guarded_timer, function, *args)
        except RuntimeError:
            # Another thread may have closed the loop just now, and then nothing is to be called.
            if not self._loop.is_closed():
                raise

    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> TimerHandle:
        if self._is_over():
            return NoTimer()
        return self._loop.call_later(seconds, self._backend.guarded_timer, function, *args)

    def watch(self, fd: int, ready: Callable[[], object], write: bool) -> _Watch:
        return _Watch(self._loop, self._backend, fd, ready, write)

    def check_watchable(self, fd: int) -> None:
        # A transport of asyncio's begins to watch in the next turn. If that fails, asyncio only
        # logs it, and the transport never reads. So it is tried here, where the caller hears of it.
        # On uvloop this would not fail either, since libuv adds the descriptor later.
        if isinstance(self._loop, asyncio.BaseEventLoop):
            self._loop.add_reader(fd, _nothing)
            self._loop.remove_reader(fd)


def _nothing() -> None:
    pass


def _raise(error: BaseException) -> None:
    raise error
