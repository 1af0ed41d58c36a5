"""A timer that runs out when nothing has moved for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backend import Backend

__all__ = ["Deadline"]


class Deadline:
    """Calls *expired* once, after *seconds* without progress.

    Progress is a `touch`, or *remaining* giving less than when it was last asked. A touch only
    notes the time, so it costs next to nothing, however often it comes. Nothing tells when the
    kernel's queue shrinks, so it is looked at now and then: the end comes up to a quarter of
    *seconds*, and at most a second, late.
    """

    __slots__ = ("_backend", "_expired", "_last", "_remaining", "_seconds", "_timer", "_touched")

    def __init__(
        self,
        backend: Backend,
        seconds: float,
        expired: Callable[[], object],
        remaining: Callable[[], int],
    ) -> None:
        self._backend = backend
        self._seconds = seconds
        self._expired = expired
        self._remaining = remaining
        self._last = remaining()
        self._touched = backend.time()
        self._wait(seconds)

    def touch(self) -> None:
        """Something moved: begin to wait anew."""
        self._touched = self._backend.time()

    def cancel(self) -> None:
        """Never call *expired*. Idempotent."""
        self._timer.cancel()

    def _wait(self, left: float) -> None:
        pause = min(left, self._seconds / 4, 1.0)
        self._timer = self._backend.call_later(pause, self._look)

    def _look(self) -> None:
        now = self._backend.time()
        remaining = self._remaining()
        if remaining < self._last:
            self._touched = now
        self._last = remaining
        left = self._touched + self._seconds - now
        if left > 0:
            self._wait(left)
        else:
            self._expired()
