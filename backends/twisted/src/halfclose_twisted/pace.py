"""Turns of a reactor, and timers, that do not depend on the wall clock.

A reactor orders its delayed calls, also those of ``callLater(0)``, by ``reactor.seconds()``, which
is the wall clock. If somebody sets that back by an hour, a call that was due waits for an hour. So
we do without delayed calls where the system allows it. On a reactor whose clock a test moves, every
timer is a delayed call, since the test has to see it.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import math
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["Pace", "Timer", "Timers", "in_next_turn", "pace_of", "selects"]

FD_SETSIZE = 1024
"""The lowest number of a descriptor that select(2) cannot watch."""

_LONGEST = 10.0**9
"""Seconds. A timer for later than that is never called."""


class Pace(ABC):
    """Asks the reactor of one backend for its next turn, or for a turn at a later time."""

    time: Callable[[], float] = staticmethod(time.monotonic)
    """Seconds of a clock that never goes back."""

    @abstractmethod
    def soon(self, function: Callable[[], object]) -> None:
        """Call *function* in the next turn. To be called in the reactor's thread only."""

    @abstractmethod
    def again(self, function: Callable[[], object]) -> None:
        """`soon`, as cheaply as possible. The call may be late if the wall clock is set back."""

    @abstractmethod
    def soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        """`soon`, for any thread and for signal handlers.

        :raises RuntimeError: the reactor's loop is closed.
        """

    @abstractmethod
    def wake(self, seconds: float, function: Callable[[], object]) -> None:
        """Call *function* after *seconds*. This replaces an earlier `wake` that is still due."""

    @abstractmethod
    def wake_not(self) -> None:
        """Cancel the last `wake`. Idempotent."""

    def leave(self) -> None:  # noqa: B027 - most hold nothing
        """Note that the backend has been left: from now on hold a descriptor only for a `wake`."""

    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that it holds, which a forked child has to release (ERR-18)."""
        return ()


class _OnReactor(Pace):
    """On any reactor: turns by ``callFromThread``, and timers by a timer of the system's.

    A reactor makes the calls of ``callFromThread`` in its next turn, whatever the clock says. If
    the system has no such timer, a delayed call takes its place.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._call: Any = None
        self._alarm = _Alarm.on(reactor)
        self._left = False

    def soon(self, function: Callable[[], object]) -> None:
        self._reactor.callFromThread(function)

    def again(self, function: Callable[[], object]) -> None:
        # `callFromThread` would wake the reactor by a descriptor, which costs two system calls.
        self._reactor.callLater(0, function)

    def soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        self._reactor.callFromThread(function, *args)

    def wake(self, seconds: float, function: Callable[[], object]) -> None:
        self._cancel_call()
        if self._alarm is None and self._left:
            self._alarm = _Alarm.on(self._reactor)
        if self._alarm is None or not self._alarm.set(seconds, function):
            self._call = self._reactor.callLater(seconds, function)

    def _cancel_call(self) -> None:
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def wake_not(self) -> None:
        self._cancel_call()
        if self._alarm is not None:
            self._alarm.stop()
            if self._left:
                self._alarm.close()
                self._alarm = None

    def leave(self) -> None:
        self._left = True
        if self._alarm is not None and not self._alarm.is_set and self._call is None:
            self.wake_not()

    def descriptors(self) -> tuple[int, ...]:
        return () if self._alarm is None else (self._alarm.fileno(),)


class _OnLoop(Pace):
    """On a reactor over an asyncio loop: calls go to the loop, whose clock is the monotonic one.

    The reactor's own ``callFromThread`` would make a delayed call of each.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def soon(self, function: Callable[[], object]) -> None:
        self._loop.call_soon(function)

    def again(self, function: Callable[[], object]) -> None:
        self._loop.call_soon(function)

    def soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        self._loop.call_soon_threadsafe(function, *args)

    def wake(self, seconds: float, function: Callable[[], object]) -> None:
        self.wake_not()
        self._handle = self._loop.call_later(seconds, function)

    def wake_not(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.cancel()


class _OnClock(Pace):
    """On a reactor whose clock a test moves: everything is a delayed call, by that clock."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._call: Any = None
        self.time = reactor.seconds

    def soon(self, function: Callable[[], object]) -> None:
        self._reactor.callLater(0, function)

    again = soon

    def soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        self._reactor.callLater(0, function, *args)

    def wake(self, seconds: float, function: Callable[[], object]) -> None:
        self.wake_not()
        self._call = self._reactor.callLater(seconds, function)

    def wake_not(self) -> None:
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()


def pace_of(reactor: Any) -> Pace:
    """The `Pace` for *reactor*, which is running in this thread.

    A reactor that has ``advance``, as ``twisted.internet.task.Clock`` has, is one whose clock a
    test moves.
    """
    if callable(getattr(reactor, "advance", None)):
        return _OnClock(reactor)
    if isinstance(reactor, AsyncioSelectorReactor):
        with suppress(RuntimeError):
            return _OnLoop(asyncio.get_running_loop())
    return _OnReactor(reactor)


def selects(reactor: Any, fd: int) -> bool:
    """Whether *reactor* can watch *fd*. With select(2) it cannot from 1024 on."""
    return fd < FD_SETSIZE or not isinstance(reactor, SelectReactor) or sys.platform == "win32"


# -- waking up ---------------------------------------------------------------------------------


class _Descriptor:
    """A descriptor that a reactor can watch."""

    def __init__(self, reactor: Any, fd: int) -> None:
        self._reactor = reactor
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "halfclose"


@implementer(IReadDescriptor)
class _Alarm(_Descriptor):
    """A timer of the operating system's, by a descriptor that the reactor watches while it is set.

    It is not watched at other times, because trial complains of a test that leaves descriptors on
    the reactor.
    """

    is_set = False
    """Whether the timer is running, and the reactor watches it."""
    _function: Callable[[], object]

    def connectionLost(self, reason: Failure) -> None:
        """Note that the reactor has ended, and does not watch the timer any more."""
        self.is_set = False

    @classmethod
    def on(cls, reactor: Any) -> _Alarm | None:
        """A new timer for *reactor*.

        :returns: None if the system has no such timers, no descriptor is left, or *reactor* cannot
            watch the one that it got.
        """
        try:
            fd = _timer_descriptor()
        except OSError:
            return None
        if fd is None:
            return None
        if not selects(reactor, fd):
            os.close(fd)
            return None
        return cls(reactor, fd)

    def set(self, seconds: float, function: Callable[[], object]) -> bool:
        """Call *function* once, after *seconds*. This replaces what was set before.

        :returns: whether the timer is set; it is not if the system has no room to watch one more
            (ENOSPC, ENOMEM).
        """
        self._function = function
        _set_timer(self._fd, seconds)
        if not self.is_set:
            self.is_set = True
            try:
                self._reactor.addReader(self)
            except OSError:
                self.is_set = False
                _set_timer(self._fd, None)
                return False
        return True

    def stop(self) -> None:
        """Stop the timer. Idempotent."""
        if self.is_set:
            self.is_set = False
            self._reactor.removeReader(self)
            _set_timer(self._fd, None)

    def doRead(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        self._function()

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        os.close(fd)


if sys.platform != "linux":

    def _timer_descriptor() -> int | None:
        return None

    def _set_timer(fd: int, seconds: float | None) -> None:
        raise NotImplementedError

elif sys.version_info >= (3, 13):

    def _timer_descriptor() -> int | None:
        return os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

    def _set_timer(fd: int, seconds: float | None) -> None:
        os.timerfd_settime(fd, initial=0.0 if seconds is None else max(seconds, 1e-9))

else:
    # Python has functions for these timers from 3.13 on.
    _libc = ctypes.CDLL(None, use_errno=True)

    class _Spec(ctypes.Structure):
        """``struct itimerspec``."""

        _fields_ = [
            (name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns")
        ]

    def _check(result: int) -> int:
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result

    def _timer_descriptor() -> int | None:
        if not hasattr(_libc, "timerfd_create"):
            return None
        # The flags of timerfd are those of open(2).
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        return _check(_libc.timerfd_create(time.CLOCK_MONOTONIC, flags))

    def _set_timer(fd: int, seconds: float | None) -> None:
        # A time of zero stops the timer.
        nanoseconds = 0 if seconds is None else max(int(seconds * 1e9), 1)
        spec = _Spec(0, 0, *divmod(nanoseconds, 10**9))
        _check(_libc.timerfd_settime(fd, 0, ctypes.byref(spec), None))


@implementer(IReadDescriptor)
class _Once(_Descriptor):
    """A descriptor that is readable at once, so that the reactor calls a function in its next turn.

    It is called once.
    """

    def __init__(self, reactor: Any, function: Callable[[], object]) -> None:
        fd, end = os.pipe()
        os.write(end, b"x")
        os.close(end)
        super().__init__(reactor, fd)
        self._function = function
        reactor.addReader(self)

    def doRead(self) -> None:
        self._reactor.removeReader(self)
        os.close(self._fd)
        self._function()

    def connectionLost(self, reason: Failure) -> None:
        """Close the descriptor, since the reactor has ended before its next turn."""
        os.close(self._fd)


def in_next_turn(reactor: Any, function: Callable[[], object]) -> None:
    """Call *function* in the next turn of *reactor*, whose asyncio loop may not be running yet."""
    if callable(getattr(reactor, "advance", None)):
        reactor.callLater(0, function)
    elif isinstance(reactor, AsyncioSelectorReactor):
        _Once(reactor, function)
    else:
        reactor.callFromThread(function)


# -- timers ------------------------------------------------------------------------------------


class Timer:
    """A call that is due later."""

    __slots__ = ("_args", "_function", "_timers")

    def __init__(
        self,
        timers: Timers | None,
        function: Callable[..., object] | None,
        args: tuple[object, ...],
    ) -> None:
        self._timers = timers
        self._function = function
        self._args = args

    @property
    def cancelled(self) -> bool:
        """Whether there is nothing to call."""
        return self._function is None

    def cancel(self) -> None:
        """Do not call the function. Idempotent; does nothing once it was called."""
        if self._function is not None:
            # A cancelled timer stays in the heap for a while, and must not keep objects alive.
            self._function = None
            self._args = ()
            timers, self._timers = self._timers, None
            if timers is not None:
                timers.one_less()

    def begins_with(self, first: object) -> bool:
        """Whether *first* is the first argument of the call."""
        return self._args[:1] == (first,)

    def forget(self) -> None:
        """Forget the `Timers` that it belongs to, so that to cancel it changes nothing there."""
        self._timers = None

    def take(self) -> tuple[Callable[..., object] | None, tuple[object, ...]]:
        """Give the function and its arguments, and forget both.

        :returns: None and no arguments if the timer was cancelled or taken before.
        """
        function, args = self._function, self._args
        self.cancel()
        return function, args


class Timers:
    """The timers of one backend. The reactor knows only when the first of them is due.

    :param pace: wakes this at that time.
    :param call: calls a function with its arguments, and raises nothing that the function raises.
    """

    def __init__(self, pace: Pace, call: Callable[..., object]) -> None:
        self._pace = pace
        self._call = call
        self._heap: list[tuple[float, int, Timer]] = []
        self._number = count()
        self._live = 0
        self._wakes_at: float | None = None

    def add(self, seconds: float, function: Callable[..., object], *args: object) -> Timer:
        """Call ``function(*args)`` after *seconds*.

        Timers that are due at the same time are called in the order in which they were added.

        :raises ValueError: *seconds* is not a number.
        """
        if math.isnan(seconds):
            raise ValueError("a timer needs a number of seconds, and got none")
        if seconds > _LONGEST:
            return Timer(None, function, args)
        due = self._pace.time() + max(seconds, 0.0)
        timer = Timer(self, function, args)
        heapq.heappush(self._heap, (due, next(self._number), timer))
        self._live += 1
        if self._wakes_at is None or due < self._wakes_at:
            self._wake(due)
        return timer

    def one_less(self) -> None:
        """Note that one timer was cancelled or taken. Cancelled ones are removed now and then."""
        self._live -= 1
        if not self._live:
            self._heap.clear()
            self._wakes_at = None
            self._pace.wake_not()
        elif len(self._heap) > 100 and self._live < len(self._heap) // 2:
            self._heap = [entry for entry in self._heap if not entry[2].cancelled]
            heapq.heapify(self._heap)

    def drop(self, first: object) -> None:
        """Cancel the timers whose first argument is *first*."""
        for _, _, timer in list(self._heap):
            if timer.begins_with(first):
                timer.cancel()

    def clear(self) -> None:
        """Cancel all timers."""
        for _, _, timer in list(self._heap):
            timer.cancel()

    def disown(self) -> None:
        """Forget all timers, in a forked child.

        To cancel one there must not change the system's timer, which is the parent's too (ERR-18).
        """
        for _, _, timer in self._heap:
            timer.forget()
        self._heap.clear()
        self._live = 0

    def _wake(self, due: float) -> None:
        self._wakes_at = due
        self._pace.wake(max(due - self._pace.time(), 0.0), self._look)

    def _look(self) -> None:
        """Call the timers that are due. Timers that these calls add wait for the next time."""
        # While this runs, a timer that is added asks for no `wake`: that is done once, at the end.
        self._wakes_at = -math.inf
        now = self._pace.time()
        due = []
        while self._heap and (self._heap[0][0] <= now or self._heap[0][2].cancelled):
            due.append(heapq.heappop(self._heap)[2])
        try:
            while due:
                function, args = due.pop(0).take()
                if function is not None:
                    self._call(function, *args)
        finally:
            # If a call was interrupted, the rest is called the next time.
            for timer in due:
                heapq.heappush(self._heap, (now, next(self._number), timer))
            self._wakes_at = None
            if self._live:
                self._wake(self._heap[0][0])
