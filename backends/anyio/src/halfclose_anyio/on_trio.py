"""The loop on trio: one task for all timers, and one for each watched descriptor.

The tasks live in a system task of trio's, and not in a nursery of the task that enters the backend:
trio would bind the backend to that task, and trio's own errors would not say what the program did
wrong. The entering task holds only a cancel scope, by which a fatal event can end the body.

The tasks that serve connections are protected from KeyboardInterrupt, as trio protects its own:
^C interrupts the main task, and never the middle of a connection.
"""

from __future__ import annotations

import errno
import heapq
import inspect
import logging
import math
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from functools import partial
from itertools import count
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary, ref

import trio
from halfclose import Backend, TimerHandle

from .channel import StreamChannel
from .loop import FATAL, Loop, NoTimer

__all__ = ["TrioLoop", "second_interrupts"]

_log = logging.getLogger("halfclose")


_NOWHERE = Context()
"""An empty context, for a timer that will not be called."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.ENOMEM})
"""Errors of waiting for a descriptor when the system has no room to watch one more."""

_LOOK_AGAIN = 0.05
"""Seconds until waiting is tried again after one of these errors."""

_HOLD = (
    "Let one task do both: one that is begun by `await nursery.start(hold)`, where hold calls "
    "`task_status.started(backend)` inside `async with open_backend() as backend:`, "
    "and waits there until it is to end"
)


class _Timer:
    """A call that is due later, and the handle by which it can be cancelled."""

    __slots__ = ("args", "cancelled", "context", "function")

    def __init__(self, function: Callable[..., object], args: tuple[object, ...]) -> None:
        self.function = function
        self.args = args
        self.context = copy_context()
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        # A cancelled timer stays in the heap for a while, and must not keep objects alive.
        self.function = _nothing
        self.args = ()
        self.context = _NOWHERE


def _nothing() -> None:
    pass


class _Event:
    """A `trio.Event` in whose waiting ^C cannot come.

    A KeyboardInterrupt there would leave the task among those that wait. Setting the event would
    then wake a task that has ended, which is an internal error in trio.
    """

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    @trio.lowlevel.enable_ki_protection
    async def wait(self) -> None:
        await self._event.wait()


class _Watch:
    """A descriptor that a task of ours watches, and the handle by which that is stopped."""

    def __init__(self, loop: TrioLoop, fd: int) -> None:
        self._loop = loop
        self.fd = fd
        self.stopped: bool = False

    def stop(self) -> None:
        if not self.stopped:
            self.stopped = True
            if self._loop.runs_here():
                # Wakes the task now, since the caller may close the descriptor in this turn. A
                # cancellation would reach the task only later.
                trio.lowlevel.notify_closing(self.fd)


class _Body:
    """A cancel scope around what a task does between entering and leaving a backend.

    A fatal event ends the task's work by cancelling it. Trio demands that the scopes of a task end
    in the reverse order, but a program may leave backends in the order in which it entered them.
    So a scope that is over is kept until those that the task entered later are over too.
    """

    def __init__(self) -> None:
        task = trio.lowlevel.current_task()
        # Weak, so that `_bodies` does not keep a task alive that ends without leaving.
        self._task = ref(task)
        self._over = False
        self._scope = trio.CancelScope()
        self._scope.__enter__()
        _bodies.setdefault(task, []).append(self)

    def is_of(self, task: trio.lowlevel.Task) -> bool:
        """Whether *task* is the one that entered."""
        return self._task() is task

    def lives(self) -> bool:
        """Whether the task that entered is still running."""
        task = self._task()
        return task is not None and inspect.getcoroutinestate(task.coro) != inspect.CORO_CLOSED

    def cancel(self) -> None:
        """Interrupt the task that entered."""
        self._scope.cancel()

    def give_up(self) -> None:
        """Note that another task leaves the backend.

        The scope ends when the task that entered next leaves a backend itself.
        """
        self._over = True

    def end(self) -> RuntimeError | None:
        """End the scope: the task that entered, which is the running one, leaves the backend.

        :returns: trio's error, if a scope of the program's own is not nested in this one.
        """
        self._over = True
        bodies = _bodies[trio.lowlevel.current_task()]
        try:
            while bodies and bodies[-1]._over:
                bodies.pop()._scope.__exit__(None, None, None)
        except RuntimeError as error:
            return error
        return None


_bodies: WeakKeyDictionary[trio.lowlevel.Task, list[_Body]] = WeakKeyDictionary()
"""The scopes of each task, in the order in which it entered them."""


class TrioLoop(Loop):
    """The trio run of this thread."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._token = trio.lowlevel.current_trio_token()
        self._clock = trio.lowlevel.current_clock()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._number = count()
        self._sooner = trio.Event()
        self._sweep_at = 100
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._early: list[Callable[[], None]] = []
        self._ended = _Event()
        self._body: _Body
        self._held_elsewhere = False
        self._fatal: BaseException | None = None
        self._left = False

    def runs_here(self) -> bool:
        """Whether the caller runs in this trio run, which may have ended.

        In a forked child it does not, although trio says so: what trio watches is shared with the
        parent, and must be left alone.
        """
        if self._backend.foreign is not None:
            return False
        return trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token

    # -- entering and leaving ------------------------------------------------------------------

    async def enter(self) -> None:
        trio.lowlevel.spawn_system_task(self._home, name="halfclose")
        self._body = _Body()

    def has_ended(self) -> bool:
        return self._ended.is_set()

    def leaving(self) -> None:
        if not self._body.is_of(trio.lowlevel.current_task()):
            self._held_elsewhere = self._body.lives()
            self._body.give_up()
            # From now on a fatal event has to end the running task.
            self._body = _Body()

    async def leave(self, error: BaseException | None) -> None:
        if not self.runs_here():
            self._left = True
            return
        misnested: RuntimeError | None = None
        self._scope.cancel()
        try:
            if not self._is_ours(trio.lowlevel.current_task()):
                with trio.CancelScope(shield=True):
                    await self._ended.wait()
        finally:
            self._left = True
            misnested = self._body.end()
        if self._fatal is not None:
            raise self._fatal from None
        if misnested is not None:
            raise RuntimeError(
                f"backend {self._backend.name!r} was left in another nursery or cancel scope than "
                "it was entered in: on trio, what a task has opened since must be closed before, "
                f"and what was open then must be open still. {_HOLD}"
            ) from misnested
        if self._held_elsewhere:
            raise RuntimeError(
                f"backend {self._backend.name!r} was left in another task than it was entered in, "
                f"and that one still runs: trio cannot take back there what entering did. {_HOLD}"
            )

    def _is_ours(self, task: trio.lowlevel.Task | None) -> bool:
        """Whether *task* is one of our tasks, or was begun by one.

        Such a task cannot wait for the end of all our tasks, since it is among them.
        """
        while task is not None:
            nursery = task.parent_nursery
            if nursery is None:
                break
            if nursery is self._nursery:
                return True
            task = nursery.parent_task
        return False

    def fatal(self, error: BaseException) -> None:
        self._fatal = self._fatal or error
        if not self._left and self._body.lives():
            self._body.cancel()
        elif error is self._fatal:
            # It can only be logged: trio would make an internal error of it if it were raised here.
            _log.critical(
                "an event raised %s, and no task has entered the backend that could be ended",
                type(error).__name__,
                exc_info=error,
            )

    # -- tasks ---------------------------------------------------------------------------------

    async def _home(self) -> None:
        """Run the system task that all our tasks descend from. It also calls the timers."""
        try:
            with self._scope:
                async with trio.open_nursery() as self._nursery:
                    while self._early:
                        self._early.pop(0)()
                    await self._run_timers()
        finally:
            self._ended.set()

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        self._begin(_interruptible, (function, *args), function)

    def spawn(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        self._begin(function, args, function)

    # A task of the program, which ^C may interrupt, can come here, for instance when it connects.
    # ^C in the middle of trio's own spawning would leave a task that trio counts and never runs, or
    # runs and does not count.
    @trio.lowlevel.enable_ki_protection
    def _begin(
        self,
        function: Callable[..., Awaitable[object]],
        args: tuple[object, ...],
        known_as: Callable[..., object],
    ) -> None:
        if self._nursery is not None and not self._backend.left:
            self._nursery.start_soon(self._run, function, args, known_as)
        elif not self._backend.left:
            # The system task has not had its first turn, so there is no nursery yet. It may have
            # that turn only after the backend has been left.
            start = partial(self._start_early, self._run, function, args, known_as)
            self._early.append(partial(copy_context().run, start))

    def _start_early(self, *task: Any) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(*task)

    @trio.lowlevel.enable_ki_protection
    async def _run(
        self,
        function: Callable[..., Awaitable[object]],
        args: tuple[object, ...],
        known_as: Callable[..., object],
    ) -> None:
        if self._backend.left and function is _interruptible:
            # A task of the program does not begin any more (ERR-14). One of ours does, since it has
            # to release something.
            return
        try:
            await function(*args)
        except trio.Cancelled as error:
            self._backend.check_process(error)
            raise
        except FATAL as error:
            self._backend.fatal(error)
        except BaseException as error:
            self._backend.check_process(error)
            self._backend.report(error, "the task %r failed", known_as)
        self._backend.check_process()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    def create_event(self) -> _Event:
        return _Event()

    # -- calls and timers ----------------------------------------------------------------------

    def time(self) -> float:
        return self._clock.current_time()

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        if not self._backend.left:
            # `guarded_timer` looks again, since the backend may be left before the call is made.
            self._call(self._backend.guarded_timer, function, args)

    def call_though_left(self, function: Callable[..., object], *args: object) -> bool:
        try:
            self._token.run_sync_soon(self._backend.guarded, function, *args)
        except trio.RunFinishedError:
            return False
        return True

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        self.call_soon(function, *args)

    def _call(
        self,
        guard: Callable[..., object],
        function: Callable[..., object],
        args: tuple[object, ...],
    ) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(copy_context().run, guard, function, *args)

    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> TimerHandle:
        if self._backend.left:
            return NoTimer()
        timer = _Timer(function, args)
        deadline = self._clock.current_time() + seconds
        heapq.heappush(self._timers, (deadline, next(self._number), timer))
        if self._timers[0][2] is timer:
            self._sooner.set()
        return timer

    async def _run_timers(self) -> None:
        while True:
            self._drop_cancelled()
            deadline = self._timers[0][0] if self._timers else math.inf
            self._sooner = trio.Event()
            with trio.move_on_at(deadline):
                await self._sooner.wait()
            now = trio.current_time()
            while self._timers and self._timers[0][0] <= now:
                timer = heapq.heappop(self._timers)[2]
                if not timer.cancelled:
                    timer.context.run(self._backend.guarded_timer, timer.function, *timer.args)

    def _drop_cancelled(self) -> None:
        """Forget cancelled timers at the head of the heap; all of them, if it has grown large."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        if len(self._timers) > self._sweep_at:
            self._timers = [entry for entry in self._timers if not entry[2].cancelled]
            heapq.heapify(self._timers)
            self._sweep_at = max(100, 2 * len(self._timers))

    # -- descriptors ---------------------------------------------------------------------------

    def watch(self, fd: int, ready: Callable[[], object], write: bool) -> _Watch:
        watch = _Watch(self, fd)
        self.spawn(self._serve, watch, ready, write)
        return watch

    async def _serve(self, watch: _Watch, ready: Callable[[], object], write: bool) -> None:
        wait = trio.lowlevel.wait_writable if write else trio.lowlevel.wait_readable
        while not watch.stopped:
            try:
                await wait(watch.fd)
            except trio.ClosedResourceError:
                # This watch was stopped, or another one of the same descriptor.
                continue
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                # If this gave up, nobody would look again, and a listener would accept no more.
                await trio.sleep(_LOOK_AGAIN)
                continue
            while not watch.stopped and self._backend.guarded(ready):
                # *ready* asks to be called again in the next turn. Waiting for the descriptor would
                # take longer, even if it is ready.
                await trio.lowlevel.checkpoint()


@trio.lowlevel.disable_ki_protection
async def _interruptible(function: Callable[..., Awaitable[object]], *args: object) -> None:
    """Run a task of the program, which ^C may interrupt as it may any other."""
    await function(*args)


# A channel over a stream begins tasks by itself, which ^C must not interrupt either.
for _function in (StreamChannel.run, StreamChannel.guarded):
    trio.lowlevel.enable_ki_protection(_function)


# -- ^C ----------------------------------------------------------------------------------------


@contextmanager
def second_interrupts() -> Iterator[None]:
    """Let a second ^C end an event that does not return, inside a trio run of ours.

    The first ^C waits for the end of the event, so that it never interrupts the middle of one.
    The handler of SIGINT must be trio's own when this is entered.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    token = trio.lowlevel.current_trio_token()
    first = signal.getsignal(signal.SIGINT)
    assert callable(first)
    waits = False

    def turn() -> None:
        nonlocal waits
        waits = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal waits
        if waits and _in_an_event(frame):
            raise KeyboardInterrupt
        waits = True
        token.run_sync_soon(turn)
        first(number, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, first)


_EVENTS = (Backend.guarded.__code__, StreamChannel.guarded.__code__)


def _in_an_event(frame: FrameType | None) -> bool:
    """Whether *frame* is code that we have called, with nothing of trio's in between."""
    while frame is not None:
        if frame.f_code in _EVENTS:
            return True
        if frame.f_globals.get("__name__", "").partition(".")[0] == "trio":
            return False
        frame = frame.f_back
    return False
