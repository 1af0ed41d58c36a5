"""Events, and the base class of everything that can wait for one.

The waiters themselves are in `tasks`. The `scheduler` runs them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol as Interface

from ..reasons import HalfcloseError

__all__ = ["Cancelled", "Deadlock", "Event", "Scope", "TaskRunner", "Waiter"]


class Cancelled(BaseException):
    """Raised in a task that was cancelled, where it waits and at each further wait."""


class Deadlock(HalfcloseError, RuntimeError):
    """A task would wait for ever, because nothing is ready and no timer is set.

    The message says which tasks wait, and where.
    """


class Scope(Interface):
    """A part of a program that can be interrupted: the body of a backend's ``async with``."""

    interrupted: bool
    """Whether this part has to end. If so, each wait in it raises `Cancelled`."""


class TaskRunner(ABC):
    """The part of the scheduler that events and tasks use."""

    current: Waiter
    """The task that runs now, or an `Outside` if the caller is no task of this scheduler."""
    tasks: dict[Waiter, None]
    """The tasks that are not over, in the order in which they were made."""

    @abstractmethod
    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call *function* in the next turn. Functions are called in the order of the calls."""

    @abstractmethod
    def pump(self, done: Callable[[], object], stuck: Callable[[], object]) -> None:
        """Run turns until *done* is true. Call *stuck* if nothing is left that could change it."""

    @abstractmethod
    def deadlock(self, *others: Waiter) -> Deadlock:
        """The error to raise in the waiters when nothing can happen any more.

        :param others: waiters that are no tasks of this scheduler.
        """


class Waiter(ABC):
    """Something that can wait for an event: a task, or a caller from outside the scheduler."""

    def __init__(self, scheduler: TaskRunner) -> None:
        self._scheduler = scheduler
        self.scopes: list[Scope] = []

    def interrupted(self) -> bool:
        """Whether a part of the program that this belongs to has to end."""
        return any(scope.interrupted for scope in self.scopes)

    def check(self) -> None:
        """Called before and after each wait.

        :raises Cancelled: this waiter has to end; see `interrupted`.
        """
        if self.interrupted():
            raise Cancelled

    @abstractmethod
    def wake(self) -> None:
        """Have this waiter look in the next turn whether its event was set."""

    @abstractmethod
    async def wait(self, event: Event) -> None:
        """Wait until *event* is set.

        :raises Cancelled: this waiter has to end; see `check`.
        :raises Deadlock: nothing is left that could set *event*.
        """

    @abstractmethod
    def describe(self) -> str:
        """The waiter's name and where it waits, for the message of a `Deadlock`."""


class Event:
    """The event that `create_event` of the backend ``memory`` gives.

    Any number of tasks can wait for it, and callers from outside the scheduler too.
    """

    def __init__(self, scheduler: TaskRunner) -> None:
        self._scheduler = scheduler
        self._is_set = False
        self._waiters: list[Waiter] = []

    def set(self) -> None:
        """Wake every waiter in the next turn. Idempotent."""
        if not self._is_set:
            self._is_set = True
            for waiter in self._waiters:
                waiter.wake()

    def is_set(self) -> bool:
        """Whether `set` was called."""
        return self._is_set

    async def wait(self) -> None:
        """Wait for `set`. Cancelling one waiter affects no other.

        :raises Cancelled: the task was cancelled, or the body of its backend has to end.
        :raises Deadlock: nothing is left that could call `set`.
        """
        await self._scheduler.current.wait(self)

    def add(self, waiter: Waiter) -> None:
        """Have `set` wake *waiter*."""
        self._waiters.append(waiter)

    def discard(self, waiter: Waiter) -> None:
        """Take back `add`."""
        self._waiters.remove(waiter)
