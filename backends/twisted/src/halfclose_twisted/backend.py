"""What core asks of a framework, by a Twisted reactor."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, TypeVar

from halfclose import Backend, Channel
from halfclose.io.addresses import Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IReadDescriptor,
    IResolutionReceiver,
    IWriteDescriptor,
)
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from . import reactors
from .channel import TwistedChannel, adopt_socket
from .reactors import asyncio_task_runs

__all__ = ["TwistedBackend"]

_log = logging.getLogger("halfclose")

T = TypeVar("T")


_runs: dict[Any, TwistedBackend] = {}


class _Event:
    """Any number of waiters, each with a Deferred of its own (rule EVT-15)."""

    def __init__(self, call_soon: Callable[..., None]) -> None:
        self._call_soon = call_soon
        self._is_set = False
        self._waiters: list[Deferred[None]] = []

    def set(self) -> None:
        if not self._is_set:
            self._is_set = True
            # Not now: a Deferred runs its coroutine inside callback(), and we may be in a verb.
            self._call_soon(self._wake)

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


class _Timer:
    def __init__(self, call: Any) -> None:
        self._call = call

    def cancel(self) -> None:
        if self._call.active():
            self._call.cancel()


class _Descriptor:
    """A descriptor that the reactor watches for us."""

    def __init__(self, backend: TwistedBackend, fd: int, ready: Callable[[], object]) -> None:
        self._backend = backend
        self._fd = fd
        self._ready = ready
        self._stopped = False
        self._asked_again = False

    def fileno(self) -> int:
        return self._fd

    def logPrefix(self) -> str:
        return "halfclose"

    def _serve(self) -> None:
        if self._backend.guarded(self._ready) and not self._asked_again:
            self._asked_again = True
            self._backend.call_soon(self._serve_again)

    def _serve_again(self) -> None:
        self._asked_again = False
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
            self._backend.call_soon(self._again)

    def _again(self) -> None:
        if not self._stopped:
            self._add()

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
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
        self._soon: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._tasks: set[Deferred[object]] = set()
        self._all_released: Deferred[None] | None = None
        self._fatal: BaseException | None = None
        self._main: Deferred[Any] | None = None
        self._ended = False

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
            # A reactor that was stopped, rather than ended by us, cannot be run again.
            if own is not None and backend._ended:
                reactors.give_back(own, backend.reactor)

    def _run(self, main: Callable[..., Awaitable[T]], args: tuple[object, ...]) -> T:
        outcome: list[Any] = []

        async def body() -> T:
            async with self:
                return await main(self, *args)

        def finish(result: Any) -> None:
            outcome.append(result)
            # Triggers of the program and the thread pool's own end here, as on reactor.stop().
            self.reactor.fireSystemEvent("shutdown")

        def begin() -> None:
            self._main = Deferred.fromCoroutine(body())
            self._main.addBoth(finish)

        # One turn later: on an asyncio reactor the loop itself is not running before that.
        self.reactor.callWhenRunning(self.reactor.callLater, 0, begin)

        def stopping() -> None:
            # Begun by somebody's reactor.stop(), after which it cannot be run again.
            self._ended = bool(outcome)

        # A reactor's own triggers for these are gone after its first run.
        triggers = [
            self.reactor.addSystemEventTrigger(phase, "shutdown", function)
            for phase, function in (
                ("before", stopping),
                ("during", self._disconnect_all),
                ("after", self._end),
            )
        ]
        before = reactors.enter(self.reactor)
        _runs[self.reactor] = self
        try:
            with _Interrupts(self) as interrupts:
                self.reactor.run(installSignalHandlers=False)
        finally:
            self.check_process(sys.exc_info()[1])
            self._end()
            if not outcome:
                self._abort_all()
            del _runs[self.reactor]
            reactors.enter(before)
            for call in self.reactor.getDelayedCalls():
                call.cancel()
            for trigger in triggers:
                with suppress(ValueError):
                    self.reactor.removeSystemEventTrigger(trigger)
        if self._fatal is not None:
            raise self._fatal
        if not outcome:
            raise RuntimeError(f"backend {self.name!r}: the reactor was stopped before main ended")
        result = outcome[0]
        if isinstance(result, Failure):
            if interrupts.interrupted and result.check(CancelledError):
                raise KeyboardInterrupt
            error = result.value
            assert error is not None
            raise error.with_traceback(result.getTracebackObject())
        return result  # type: ignore[no-any-return]

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
        """Cancel ``main``."""
        if self._main is not None and not self._main.called:
            self._main.cancel()

    def interrupt_at_once(self) -> None:
        """End the reactor without waiting for ``main``."""
        self._fatal = self._fatal or KeyboardInterrupt()
        self._ended = True
        self._end()

    async def start(self) -> None:
        if self.reactor is None:
            self.reactor = reactors.current() or sys.modules.get("twisted.internet.reactor")
        if self.reactor is None or asyncio_task_runs():
            raise RuntimeError(f"backend {self.name!r}: no Twisted reactor is running here")
        if not self.reactor.running:
            running: Deferred[None] = Deferred()
            self.reactor.callWhenRunning(running.callback, None)
            await running
        if self._variant is not None and not reactors.of_variant(self.reactor, self._variant):
            raise RuntimeError(
                f"backend {self.name!r}: the reactor that runs here is "
                f"{type(self.reactor).__name__}"
            )

    async def stop(self, error: BaseException | None) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._channels:
            # Twisted releases an aborted socket in its next turn; TLS that is only closed waits for
            # its peer.
            for channel in list(self._channels):
                channel.abort()
            self._all_released = Deferred()
            await self._all_released
        if self._fatal is not None and self._main is None:
            raise self._fatal

    def fatal(self, error: BaseException) -> None:
        runner = self.of_run(self.reactor)
        if runner is not None:
            self._fatal = self._fatal or error
            runner._fatal = runner._fatal or error
            self.call_soon(runner.interrupt)
        else:
            _log.critical(
                "an event raised %s; the reactor stops", type(error).__name__, exc_info=error
            )
            if self.reactor.running:
                self.reactor.stop()

    # -- time, tasks, events -------------------------------------------------------------------

    def time(self) -> float:
        return time.monotonic()

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        # A queue of our own: the reactor orders its delayed calls by the wall clock.
        if not self._soon:
            self.reactor.callLater(0, self._turn)
        self._soon.append((function, args))

    def _turn(self) -> None:
        due, self._soon = self._soon, deque()
        for function, args in due:
            self.guarded(function, *args)

    def call_later(self, seconds: float, function: Callable[..., object], *args: object) -> _Timer:
        return _Timer(self.reactor.callLater(seconds, self.guarded_timer, function, *args))

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        self.reactor.callFromThread(self.guarded, function, *args)

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        self.call_soon(self._start_task, function, args)

    def _start_task(
        self, function: Callable[..., Awaitable[object]], args: tuple[object, ...]
    ) -> None:
        if self.left:
            return

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
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.fatal(error)
        else:
            _log.error("the task %r failed", function, exc_info=error)

    async def sleep(self, seconds: float) -> None:
        await deferLater(self.reactor, seconds)

    def create_event(self) -> _Event:
        return _Event(self.call_soon)

    # -- descriptors and names -----------------------------------------------------------------

    def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> _Descriptor:
        descriptor: _Descriptor = (_Writer if write else _Reader)(self, fd, ready)
        descriptor._add()
        return descriptor

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
        if not self._channels and self._all_released is not None:
            waiting, self._all_released = self._all_released, None
            self.call_soon(waiting.callback, None)


class _Interrupts:
    """SIGINT while our reactor runs: cancel ``main``, and the second time do not wait for it.

    The reactor's own handlers would stay bound to it after the run. A handler of the program's
    is left alone, as asyncio does.
    """

    def __init__(self, backend: TwistedBackend) -> None:
        self._backend = backend
        self._installed = False
        self._count = 0

    @property
    def interrupted(self) -> bool:
        """Whether SIGINT came."""
        return self._count > 0

    def __enter__(self) -> _Interrupts:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        backend = self._backend
        if backend.foreign is not None:
            # In a forked child the reactor does not run, and nothing else would end what does.
            raise KeyboardInterrupt
        end = backend.interrupt if self._count == 1 else backend.interrupt_at_once
        backend.reactor.callFromThread(end)
        if self._count > 2:
            # It is the program's own code that does not return to the reactor.
            raise KeyboardInterrupt

    def __exit__(self, *exception: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
