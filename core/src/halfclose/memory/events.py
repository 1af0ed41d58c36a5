"""The event that `Backend.create_event` gives here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .scheduler import Scheduler
    from .tasks import Waiter

__all__ = ["Event"]


class Event:
    """Something that happens once; any number of tasks, and whoever is outside, can wait for it."""

    def __init__(self, scheduler: Scheduler) -> None:
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
