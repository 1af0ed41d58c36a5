"""What core asks of a framework, by a Twisted reactor."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import copy_context
from types import FrameType
from typing import Any, TypeVar

from halfclose import Address, Backend, Channel
from halfclose.io.waking import WakeOnSignals
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost, ReactorNotRunning
from twisted.internet.interfaces import (
    IReadDescriptor,
    IResolutionReceiver,
    IWriteDescriptor,
)
from twisted.internet.process import reapAllProcesses
from twisted.python.failure import Failure
from zope.interface import implementer

from . import reactors, reporting
from .channel import TwistedChannel, adopt_socket
from .pace import FD_SETSIZE, Pace, Timer, Timers, in_next_turn, pace_of, selects
from .reactors import asyncio_task_runs

__all__ = ["TwistedBackend"]

T = TypeVar("T")


_runs: dict[Any, TwistedBackend] = {}

_LOST = 8
"""Times that a descriptor is served before it is, as asked for, served again: the wall clock was
set back, and it has to be asked anew."""

_RELEASE = 1.0
"""Seconds that Twisted is given, in place of one turn, to release what was aborted."""


class _Event:
    """Any number of waiters, each with a Deferred of its own (rule EVT-15)."""

    def __init__(self, soon: Callable[..., None]) -> None:
        self._soon = soon
        self._is_set = False
        self._waiters: list[Deferred[None]] = []

    def set(self) -> None:
        if not self._is_set:
            self._is_set = True
            # Not now: a Deferred runs its coroutine inside callback(), and we may be in a verb.
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

    def __init__(self, backend: TwistedBackend, fd: int, ready: Callable[[], object]) -> None:
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
        """The reactor gave the descriptor up: an error on it counts as readiness."""
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
            # A forked child shares what is watched with its parent.
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


class TwistedBackend(Backend):
    """One reactor: ours, for the time of a `halfclose.run`, or the program's own.

    :param options: beside those of `Backend`: ``reactor``, the reactor to use in place of one of
        our own.
    """

    option_names = frozenset({"reactor"})

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        self._variant = name.partition("+")[2] or None
        self.reactor: Any = self.options.get("reactor")
        self._pace: Pace | None = None
        self._clock = time.monotonic
        self._timers: Timers
        self._soon: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._turn_is_due = False
        self._over = False
        self._tasks: set[Deferred[object]] = set()
        self._all_released: Deferred[None] | None = None
        self._fatal: BaseException | None = None
        self._main: Deferred[Any] | None = None
        # A Deferred that was cancelled counts as called, though its coroutine may go on.
        self._main_ended = False
        self._cut = False
        self._ending = False
        self._ended = False
        self._triggers: list[Any] = []

    # -- running -------------------------------------------------------------------------------

    @classmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        backend = cls(name, options)
        if reactors.current() is not None:
            raise RuntimeError(
                f"backend {name!r}: a reactor runs in this thread; use halfclose.open_backend"
            )
        if backend._variant in ("asyncio", "uvloop") and reactors.loop_runs():
            raise RuntimeError(f"backend {name!r}: an asyncio loop runs in this thread already")
        own: str | None = None
        if backend.reactor is None:
            own, backend.reactor = reactors.borrow(backend._variant)
        try:
            return backend._run(main, args)
        finally:
            # A reactor that was stopped, rather than ended by us, cannot be run again; and what
            # was not shut down has triggers of this program, which the next one must not meet.
            if own is not None and backend._ended:
                reactors.give_back(own, backend.reactor)

    def _run(self, main: Callable[..., Awaitable[T]], args: tuple[object, ...]) -> T:
        outcome: list[Any] = []

        async def body() -> T:
            async with self:
                return await main(self, *args)

        def finish(result: Any) -> None:
            outcome.append(result)
            self._main_ended = True
            # Triggers of the program and the thread pool's own end here, as on reactor.stop().
            self.reactor.fireSystemEvent("shutdown")

        def begin() -> None:
            reactors.leave_io_thread()
            self._set_out()
            signals.wake(self)
            if signals.interrupted:
                finish(Failure(KeyboardInterrupt()))
                return
            self._main = Deferred.fromCoroutine(body())
            self._main.addBoth(finish)

        def stopping() -> None:
            # Else it is somebody's reactor.stop(), after which it cannot be run again.
            self._ending = bool(outcome) or self._cut

        def ended() -> None:
            self._ended = self._ending
            self._end()

        # A reactor's own triggers for these are gone after its first run.
        triggers = [
            self.reactor.addSystemEventTrigger(phase, "shutdown", function)
            for phase, function in (
                ("before", stopping),
                ("during", self._disconnect_all),
                ("after", ended),
            )
        ]
        before = reactors.enter(self.reactor)
        _runs[self.reactor] = self
        try:
            with _Signals(self) as signals:
                try:
                    # One turn later: on an asyncio reactor the loop is not running before that.
                    self.reactor.callWhenRunning(in_next_turn, self.reactor, begin)
                    self.reactor.run(installSignalHandlers=False)
                finally:
                    self.check_process(sys.exception())
                    self._tidy(outcome)
        finally:
            del _runs[self.reactor]
            reactors.enter(before)
            for trigger in triggers:
                with suppress(ValueError):
                    self.reactor.removeSystemEventTrigger(trigger)
        if self._fatal is not None:
            raise self._fatal
        if signals.unheard:
            raise KeyboardInterrupt
        if not outcome:
            raise RuntimeError(f"backend {self.name!r}: the reactor was stopped before main ended")
        result = outcome[0]
        if isinstance(result, Failure):
            if signals.interrupted and result.check(CancelledError):
                raise KeyboardInterrupt
            error = result.value
            assert error is not None
            raise error.with_traceback(result.getTracebackObject())
        return result  # type: ignore[no-any-return]

    def _tidy(self, outcome: list[Any]) -> None:
        """The reactor has ended: let go of everything that is on it."""
        self._end()
        self.left = True
        if not outcome:
            self._abort_all()
        self._disconnect_all()
        self._dispose()
        for call in self.reactor.getDelayedCalls():
            call.cancel()

    @property
    def in_use(self) -> bool:
        return super().in_use or _runs.get(self.reactor) is self

    def disown(self, parent: int) -> None:
        super().disown(parent)
        if self._pace is not None:
            self._timers.disown()

    @staticmethod
    def of_run(reactor: Any) -> TwistedBackend | None:
        """The backend whose `halfclose.run` runs *reactor*, if one does."""
        return _runs.get(reactor)

    def _disconnect_all(self) -> None:
        """End what the program left open on the reactor."""
        for selectable in self.reactor.removeAll():
            selectable.connectionLost(Failure(ConnectionLost()))

    def _end(self) -> None:
        if self.reactor.running:
            self.reactor.crash()

    def interrupt(self) -> None:
        """Cancel ``main``; if it has ended, have the run end with KeyboardInterrupt."""
        if self._main is None:
            return
        if self._main.called:
            self._fatal = self._fatal or KeyboardInterrupt()
        else:
            self._main.cancel()

    def interrupt_at_once(self) -> None:
        """End the reactor without waiting for ``main``. A no-op once the run is over."""
        if self._over:
            # What the reactor had no time for is called when it runs again, for somebody else.
            return
        self._fatal = self._fatal or KeyboardInterrupt()
        self._cut = True
        self.left = True
        try:
            if not self._main_ended:
                self._abort_all()
            if not self._ending:
                # It is lent again only if nothing of this program is left to be called at its end.
                # Now, while it runs: a trigger of its own stops it, and a loop that is stopped
                # while it does not run ends its next run at once.
                self.reactor.fireSystemEvent("shutdown")
        finally:
            self._end()

    async def start(self) -> None:
        if self.reactor is None:
            self.reactor = reactors.current() or sys.modules.get("twisted.internet.reactor")
        if self.reactor is None or asyncio_task_runs():
            raise RuntimeError(f"backend {self.name!r}: no Twisted reactor is running here")
        if not self.reactor.running:
            running: Deferred[None] = Deferred()
            self.reactor.callWhenRunning(in_next_turn, self.reactor, lambda: running.callback(None))
            await running
        if reactors.waits_for_its_loop(self.reactor):
            turning: Deferred[None] = Deferred()
            self.reactor.callFromThread(turning.callback, None)
            await turning
        if self._variant is not None and not reactors.of_variant(self.reactor, self._variant):
            raise RuntimeError(
                f"backend {self.name!r}: the reactor that runs here is "
                f"{type(self.reactor).__name__}"
            )
        self._set_out()
        if self.of_run(self.reactor) is not self:
            self.end_with_reactor()

    def _set_out(self) -> None:
        if self._pace is None:
            self._pace = pace_of(self.reactor)
            self._clock = self._pace.time
            self._timers = Timers(self._pace, self.guarded)
            self.hold_descriptors(self._pace.descriptors)

    @property
    def pace(self) -> Pace:
        """What sets the pace, once the reactor is running.

        :raises RuntimeError: the backend has not been entered.
        """
        if self._pace is None:
            raise RuntimeError(f"backend {self.name!r} is not entered: async with it")
        return self._pace

    def end_with_reactor(self) -> None:
        """The reactor is the program's: when that stops it, every connection is aborted.

        Twisted ends what it watches at that moment: no connection that is paused, none whose read
        side has ended, and none of the socket lane.
        """

        def stopped() -> None:
            self.left = True
            self.guarded(self._abort_all)

        self._set_out()
        self._triggers.append(self.reactor.addSystemEventTrigger("during", "shutdown", stopped))

    async def stop(self, error: BaseException | None) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._channels and self.reactor.running:
            # Twisted releases an aborted socket in its next turn; TLS that is only closed waits for
            # its peer.
            for channel in list(self._channels):
                channel.abort()
            self._all_released = Deferred()
            # Its next turn can be far off, by the wall clock.
            timer = self._timers.add(_RELEASE, self._released)
            try:
                await self._all_released
            finally:
                timer.cancel()
        for trigger in self._triggers:
            # NotImplementedError: twisted.internet.testing.MemoryReactor.
            with suppress(ValueError, NotImplementedError):
                self.reactor.removeSystemEventTrigger(trigger)
        # They would call nothing any more, and keep the alarm's descriptor on the reactor.
        self._timers.drop(self.guarded_timer)
        self.pace.leave()
        if self._fatal is not None and self._main is None:
            raise self._fatal

    def _dispose(self) -> None:
        """Never call anything again: the reactor has ended."""
        self._over = True
        self._soon.clear()
        if self._pace is not None:
            self._pace.leave()
            self._timers.clear()

    def fatal(self, error: BaseException) -> None:
        runner = self.of_run(self.reactor)
        if runner is not None:
            self._fatal = self._fatal or error
            runner._fatal = runner._fatal or error
            runner.soon(runner.interrupt)
        else:
            name = type(error).__name__
            self.report(
                error, "an event raised %s; the reactor stops", name, level=logging.CRITICAL
            )
            # Another event may have stopped it already.
            with suppress(ReactorNotRunning):
                self.reactor.stop()

    def report(
        self, error: BaseException, message: str, *args: object, level: int = logging.ERROR
    ) -> None:
        reporting.report(error, message, args, level)

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
        """`call_soon`, but also once the backend has been left, and in any context."""
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
            # One by one: what is called may be interrupted, and the rest must not be lost by it.
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
        # Not before what is due in the next turn already.
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
        # RuntimeError: the loop is closed.
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
        """Make sure that the reactor can watch *fd*: one that cannot spins, or is silent.

        :raises OSError: ERANGE: the reactor has no room for a descriptor of that number. Not
            EMFILE: there are descriptors, and to wait for one would be to wait in silence.
        """
        if not selects(self.reactor, fd):
            raise OSError(
                errno.ERANGE,
                f"{type(self.reactor).__name__} cannot watch descriptor {fd}, only those below "
                f"{FD_SETSIZE}; another reactor can",
            )

    async def resolve(self, host: str, port: int) -> list[Address]:
        # Twisted's resolver never answers for a name that IDNA refuses.
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

    def adopt(self, sock: socket.socket) -> TwistedChannel:
        return adopt_socket(self, sock)

    def release_channel(self, channel: Channel) -> None:
        super().release_channel(channel)
        if not self._channels:
            self._released()

    def _released(self) -> None:
        waiting, self._all_released = self._all_released, None
        if waiting is not None:
            self.soon(waiting.callback, None)


class _Signals:
    """SIGINT and SIGCHLD while our reactor runs in the main thread.

    SIGINT cancels ``main``, and the second time does not wait for it. SIGCHLD has Twisted reap
    what the program spawned on the reactor. The reactor's own handlers would stay bound to it
    after the run, and take SIGTERM too. A program's own handler for SIGINT is left alone, as
    asyncio does, and one for SIGCHLD is called as well.
    """

    def __init__(self, backend: TwistedBackend) -> None:
        self._backend = backend
        self._interrupts_before: Any = None
        self._children_before: Any = None
        self._waker: WakeOnSignals | None = None
        self._count = 0
        self._heard = 0

    @property
    def interrupted(self) -> bool:
        """Whether SIGINT came."""
        return self._count > 0

    @property
    def unheard(self) -> bool:
        """Whether SIGINT came too late for the reactor to do anything about it."""
        return self._count > self._heard

    def __enter__(self) -> _Signals:
        # Elsewhere Python takes no handlers.
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._interrupts_before = signal.signal(signal.SIGINT, self._interrupted)
            if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) is not None:
                self._children_before = signal.signal(signal.SIGCHLD, self._child_ended)
                # As Twisted has it: not every library expects to be interrupted by it.
                signal.siginterrupt(signal.SIGCHLD, False)
        return self

    def wake(self, backend: TwistedBackend) -> None:
        """The reactor is running: have signals wake it."""
        self._waker = WakeOnSignals(backend)
        # What ended before the handler was there.
        reapAllProcesses()

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._backend.foreign is not None:
            # In a forked child the reactor does not run, and nothing else would end what does.
            raise KeyboardInterrupt
        with suppress(RuntimeError):
            # RuntimeError: the reactor is not running yet, or its loop is closed.
            self._backend.pace.soon_threadsafe(self._end, self._count)
        if self._count > 2:
            # It is the program's own code that does not return to the reactor.
            raise KeyboardInterrupt

    def _end(self, count: int) -> None:
        self._heard = count
        if count == 1:
            self._backend.interrupt()
        else:
            self._backend.interrupt_at_once()

    def _child_ended(self, number: int, frame: FrameType | None) -> None:
        if self._backend.foreign is None:
            with suppress(RuntimeError):
                self._backend.pace.soon_threadsafe(reapAllProcesses)
        if callable(self._children_before):
            self._children_before(number, frame)

    def __exit__(self, *exception: object) -> None:
        if self._waker is not None:
            self._waker.close()
        for number, ours, before in (
            ("SIGINT", self._interrupted, self._interrupts_before),
            ("SIGCHLD", self._child_ended, self._children_before),
        ):
            # Somebody may have put a handler in place of ours, who keeps it.
            if before is not None and signal.getsignal(getattr(signal, number)) == ours:
                signal.signal(getattr(signal, number), before)
