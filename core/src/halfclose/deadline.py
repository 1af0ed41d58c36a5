"""Timers that run out after some time without progress, cheap even in thousands."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol as Interface

from .loop import EventLoop

__all__ = ["Clock", "Deadline", "Deadlines"]

_EARLY = 0.001
"""Seconds that a look may come early, so that no timer is set for so short a time."""


class Clock(Interface):
    """The part of the backend that a deadline needs."""

    deadlines: Deadlines

    def time(self) -> float:
        """Seconds of a clock that never goes back."""


class Deadline:
    """Calls *expired* once, after *seconds* without progress.

    Progress is a call of `touch`, or a smaller result of *remaining* than before. A touch only
    notes the time, so it costs next to nothing. No event tells when the kernel's queue shrinks, so
    *remaining* is called now and then. Therefore *expired* can be called late, by a quarter of
    *seconds* or by one second, whichever is less.

    :param clock: the backend.
    :param remaining: gives how many bytes are not acknowledged yet.
    """

    __slots__ = ("_clock", "_expired", "_last", "_queue", "_remaining", "_seconds", "_touched")

    def __init__(
        self,
        clock: Clock,
        seconds: float,
        expired: Callable[[], object],
        remaining: Callable[[], int],
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._expired = expired
        self._remaining = remaining
        self._last = remaining()
        self._touched = clock.time()
        self._wait(self._touched, seconds)

    def touch(self) -> None:
        """Note progress: *seconds* begin anew."""
        self._touched = self._clock.time()

    def cancel(self) -> None:
        """Never call *expired*. Idempotent."""
        self._queue.remove(self)

    def _wait(self, now: float, left: float) -> None:
        """Have `look` called in *left* seconds, or earlier, to see whether there was progress."""
        pause = min(left, self._seconds / 4, 1.0)
        self._queue = self._clock.deadlines.queue(pause)
        self._queue.add(self, now + pause)

    def look(self) -> None:
        """Call *expired* if it is time, or go on waiting. `Deadlines` calls it."""
        now = self._clock.time()
        remaining = self._remaining()
        if remaining < self._last:
            self._touched = now
        self._last = remaining
        left = self._touched + self._seconds - now
        if left > 0:
            self._wait(now, left)
        else:
            self.expire()

    def expire(self) -> None:
        """Call *expired* now. `Deadlines` calls it."""
        self._expired()


class Deadlines:
    """The timers for one backend's deadlines. Deadlines that wait equally long share a timer.

    They become due in the order in which they began, so one timer for the first of them is enough.
    A timer of the framework for each would cost more, and ten thousand connections can be closed at
    once. The idea is from the libev documentation ("Be smart about timeouts").
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._queues: dict[float, _Queue] = {}

    def queue(self, pause: float) -> _Queue:
        """The queue of deadlines that wait for *pause* seconds. The caller must add one at once."""
        queue = self._queues.get(pause)
        if queue is None:
            queue = self._queues[pause] = _Queue(self._loop, self._queues, pause)
        return queue


class _Queue:
    """Deadlines that wait equally long, in the order in which they become due."""

    __slots__ = ("_due", "_loop", "_pause", "_queues", "_timer")

    def __init__(self, loop: EventLoop, queues: dict[float, _Queue], pause: float) -> None:
        self._loop = loop
        self._queues = queues
        self._pause = pause
        # Not a dict, in which finding the first entry takes longer the more have been removed.
        self._due: OrderedDict[Deadline, float] = OrderedDict()
        self._timer = loop.call_later(pause, self._look)

    def add(self, deadline: Deadline, due: float) -> None:
        """Call ``deadline.look`` at the time *due*, which is not before that of any other here."""
        self._due[deadline] = due

    def remove(self, deadline: Deadline) -> None:
        """Forget *deadline*. Idempotent."""
        if self._due.pop(deadline, None) is not None and not self._due:
            self._timer.cancel()
            self._close()

    def _look(self) -> None:
        """Call ``look`` of all that are due, and set the timer for the next one."""
        # Each at most once: however short the pause is, those that wait again have their next turn.
        for _ in range(len(self._due)):
            if not self._due or self._left() > _EARLY:
                break
            first, _ = self._due.popitem(last=False)
            self._loop.guarded(self._look_at, first)
        if self._due:
            try:
                self._timer = self._loop.call_later(max(self._left(), 0.0), self._look)
            except BaseException:
                # Without a timer these would never be looked at again, and wait for ever.
                while self._due:
                    self._loop.guarded(self._due.popitem(last=False)[0].expire)
                self._close()
                raise
        else:
            self._close()

    def _look_at(self, deadline: Deadline) -> None:
        try:
            deadline.look()
        except BaseException:
            # It waits for no timer any more, so it expires rather than be forgotten (ERR-13).
            deadline.expire()
            raise

    def _left(self) -> float:
        """Seconds until the first deadline is due."""
        return next(iter(self._due.values())) - self._loop.time()

    def _close(self) -> None:
        """Remove this queue, which is empty, from those of the backend."""
        # When a deadline expires, it may cause a new queue for the same pause.
        if self._queues.get(self._pause) is self:
            del self._queues[self._pause]
