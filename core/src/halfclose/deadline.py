"""A timer that runs out when nothing has happened for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backend import Backend

__all__ = ["Deadline"]


class Deadline:
    """Calls *expired* once, after *seconds* without a `touch`.

    A touch only notes the time; the timer below is set again when it rings early. So a touch
    costs next to nothing, however often it comes.
    """

    __slots__ = ("_backend", "_expired", "_seconds", "_timer", "_touched")

    def __init__(self, backend: Backend, seconds: float, expired: Callable[[], None]) -> None:
        self._backend = backend
        self._seconds = seconds
        self._expired = expired
        self._touched = backend.time()
        self._timer = backend.call_later(seconds, self._ring)

    def touch(self) -> None:
        """Something happened: begin to wait anew."""
        self._touched = self._backend.time()

    def cancel(self) -> None:
        """Never call *expired*. Idempotent."""
        self._timer.cancel()

    def _ring(self) -> None:
        remaining = self._touched + self._seconds - self._backend.time()
        if remaining > 0:
            self._timer = self._backend.call_later(remaining, self._ring)
        else:
            self._expired()
