"""The event loop of a Twisted reactor: time, calls, tasks, descriptors and names."""

from __future__ import annotations

import errno
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from typing import Any, ClassVar

from halfclose import Address, Backend
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import (
    IReadDescriptor,
    IResolutionReceiver,
    IWriteDescriptor,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from .pace import FD_SETSIZE, Pace, Timer, Timers, pace_of, selects

__all__ = ["ReactorLoop"]

_LOST = 8
"""Times that a descriptor is served while a call of `Pace.again` is due, until that counts as lost.

It may be a delayed call of the reactor's, which is late if somebody has set the wall clock back.
Then it is asked for anew.
"""


class _Event:
    """An event for any number of tasks.

    Each task waits for a Deferred of its own, so that to cancel one affects no other (LOOP-04).
    """

    def __init__(self, soon: Callable[..., None]) -> None:
        self._soon = soon
        self._is_set = False
        self._waiters: list[Deferred[None]] = []

    def set(self) -> None:
        if not self._is_set:
            self._is_set = True
            # Not now, since a Deferred runs its coroutine inside callback(), and this may be called
            # inside a verb.
            self._soon(self._wake)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def is_set(self) -> bool:
        return self._is_set

    async def wait(self) -> None:
        if not self._is_set:
            waiter: Deferred[None] = Deferred(self._waiters.remove)
            self._waiters.append(waiter)
            await waiter


class _Descriptor:
    """A descriptor that the reactor watches for us."""

    def __init__(self, backend: ReactorLoop, fd: int, ready: Callable[[], object]) -> None:
        self._backend = backend
        self._fd = fd
        self._ready = ready
        self._stopped = False
        self._asked_again = 0

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "halfclose"

    def _serve(self) -> None:
        if not self._backend.guarded(self._ready):
            return
        if not self._asked_again or self._asked_again > _LOST:
            self._asked_again = 0
            self._backend.pace.again(self._serve_again)
        self._asked_again += 1

    def _serve_again(self) -> None:
        self._asked_again = 0
        if not self._stopped:
            self._serve()

    def _add(self) -> None:
        raise NotImplementedError

    def _remove(self) -> None:
        raise NotImplementedError

    def connectionLost(self, reason: Failure) -> None:
        """Serve the descriptor once more, and watch it again in the next turn.

        The reactor has given it up because of an error, which counts as readiness (LOOP-06).
        """
        if not self._stopped:
            self._serve()
        if not self._stopped and self._backend.reactor.running:
            self._backend.soon(self._again)

    def _again(self) -> None:
        if not self._stopped:
            self._add()

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            # A forked child must not do that: it shares with its parent what the reactor watches.
            if self._backend.foreign is None:
                self._remove()


@implementer(IReadDescriptor)
class _Reader(_Descriptor):
    def _add(self) -> None:
        self._backend.reactor.addReader(self)

    def _remove(self) -> None:
        self._backend.reactor.removeReader(self)

    def doRead(self) -> None:
        self._serve()


@implementer(IWriteDescriptor)
class _Writer(_Descriptor):
    def _add(self) -> None:
        self._backend.reactor.addWriter(self)

    def _remove(self) -> None:
        self._backend.reactor.removeWriter(self)

    def doWrite(self) -> None:
        self._serve()


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects the addresses that the reactor's resolver finds."""

    def __init__(self, done: Callable[[list[Address]], None]) -> None:
        self._done = done
        self._found: list[Address] = []

    def resolutionBegan(self, resolutionInProgress: object) -> None:
        pass

    def addressResolved(self, address: Any) -> None:
        if ":" in address.host:
            full = (address.host, address.port, address.flowInfo, address.scopeID)
            self._found.append((socket.AF_INET6, full))
        else:
            self._found.append((socket.AF_INET, (address.host, address.port)))

    def resolutionComplete(self) -> None:
        self._done(self._found)


class ReactorLoop(Backend):
    """A backend whose event loop is a reactor. Subclasses start and stop the reactor.

    :param options: those of `Backend`, and ``reactor``: the reactor to use. Without it, `run` takes
        one of its own, and ``open_backend`` uses the one that is running.
    """

    option_names: ClassVar[frozenset[str]] = frozenset({"reactor"})

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        self.reactor: Any = self.options.get("reactor")
        self._pace: Pace | None = None
        self._clock = time.monotonic
        self._timers: Timers
        self._soon: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._turn_is_due = False
        self._over = False
        self._tasks: set[Deferred[object]] = set()

    def _set_out(self) -> None:
        """Prepare timers and turns for `reactor`, which must not change any more. Idempotent."""
        if self._pace is None:
            self._pace = pace_of(self.reactor)
            self._clock = self._pace.time
            self._timers = Timers(self._pace, self.guarded)
            self.hold_descriptors(self._pace.descriptors)

    @property
    def pace(self) -> Pace:
        """What asks the reactor for its next turn.

        :raises RuntimeError: the backend has not been entered.
        """
        if self._pace is None:
            raise RuntimeError(f"backend {self.name!r} is not entered: async with it")
        return self._pace

    def disown(self, parent: int) -> None:
        super().disown(parent)
        if self._pace is not None:
            self._timers.disown()

    def _dispose(self) -> None:
        """Forget all calls and timers, since the reactor has ended."""
        self._over = True
        self._soon.clear()
        if self._pace is not None:
            self._pace.leave()
            self._timers.clear()

    # -- time, tasks, events -------------------------------------------------------------------

    def time(self) -> float:
        return self._clock()

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        if not self.left:
            self.soon(copy_context().run, self._unless_left, function, *args)

    def _unless_left(self, function: Callable[..., object], *args: object) -> None:
        if not self.left:
            self.guarded(function, *args)

    def soon(self, function: Callable[..., object], *args: object) -> None:
        """`call_soon` without a context, and also once the backend has been left.

        Once the reactor has ended, it does nothing.
        """
        if not self._over:
            self._soon.append((function, args))
            self._ask_for_turn()

    def call_though_left(self, function: Callable[..., object], *args: object) -> bool:
        if self._over or not self.reactor.running:
            return False
        self.soon(self.guarded, function, *args)
        return True

    def _ask_for_turn(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self.pace.soon(self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        due = self._soon
        try:
            # Each is taken out alone, so that the rest is not lost if a call is interrupted.
            for _ in range(len(due)):
                if not due:
                    break
                function, args = due.popleft()
                self.guarded(function, *args)
        finally:
            if due:
                self._ask_for_turn()

    def call_later(self, seconds: float, function: Callable[..., object], *args: object) -> Timer:
        if self.left:
            return Timer(None, None, ())
        context = copy_context()
        return self._later(seconds, context.run, self.guarded_timer, function, *args)

    def _later(self, seconds: float, function: Callable[..., object], *args: object) -> Timer:
        if not seconds <= 0:
            return self._timers.add(seconds, function, *args)
        # It waits behind the calls of the next turn that were asked for before.
        timer = Timer(None, function, args)
        self.soon(self._now, timer)
        return timer

    def _now(self, timer: Timer) -> None:
        function, args = timer.take()
        if function is not None:
            function(*args)

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        if self.left:
            return
        context, pace = copy_context(), self.pace
        # RuntimeError means that the loop is closed, and then nothing is to be called.
        with suppress(RuntimeError):
            pace.soon_threadsafe(context.run, self._unless_left, function, *args)

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        self.call_soon(self._start_task, function, args)

    def _start_task(
        self, function: Callable[..., Awaitable[object]], args: tuple[object, ...]
    ) -> None:
        async def body() -> None:
            await function(*args)

        task: Deferred[Any] = Deferred.fromCoroutine(body())
        if not task.called:
            self._tasks.add(task)
        task.addBoth(self._task_ended, task, function)

    def _task_ended(self, result: Any, task: Deferred[Any], function: object) -> None:
        self._tasks.discard(task)
        self.check_process(result.value if isinstance(result, Failure) else None)
        if not isinstance(result, Failure) or result.check(CancelledError):
            return
        error = result.value
        assert error is not None
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.fatal(error)
        else:
            self.report(error, "the task %r failed", function)

    async def sleep(self, seconds: float) -> None:
        over: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self._later(seconds, over.callback, None)
        await over

    def create_event(self) -> _Event:
        return _Event(self.soon)

    # -- descriptors and names -----------------------------------------------------------------

    def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> _Descriptor:
        self.check_watchable(fd)
        descriptor: _Descriptor = (_Writer if write else _Reader)(self, fd, ready)
        descriptor._add()
        return descriptor

    def check_watchable(self, fd: int) -> None:
        """Make sure that the reactor can watch *fd*. A reactor that cannot spins or never calls.

        :raises OSError: the reactor has no room for a descriptor of that number. The errno is
            ERANGE and not EMFILE, since the caller would wait for a free descriptor at EMFILE, and
            descriptors are free.
        """
        if not selects(self.reactor, fd):
            raise OSError(
                errno.ERANGE,
                f"{type(self.reactor).__name__} cannot watch descriptor {fd}, only those below "
                f"{FD_SETSIZE}; another reactor can",
            )

    async def resolve(self, host: str, port: int) -> list[Address]:
        # Raises UnicodeError for a name that IDNA refuses: Twisted's resolver would never answer.
        host.encode("idna")
        done: Deferred[list[Address]] = Deferred()

        def complete(found: list[Address]) -> None:
            if not done.called:
                done.callback(found)

        self.reactor.nameResolver.resolveHostName(_Receiver(complete), host, port)
        found = await done
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "the resolver found no address")
        return found
