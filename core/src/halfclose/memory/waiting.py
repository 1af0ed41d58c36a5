"""Waiting: the event that is waited for, and what those who wait have in common.

Who they are is in `tasks`; what they wait for is done by the `scheduler`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol as Interface

from ..reasons import HalfcloseError

__all__ = ["Cancelled", "Deadlock", "Event", "Scope", "TaskRunner", "Waiter"]


class Cancelled(BaseException):
    """Raised where a task waits that is to end, and at each further wait of it."""


class Deadlock(HalfcloseError, RuntimeError):
    """Somebody waits, nothing is ready, and no timer is set: it would wait for ever."""


class Scope(Interface):
    """A part of a program that can be interrupted: the body of a backend's ``async with``."""

    interrupted: bool
    """Whether it is to end: all its waits raise `Cancelled`."""


class TaskRunner(ABC):
    """What events and tasks ask of the scheduler that runs them."""

    current: Waiter
    """Who runs now: a task of ours, or whoever called."""
    tasks: dict[Waiter, None]
    """The tasks that are not over."""

    @abstractmethod
    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call in the next turn, in order of the calls."""

    @abstractmethod
    def pump(self, done: Callable[[], object], stuck: Callable[[], object]) -> None:
        """Go round until *done* says so; call *stuck* where it never will."""

    @abstractmethod
    def deadlock(self, *others: Waiter) -> Deadlock:
        """What those that wait are told where nothing can happen any more.

        :param others: who waits, beside the tasks.
        """


class Waiter(ABC):
    """Who can wait for an event."""

    def __init__(self, scheduler: TaskRunner) -> None:
        self._scheduler = scheduler
        self.scopes: list[Scope] = []

    def interrupted(self) -> bool:
        """Whether it is to wait no more."""
        return any(scope.interrupted for scope in self.scopes)

    def check(self) -> None:
        """Before and after each wait.

        :raises Cancelled: it is to end.
        """
        if self.interrupted():
            raise Cancelled

    @abstractmethod
    def wake(self) -> None:
        """What it waits for may have come: look again, in the next turn."""

    @abstractmethod
    async def wait(self, event: Event) -> None:
        """Wait until *event* is set.

        :raises Cancelled: see `check`.
        :raises Deadlock: it never will be.
        """

    @abstractmethod
    def describe(self) -> str:
        """Who it is and where it waits, for a `Deadlock`."""


class Event:
    """The event that `Backend.create_event` gives here.

    Any number of tasks, and whoever is outside, can wait for it.
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

        :raises Cancelled: the task, or the body of the backend in which it waits, is to end.
        :raises Deadlock: nothing is left that could call `set`.
        """
        await self._scheduler.current.wait(self)

    def add(self, waiter: Waiter) -> None:
        """Wake *waiter* when it is set."""
        self._waiters.append(waiter)

    def discard(self, waiter: Waiter) -> None:
        """Take back `add`."""
        self._waiters.remove(waiter)
