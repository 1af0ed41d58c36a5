"""A timer that runs out when nothing has moved for a while, and many of them at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol as Interface

from .loop import EventLoop

__all__ = ["Clock", "Deadline", "Deadlines"]

_EARLY = 0.001
"""Seconds that a look may come early, so that no timer is set for what is as good as due."""


class Clock(Interface):
    """What a deadline needs of the backend."""

    deadlines: Deadlines

    def time(self) -> float:
        """Seconds of a clock that never goes back."""


class Deadline:
    """Calls *expired* once, after *seconds* without progress.

    Progress is a `touch`, or *remaining* giving less than when it was last asked. A touch only
    notes the time, so it costs next to nothing, however often it comes. Nothing tells when the
    kernel's queue shrinks, so it is looked at now and then: the end comes up to a quarter of
    *seconds*, and at most a second, late.
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
        """Something moved: begin to wait anew."""
        self._touched = self._clock.time()

    def cancel(self) -> None:
        """Never call *expired*. Idempotent."""
        self._queue.remove(self)

    def _wait(self, now: float, left: float) -> None:
        pause = min(left, self._seconds / 4, 1.0)
        self._queue = self._clock.deadlines.queue(pause)
        self._queue.add(self, now + pause)

    def look(self) -> None:
        """For `Deadlines`: call *expired* if it is time, or wait on."""
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
        """For `Deadlines`: call *expired* now."""
        self._expired()


class Deadlines:
    """The timers behind one backend's deadlines: one for all that wait equally long.

    Those come due in the order in which they began, so that a timer for the first will do. A
    framework's own timers are dearer, and each more so the more there are: ten thousand
    connections can be closed at once. The libev documentation has the idea ("Be smart about
    timeouts").
    """

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._queues: dict[float, _Queue] = {}

    def queue(self, pause: float) -> _Queue:
        """Where to wait for *pause* seconds; who asks joins it at once."""
        queue = self._queues.get(pause)
        if queue is None:
            queue = self._queues[pause] = _Queue(self._loop, self._queues, pause)
        return queue


class _Queue:
    """Deadlines that wait equally long, the one that is due first at the head."""

    __slots__ = ("_due", "_loop", "_pause", "_queues", "_timer")

    def __init__(self, loop: EventLoop, queues: dict[float, _Queue], pause: float) -> None:
        self._loop = loop
        self._queues = queues
        self._pause = pause
        # Not a dict: to find the first behind many that have left would take longer each time.
        self._due: OrderedDict[Deadline, float] = OrderedDict()
        self._timer = loop.call_later(pause, self._look)

    def add(self, deadline: Deadline, due: float) -> None:
        self._due[deadline] = due

    def remove(self, deadline: Deadline) -> None:
        """Idempotent."""
        if self._due.pop(deadline, None) is not None and not self._due:
            self._timer.cancel()
            self._close()

    def _look(self) -> None:
        # Those that wait again are for the next time, however short the pause is.
        for _ in range(len(self._due)):
            if not self._due or self._left() > _EARLY:
                break
            first, _ = self._due.popitem(last=False)
            self._loop.guarded(self._look_at, first)
        if self._due:
            try:
                self._timer = self._loop.call_later(max(self._left(), 0.0), self._look)
            except BaseException:
                # Nobody would look again, and what waits here would wait for ever.
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
            # A deadline of which nobody knows how late it is has run out (ERR-13).
            deadline.expire()
            raise

    def _left(self) -> float:
        """Seconds until the first is due."""
        return next(iter(self._due.values())) - self._loop.time()

    def _close(self) -> None:
        # What a deadline has done may have begun the queue anew.
        if self._queues.get(self._pause) is self:
            del self._queues[self._pause]
