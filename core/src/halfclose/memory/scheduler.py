"""The scheduler of a network: it makes calls in a repeatable order, on a virtual clock."""

from __future__ import annotations

import heapq
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from queue import Empty, SimpleQueue
from random import Random
from typing import TypeAlias

from .tasks import Outside, Task
from .waiting import Deadlock, Event, TaskRunner, Waiter

__all__ = ["Scheduler", "Timer", "running"]

MOST_TURNS = 1000
"""Turns in a row with something to do, after which the clock moves although it need not.

Without that, the timeouts of two protocols that answer each other for ever would never come.
"""

STEP = 0.001
"""Seconds by which the clock moves after `MOST_TURNS`."""

SETTLING = 3
"""Turns that are run while a backend is left, for what its end has begun."""

Call: TypeAlias = "tuple[Callable[..., object], tuple[object, ...]]"

_thread = threading.local()


def _in_child() -> None:
    """Forget the running schedulers, in a forked child: they run in the parent only (ERR-18)."""
    global _thread
    _thread = threading.local()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def running() -> Scheduler | None:
    """The scheduler that runs in this thread, or the innermost if one runs inside another; None if
    no scheduler runs."""
    stack: list[Scheduler] = getattr(_thread, "stack", [])
    return stack[-1] if stack else None


class Timer:
    """A call at a later time of the virtual clock."""

    __slots__ = ("_args", "_function")

    def __init__(self, function: Callable[..., object], args: tuple[object, ...]) -> None:
        self._function: Callable[..., object] | None = function
        self._args = args

    def cancel(self) -> None:
        """Prevent the call. Idempotent; does nothing if the call was made already."""
        # The timer stays in the heap for a while, and must not keep these objects alive.
        self._function = None
        self._args = ()

    @property
    def cancelled(self) -> bool:
        """Whether the call was made or cancelled."""
        return self._function is None

    def fire(self) -> None:
        """Make the call, unless it was made or cancelled."""
        function, args = self._function, self._args
        self.cancel()
        if function is not None:
            function(*args)


class Scheduler(TaskRunner):
    """Runs the calls, ready connections, timers and tasks of one network, in one thread.

    Nothing here waits in real time: if nothing is ready, the clock jumps to the next timer, as
    trio's ``MockClock`` does. The functions that the scheduler calls must not raise.

    :param random: draws the order in which connections are served that are ready at the same time.
        None: they are served in the order in which they became ready.
    """

    def __init__(self, random: Random | None = None) -> None:
        self.now: float = 0.0
        """Seconds of the virtual clock since the scheduler was made."""
        self.outside: Outside = Outside(self)
        self.current: Waiter = self.outside
        self.tasks: dict[Waiter, None] = {}
        self._random = random
        self._soon: deque[Call] = deque()
        self._ready: dict[Callable[[], object], None] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._number = count()
        self._sweep_at = 100
        self._from_threads: SimpleQueue[Call] = SimpleQueue()
        self._idle: list[Event] = []
        self._holds = 0
        self._turns_at_this_time = 0

    # -- what is due ---------------------------------------------------------------------------

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        self._soon.append((function, args))

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        """`call_soon`, from any thread or signal handler."""
        self._from_threads.put((function, args))

    def call_later(self, seconds: float, function: Callable[..., object], *args: object) -> Timer:
        """Call *function* after *seconds* of the virtual clock.

        Timers for the same moment are called in the order in which they were set.

        :raises ValueError: *seconds* is not a number.
        """
        return self.call_at(self.now + seconds, function, *args)

    def call_at(self, deadline: float, function: Callable[..., object], *args: object) -> Timer:
        """Call *function* when the virtual clock shows *deadline*; never if that is infinite.

        :raises ValueError: *deadline* is not a number.
        """
        if math.isnan(deadline):
            raise ValueError("a timer needs a number of seconds, and got none")
        timer = Timer(function, args)
        if deadline != math.inf:
            heapq.heappush(self._timers, (deadline, next(self._number), timer))
            self._sweep()
        return timer

    def serve(self, connection: Callable[[], object]) -> None:
        """Call *connection*, which is ready, in the next turn, after what `call_soon` was given.

        It is called once, however often this is called before.
        """
        self._ready[connection] = None

    async def idle(self) -> None:
        """Wait until nothing more is due at the present time of the clock.

        If there is always more to do, this waits for up to `MOST_TURNS` turns.
        """
        event = Event(self)
        self._idle.append(event)
        try:
            await event.wait()
        finally:
            if event in self._idle:
                self._idle.remove(event)

    @contextmanager
    def hold_clock(self) -> Iterator[None]:
        """A context in which the clock stands still and calls of other threads are waited for.

        That waiting is in real time.
        """
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    # -- turns ---------------------------------------------------------------------------------

    def pump(self, done: Callable[[], object], stuck: Callable[[], object]) -> None:
        with self._at_work():
            while not done():
                if not self._turn():
                    stuck()

    def settle(self) -> None:
        """Run a few turns, for what is due now and what follows from it; the clock stands still."""
        with self._at_work():
            for _ in range(SETTLING):
                self._take_calls()
                self._run_due()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """A context in which this is the running scheduler of the thread."""
        if not hasattr(_thread, "stack"):
            _thread.stack = []
        # Kept in a variable, since a child that is forked meanwhile replaces `_thread` and then
        # still comes back here.
        stack: list[Scheduler] = _thread.stack
        before, self.current = self.current, self.outside
        stack.append(self)
        try:
            yield
        finally:
            stack.pop()
            self.current = before

    def _turn(self) -> bool:
        """Do what is due, or move the clock to the next timer.

        :returns: False if nothing is due and nothing ever will be.
        """
        self._take_calls()
        if self._soon or self._ready or self._next_deadline() <= self.now:
            self._turns_at_this_time += 1
            if self._turns_at_this_time % MOST_TURNS == 0:
                self._tell_idle()
                if not self._holds:
                    self.now += STEP
            self._run_due()
            return True
        self._turns_at_this_time = 0
        if self._idle:
            self._tell_idle()
            return True
        if self._holds:
            self._soon.append(self._from_threads.get())
            return True
        return self._jump()

    def _tell_idle(self) -> None:
        waiting, self._idle = self._idle, []
        for event in waiting:
            event.set()

    def _take_calls(self) -> None:
        try:
            while True:
                self._soon.append(self._from_threads.get_nowait())
        except Empty:
            pass

    def _run_due(self) -> None:
        """Make the calls that are due, serve the connections that are ready, fire the timers."""
        # Taken off the queues one by one: a function that is called may run turns itself, and one
        # that is interrupted must not take the others with it.
        for _ in range(len(self._soon)):
            if not self._soon:
                break
            function, args = self._soon.popleft()
            function(*args)
        batch = list(self._ready)
        if self._random is not None:
            self._random.shuffle(batch)
        for connection in batch:
            if connection in self._ready:
                del self._ready[connection]
                connection()
        self._fire_timers()

    def _jump(self) -> bool:
        """Move the clock to the next timer and call it.

        :returns: False if there is no timer.
        """
        deadline = self._next_deadline()
        if deadline == math.inf:
            return False
        self.now = max(self.now, deadline)
        self._fire_timers()
        return True

    def _next_deadline(self) -> float:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else math.inf

    def _fire_timers(self) -> None:
        now = self.now
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2].fire()

    def _sweep(self) -> None:
        """Drop cancelled timers once there may be more of them than of others.

        Otherwise those with a late deadline would pile up in memory.
        """
        if len(self._timers) > self._sweep_at:
            self._timers = [entry for entry in self._timers if not entry[2].cancelled]
            heapq.heapify(self._timers)
            self._sweep_at = max(100, 2 * len(self._timers))

    # -- tasks ---------------------------------------------------------------------------------

    def drive(self, task: Task) -> None:
        """Begin *task*, and run turns until it is over.

        :raises BaseException: an interruption from outside, such as SIGINT. The task has been
            cancelled then.
        """
        self.call_soon(task.step)
        try:
            self.pump(task.is_over, lambda: task.step(self.deadlock()))
        except BaseException:
            task.cancel()
            raise

    def deadlock(self, *others: Waiter) -> Deadlock:
        waiting = [waiter.describe() for waiter in (*others, *self.tasks)]
        return Deadlock(
            f"nothing is ready and no timer is set, but there wait for ever: {', '.join(waiting)}. "
            "Other threads and event loops are not waited for; while Network.hold_clock() lasts, "
            "calls of other threads are"
        )
