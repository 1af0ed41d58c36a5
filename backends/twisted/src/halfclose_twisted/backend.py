"""The backend on a Twisted reactor: how the reactor is run, entered and left."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

from halfclose import Channel
from halfclose.io.waking import WakeOnSignals
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost, ReactorNotRunning
from twisted.internet.process import reapAllProcesses
from twisted.python.failure import Failure

from . import reactors, reporting
from .channel import TwistedChannel, adopt_socket
from .loop import ReactorLoop
from .pace import in_next_turn
from .reactors import asyncio_task_runs

__all__ = ["TwistedBackend"]

T = TypeVar("T")


_runs: dict[Any, TwistedBackend] = {}
"""The backend whose `run` runs each reactor."""

_RELEASE = 1.0
"""Seconds that leaving waits at most until Twisted has released the aborted transports."""


class TwistedBackend(ReactorLoop):
    """A backend on one reactor: one that `halfclose.run` runs, or the program's own."""

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        self._variant = name.partition("+")[2] or None
        self._all_released: Deferred[None] | None = None
        self._fatal: BaseException | None = None
        self._main: Deferred[Any] | None = None
        # Set at the end of the coroutine. A Deferred that was cancelled counts as called before.
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
            # A reactor that the program has stopped cannot be run again. One whose shutdown events
            # were not fired still has triggers of this program, which must not act on the next one.
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
            # As `reactor.stop()` does: the triggers of the program and of the thread pool run now.
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
            # Otherwise the program has called `reactor.stop()`, after which the reactor cannot be
            # run again.
            self._ending = bool(outcome) or self._cut

        def ended() -> None:
            self._ended = self._ending
            self._end()

        # A reactor has triggers of its own for these, but they are gone after its first run.
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
                    # One turn later, since only then the loop of an asyncio reactor runs.
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
        """Release everything that is left on the reactor, which has ended."""
        self._end()
        self.left: bool = True
        if not outcome:
            self._abort_all()
        self._disconnect_all()
        self._dispose()
        for call in self.reactor.getDelayedCalls():
            call.cancel()

    @property
    def in_use(self) -> bool:
        return super().in_use or _runs.get(self.reactor) is self

    @staticmethod
    def of_run(reactor: Any) -> TwistedBackend | None:
        """The backend whose `run` runs *reactor*; None if the program runs it."""
        return _runs.get(reactor)

    def _disconnect_all(self) -> None:
        """Tell everything that the program left open on the reactor that it is lost."""
        for selectable in self.reactor.removeAll():
            selectable.connectionLost(Failure(ConnectionLost()))

    def _end(self) -> None:
        if self.reactor.running:
            self.reactor.crash()

    def interrupt(self) -> None:
        """Cancel ``main``. If it has ended already, the run raises KeyboardInterrupt."""
        if self._main is None:
            return
        if self._main.called:
            self._fatal = self._fatal or KeyboardInterrupt()
        else:
            self._main.cancel()

    def interrupt_at_once(self) -> None:
        """End the reactor without waiting for ``main``. Does nothing once the run is over."""
        if self._over:
            # A call that the reactor of an earlier run did not get to is made when the reactor runs
            # again, for another program.
            return
        self._fatal = self._fatal or KeyboardInterrupt()
        self._cut = True
        self.left = True
        try:
            if not self._main_ended:
                self._abort_all()
            if not self._ending:
                # The reactor can be lent again only if all triggers of this program have run. They
                # run now, while the reactor does: one of its own triggers stops it, and if an
                # asyncio loop is stopped while it does not run, its next run ends at once.
                self.reactor.fireSystemEvent("shutdown")
        finally:
            self._end()

    async def start(self) -> None:
        if self.reactor is None:
            self.reactor: Any = reactors.current() or sys.modules.get("twisted.internet.reactor")
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

    def end_with_reactor(self) -> None:
        """Abort every connection when the program stops its reactor.

        Twisted itself ends only what it watches at that moment. It would miss connections that are
        paused, those whose read side has ended, and all that the poller serves.
        """

        def stopped() -> None:
            self.left = True
            self.guarded(self._abort_all)

        self._set_out()
        self._triggers.append(self.reactor.addSystemEventTrigger("during", "shutdown", stopped))

    def open_with_reactor(self) -> None:
        """Open the backend until the reactor stops, for `as_factory`, which has no ``async with``.

        Its protocols can connect, listen and begin tasks by ``transport.backend``.
        """

        def stopped() -> None:
            for task in list(self._tasks):
                task.cancel()
            self._was_left = True

        self._entered = True
        self.end_with_reactor()
        self._triggers.append(self.reactor.addSystemEventTrigger("during", "shutdown", stopped))

    async def stop(self, error: BaseException | None) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._channels and self.reactor.running:
            # Twisted releases an aborted socket in its next turn. All are aborted again, since TLS
            # that was only closed waits for its peer.
            for channel in list(self._channels):
                channel.abort()
            self._all_released = Deferred()
            # Twisted's next turn is far off if somebody sets the wall clock back.
            timer = self._timers.add(_RELEASE, self._released)
            try:
                await self._all_released
            finally:
                timer.cancel()
        for trigger in self._triggers:
            # NotImplementedError: twisted.internet.testing.MemoryReactor.
            with suppress(ValueError, NotImplementedError):
                self.reactor.removeSystemEventTrigger(trigger)
        # These timers would call nothing, and would keep the alarm's descriptor on the reactor.
        self._timers.drop(self.guarded_timer)
        self.pace.leave()
        if self._fatal is not None and self._main is None:
            raise self._fatal

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
            # Another event may have stopped the reactor already.
            with suppress(ReactorNotRunning):
                self.reactor.stop()

    def report(
        self, error: BaseException, message: str, *args: object, level: int = logging.ERROR
    ) -> None:
        reporting.report(error, message, args, level)

    # -- channels over transports of the reactor -----------------------------------------------

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
    """The handlers of SIGINT and SIGCHLD while our reactor runs in the main thread.

    The first SIGINT cancels ``main``; the second one ends the run without waiting for ``main``.
    SIGCHLD makes Twisted reap the processes that the program spawned on the reactor. If the program
    has a handler of its own, one for SIGINT stays in place of ours, as with asyncio, and one for
    SIGCHLD is called after ours.

    The reactor's own handlers are not installed: they would stay after the run, and keep the
    reactor alive, and they would handle SIGTERM too.
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
        """Whether a SIGINT came too late for the reactor to act on it."""
        return self._count > self._heard

    def __enter__(self) -> _Signals:
        # Python allows signal handlers in the main thread only.
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._interrupts_before = signal.signal(signal.SIGINT, self._interrupted)
            if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) is not None:
                self._children_before = signal.signal(signal.SIGCHLD, self._child_ended)
                # As Twisted does: system calls that SIGCHLD meets go on, since not every library
                # expects them to be interrupted.
                signal.siginterrupt(signal.SIGCHLD, False)
        return self

    def wake(self, backend: TwistedBackend) -> None:
        """Make signals wake the reactor, which is running now."""
        self._waker = WakeOnSignals(backend)
        # A process may have ended before the handler was installed.
        reapAllProcesses()

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._backend.foreign is not None:
            # This is a forked child, where the reactor does not run and cannot cancel anything.
            raise KeyboardInterrupt
        with suppress(RuntimeError):
            # RuntimeError: the reactor is not running yet, or its loop is closed.
            self._backend.pace.soon_threadsafe(self._end, self._count)
        if self._count > 2:
            # The reactor does not get its turn, because code of the program does not return.
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
            # If the program has replaced our handler meanwhile, its own stays.
            if before is not None and signal.getsignal(getattr(signal, number)) == ours:
                signal.signal(getattr(signal, number), before)
