"""A bare event loop over `selectors`: calls, timers, descriptors and coroutines. It knows nothing
of halfclose."""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any

__all__ = ["Cancelled", "Event", "Loop", "Task", "Timer", "Watch", "running"]

Begin = Callable[[Callable[[], None]], Callable[[], object]]

_here = threading.local()


class Cancelled(BaseException):
    """What a coroutine gets where it waits, when its task is cancelled."""


def running() -> Loop | None:
    """The loop that runs in this thread."""
    return getattr(_here, "loop", None)


@types.coroutine
def suspend(begin: Begin) -> Generator[Begin, None, None]:
    """Wait until the function that *begin* is given is called.

    :param begin: called once; what it returns is called if the task is cancelled first.
    """
    yield begin


class Timer:
    """One function, to be called at its time."""

    def __init__(self, function: Callable[..., object], args: tuple[object, ...]) -> None:
        self._function: Callable[..., object] | None = function
        self._args = args

    @property
    def over(self) -> bool:
        """Whether it was called or cancelled."""
        return self._function is None

    def cancel(self) -> None:
        """Do not call it. Idempotent."""
        self._function, self._args = None, ()

    def fire(self) -> None:
        """Call it, once, unless it was cancelled."""
        function, args = self._function, self._args
        self.cancel()
        if function is not None:
            function(*args)


class Watch:
    """Calls *ready* while a descriptor is ready, until `stop`."""

    def __init__(self, loop: Loop, fd: int, event: int, ready: Callable[[], object]) -> None:
        self._loop = loop
        self.fd = fd
        self.event = event
        self.ready = ready

    def stop(self) -> None:
        """Call it no more, and forget the descriptor while it is still open. Idempotent."""
        self._loop.forget(self)


class Event:
    """Any number of tasks can wait for it, each by itself."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiters: dict[object, Callable[[], None]] = {}

    def is_set(self) -> bool:
        """Whether `set` was called."""
        return self._is_set

    def set(self) -> None:
        """Let the waiting tasks go on in the next turn. Idempotent."""
        self._is_set = True
        waiters, self._waiters = self._waiters, {}
        for wake in waiters.values():
            wake()

    async def wait(self) -> None:
        """Wait for `set`."""
        if self._is_set:
            return
        key = object()

        def begin(wake: Callable[[], None]) -> Callable[[], object]:
            self._waiters[key] = wake
            return lambda: self._waiters.pop(key, None)

        await suspend(begin)


class Task:
    """One coroutine on its way, in a copy of the context of whoever began it. Its first step, and
    each after a wait, is a turn's call."""

    def __init__(self, loop: Loop, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._context = copy_context()
        self._undo: Callable[[], object] | None = None
        self._cancelled = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = Event()
        loop.tasks.add(self)
        loop.call_soon(self._step)

    def cancel(self) -> None:
        """Raise `Cancelled` where it waits, or next waits; a no-op once it is done."""
        self._cancelled = True
        if self._undo is not None:
            self._undo()
            self._wake()

    def _wake(self) -> None:
        self._undo = None
        self._loop.call_soon(self._step)

    def _step(self) -> None:
        self._loop.current = self
        try:
            if self._cancelled:
                self._cancelled = False
                begin = self._context.run(self._coroutine.throw, Cancelled())
            else:
                begin = self._context.run(self._coroutine.send, None)
        except StopIteration as stop:
            self.result = stop.value
            self._finish()
        except BaseException as error:
            self.error = error
            self._finish()
        else:
            self._undo = begin(self._wake)
            if self._cancelled:
                self.cancel()
        finally:
            self._loop.current = None

    def _finish(self) -> None:
        self._loop.tasks.discard(self)
        self.done.set()


class Loop:
    """One event loop, for one `run`."""

    def __init__(self) -> None:
        self.tasks: set[Task] = set()
        self.current: Task | None = None
        self._soon: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._watches: dict[int, dict[int, Watch]] = {}
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self.watch(self._woken.fileno(), selectors.EVENT_READ, lambda: self._woken.recv(4096))

    # -- running -------------------------------------------------------------------------------

    def run(self, main: Task) -> Any:
        """Go round until *main* is done, cancel the other tasks, and give *main*'s result."""
        _here.loop = self
        try:
            while not main.done.is_set():
                self._turn()
            told: set[Task] = set()
            while self.tasks:
                for task in self.tasks - told:
                    task.cancel()
                told |= self.tasks
                self._turn()
        finally:
            _here.loop = None
            self._close()
        if main.error is not None:
            raise main.error
        return main.result

    def _turn(self) -> None:
        timeout = None
        if self._soon:
            timeout = 0.0
        elif self._timers:
            timeout = max(0.0, self._timers[0][0] - time.monotonic())
        for key, events in self._selector.select(timeout):
            for event, watch in list(key.data.items()):
                # It may have been stopped since, and its descriptor be another's now.
                if events & event and watch in self._watches.get(key.fd, {}).values():
                    watch.ready()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2].fire()
        # What these call soon is for the next turn.
        for _ in range(len(self._soon)):
            function, args = self._soon.popleft()
            function(*args)

    def _close(self) -> None:
        self._selector.close()
        self._woken.close()
        self._waker.close()

    # -- calls and timers ----------------------------------------------------------------------

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call it in the next turn."""
        self._soon.append((function, args))

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        """`call_soon`, from any thread or signal handler.

        :raises RuntimeError: the loop has ended.
        """
        self._soon.append((function, args))
        try:
            self._waker.send(b"!")
        except BlockingIOError:
            pass  # It is full of calls to wake up.
        except OSError as error:
            raise RuntimeError("the loop has ended") from error

    def call_at(self, when: float, function: Callable[..., object], *args: object) -> Timer:
        """Call it at *when*, in seconds of `time.monotonic`."""
        while self._timers and self._timers[0][2].over:
            heapq.heappop(self._timers)
        timer = Timer(function, args)
        heapq.heappush(self._timers, (when, next(self._count), timer))
        return timer

    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds*, a turn at least."""
        await suspend(lambda wake: self.call_at(time.monotonic() + seconds, wake).cancel)

    # -- descriptors ---------------------------------------------------------------------------

    def watch(self, fd: int, event: int, ready: Callable[[], object]) -> Watch:
        """Call *ready* in each turn in which *fd* is ready for *event*, or broken."""
        watch = Watch(self, fd, event, ready)
        watches = self._watches.setdefault(fd, {})
        watches[event] = watch
        self._select(fd, watches)
        return watch

    def forget(self, watch: Watch) -> None:
        """*watch* is stopped."""
        watches = self._watches.get(watch.fd, {})
        if watches.get(watch.event) is watch:
            del watches[watch.event]
            self._select(watch.fd, watches)

    def _select(self, fd: int, watches: dict[int, Watch]) -> None:
        if not watches:
            del self._watches[fd]
            self._selector.unregister(fd)
        elif fd in self._selector.get_map():
            self._selector.modify(fd, sum(watches), watches)
        else:
            self._selector.register(fd, sum(watches), watches)
