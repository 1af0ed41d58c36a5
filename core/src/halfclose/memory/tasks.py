"""The waiters: tasks of the scheduler, and callers from outside of it."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from types import coroutine
from typing import Any

from .waiting import Cancelled, Event, TaskRunner, Waiter

__all__ = ["Outside", "Task"]

_MEMORY = os.path.dirname(os.path.abspath(__file__))


class Outside(Waiter):
    """Waits for a coroutine of another event loop, or for a callback, by running the scheduler.

    So the coroutine never suspends, and any event loop can drive it.
    """

    def wake(self) -> None:
        """Do nothing, since `wait` looks at its event after each turn."""

    async def wait(self, event: Event) -> None:
        self.check()
        if event.is_set():
            return

        def stuck() -> None:
            raise self._scheduler.deadlock(self)

        self._scheduler.pump(lambda: event.is_set() or self.interrupted(), stuck)
        self.check()

    def describe(self) -> str:
        return _place_of_caller()


class Task(Waiter):
    """A coroutine that the scheduler runs, in a context (contextvars) of its own.

    :param name: the task's name in the message of a `Deadlock`.
    :param ended: is called with the task once it is over.
    """

    def __init__(
        self,
        scheduler: TaskRunner,
        body: Coroutine[Any, Any, Any],
        name: str,
        ended: Callable[[Task], object] = lambda task: None,
    ) -> None:
        super().__init__(scheduler)
        self.name = name
        self.result: Any = None
        self.error: BaseException | None = None
        """The exception that ended the task; None while it runs, or if it has returned."""
        self._coroutine = body
        self._context = copy_context()
        self._ended = ended
        self._begun = False
        self._over = False
        self._stepping = False
        self._cancelled = False
        scheduler.tasks[self] = None

    def is_over(self) -> bool:
        """Whether the task has returned or raised."""
        return self._over

    def interrupted(self) -> bool:
        return self._cancelled or super().interrupted()

    def wake(self) -> None:
        self._scheduler.call_soon(self.step)

    def cancel(self) -> None:
        """End the task: its present wait raises `Cancelled` at once, and so do later ones.

        If the task is running now, because the caller was called by it, its next wait raises.
        Idempotent.
        """
        self._cancelled = True
        if self._begun:
            self.step()
        elif not self._over:
            self._coroutine.close()
            self._end(None, Cancelled())

    def step(self, error: BaseException | None = None) -> None:
        """Run the task to its next wait. Does nothing if it is over or running.

        :param error: an exception to raise where the task waits.
        """
        if self._over or self._stepping:
            return
        before, self._scheduler.current = self._scheduler.current, self
        self._begun = self._stepping = True
        try:
            while True:
                if error is None:
                    what = self._context.run(self._coroutine.send, None)
                else:
                    what = self._context.run(self._coroutine.throw, error)
                if what is _SUSPENDED:
                    return
                error = RuntimeError(
                    f"{self.name} awaits {what!r}, which is of another event loop; "
                    "the backend 'memory' can wait for its own events only"
                )
        except StopIteration as stop:
            self._end(stop.value, None)
        except BaseException as failure:
            self._end(None, failure)
        finally:
            self._stepping = False
            self._scheduler.current = before

    def _end(self, result: Any, error: BaseException | None) -> None:
        """Keep what the task returned or raised, and tell its owner that it is over."""
        self._over = True
        self.result, self.error = result, error
        self._scheduler.tasks.pop(self, None)
        self._ended(self)

    async def wait(self, event: Event) -> None:
        self.check()
        while not event.is_set():
            event.add(self)
            try:
                await _suspend()
            finally:
                event.discard(self)
            self.check()

    def describe(self) -> str:
        # The place is in the innermost coroutine that is not core's own. The coroutines that await
        # each other are followed as far as Python shows them.
        place = "somewhere" if self._begun else "not begun"
        awaited: Any = self._coroutine
        while awaited is not None:
            frame = getattr(awaited, "cr_frame", None)
            if frame is not None and not _is_ours(frame.f_code.co_filename):
                place = _place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
            awaited = getattr(awaited, "cr_await", None)
        return f"{self.name} ({place})"


_SUSPENDED = object()


@coroutine
def _suspend() -> Generator[object, None, None]:
    yield _SUSPENDED


def _is_ours(file: str) -> bool:
    """Whether *file* is core's own. The reason of a deadlock is never there."""
    folder = os.path.dirname(os.path.abspath(file))
    return folder in (_MEMORY, os.path.dirname(_MEMORY))


def _place(file: str, line: int, function: str) -> str:
    return f"{os.path.basename(file)}:{line} in {function}"


def _place_of_caller() -> str:
    """The innermost place on the stack that is not in core."""
    for frame, line in traceback.walk_stack(None):
        code = frame.f_code
        if not _is_ours(code.co_filename):
            return _place(code.co_filename, line, code.co_name)
    return "the caller"
