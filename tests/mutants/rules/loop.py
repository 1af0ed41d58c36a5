"""Mistakes about the loop itself, on which all the rest stands."""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from halfclose.memory import backend as memory_backend
from halfclose.memory.backend import MemoryBackend
from halfclose_anyio.backend import AnyioBackend
from mutants.mutant import mutant
from mutants.patching import Patch
from mutants.wrapping import around, before

Function = Callable[..., Any]

# -- LOOP-01: call_soon ----------------------------------------------------------------------------


@mutant("LOOP-01")
def the_last_call_comes_first(patch: Patch) -> None:
    """What waits for the next turn is a stack."""

    def call_soon(real: Any, backend: MemoryBackend, function: Function, *args: object) -> None:
        stack.append(partial(backend.guarded_timer, function, *args))
        if len(stack) == 1:
            real(turn)

    def turn() -> None:
        calls = stack[::-1]
        stack.clear()
        for call in calls:
            call()

    stack: list[Function] = []
    around(patch, MemoryBackend, "call_soon", call_soon)


@mutant("LOOP-01")
def a_call_is_made_at_once(patch: Patch) -> None:
    """call_soon does not wait for a turn."""
    around(
        patch, MemoryBackend, "call_soon", lambda real, backend, function, *args: function(*args)
    )


@mutant("LOOP-01", on="tcp")
def calls_have_every_turn(patch: Patch) -> None:
    """A turn is over when no call is left, also of those that it asks for itself."""

    def call_soon(real: Any, backend: AnyioBackend, function: Function, *args: object) -> None:
        queue.append(partial(backend.guarded_timer, function, *args))
        if len(queue) == 1:
            real(turn)

    def turn() -> None:
        while queue:
            queue[0]()
            queue.popleft()

    queue: deque[Function] = deque()
    around(patch, AnyioBackend, "call_soon", call_soon)


# -- LOOP-02: call_later ---------------------------------------------------------------------------


@mutant("LOOP-02")
def timers_are_early(patch: Patch) -> None:
    """A timer is called when most of its time is over."""

    def call_later(real: Any, backend: MemoryBackend, seconds: float, *args: object) -> object:
        return real(0.8 * seconds, *args)

    around(patch, MemoryBackend, "call_later", call_later)


@mutant("LOOP-02")
def a_cancelled_timer_is_called(patch: Patch) -> None:
    """To cancel a timer does nothing."""

    def call_later(real: Any, backend: MemoryBackend, *args: object) -> object:
        real(*args)
        return _Uncancellable()

    around(patch, MemoryBackend, "call_later", call_later)


@mutant("LOOP-02")
def a_timer_that_is_due_cannot_be_cancelled(patch: Patch) -> None:
    """A timer of no seconds is a call, of which there is no handle."""

    def call_later(real: Any, backend: MemoryBackend, seconds: float, *args: Any) -> object:
        if seconds:
            return real(seconds, *args)
        backend.call_soon(*args)
        return _Uncancellable()

    around(patch, MemoryBackend, "call_later", call_later)


@mutant("LOOP-02")
def a_timer_of_no_seconds_is_called_at_once(patch: Patch) -> None:
    """What has nothing to wait for is called inside of call_later."""

    def call_later(
        real: Any, backend: MemoryBackend, seconds: float, function: Function, *args: object
    ) -> object:
        if seconds:
            return real(seconds, function, *args)
        backend.guarded(function, *args)
        return _Uncancellable()

    around(patch, MemoryBackend, "call_later", call_later)


@mutant("LOOP-02")
def a_timer_is_called_again(patch: Patch) -> None:
    """A timer that was called is due once more."""

    def call_later(
        real: Any, backend: MemoryBackend, seconds: float, function: Function, *args: object
    ) -> object:
        def twice() -> None:
            real(seconds, function, *args)
            function(*args)

        return real(seconds, twice)

    around(patch, MemoryBackend, "call_later", call_later)


@mutant("LOOP-02")
def the_clock_is_set_back(patch: Patch) -> None:
    """The clock is one that somebody sets."""

    def time(real: Any, backend: MemoryBackend) -> float:
        looks.append(0)
        now: float = real()
        return now - 1e-6 * (len(looks) % 100)

    looks: list[int] = []
    around(patch, MemoryBackend, "time", time)


class _Uncancellable:
    def cancel(self) -> None:
        """Nothing."""


# -- LOOP-03: call_soon_threadsafe -----------------------------------------------------------------


@mutant("LOOP-03", on="tcp", silent="what another thread had called")
def what_a_thread_gives_is_lost(patch: Patch) -> None:
    """Only the loop's own thread can give it something."""

    def call(real: Any, backend: AnyioBackend, *args: object) -> None:
        if threading.current_thread() is threading.main_thread():
            real(*args)

    around(patch, AnyioBackend, "call_soon_threadsafe", call)


@mutant("LOOP-03", on="tcp")
def what_a_thread_gives_is_called_there(patch: Patch) -> None:
    """call_soon_threadsafe calls in the thread that calls it, and then wakes the loop."""

    def call(real: Any, backend: AnyioBackend, function: Function, *args: object) -> None:
        if threading.current_thread() is threading.main_thread():
            real(function, *args)
        else:
            function(*args)
            real(lambda: None)

    around(patch, AnyioBackend, "call_soon_threadsafe", call)


@mutant("LOOP-03")
def what_is_threadsafe_is_called_at_once(patch: Patch) -> None:
    """In the loop's thread there is nothing to be safe from."""

    def call(real: Any, backend: MemoryBackend, function: Function, *args: object) -> None:
        backend.guarded_timer(function, *args)

    around(patch, MemoryBackend, "call_soon_threadsafe", call)


@mutant("LOOP-03", on="tcp", silent="what a signal handler had called")
def what_a_signal_handler_gives_wakes_nobody(patch: Patch) -> None:
    """Signals interrupt the loop's own thread, so the loop is thought to be awake."""

    def call(real: Any, backend: AnyioBackend, *args: Any) -> None:
        in_a_thread = threading.current_thread() is not threading.main_thread()
        if in_a_thread or signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL:
            real(*args)
        else:
            backend.call_soon(*args)

    around(patch, AnyioBackend, "call_soon_threadsafe", call)


# -- LOOP-04: events -------------------------------------------------------------------------------


class _Event:
    """An event that is made of real ones, one for each task that waits."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._waiting: list[Any] = []
        self._set = False

    def set(self) -> None:
        self._set = True
        for one in self._waiting:
            one.set()

    def is_set(self) -> bool:
        return self._set

    async def wait(self) -> None:
        one = self._make()
        if self._set:
            one.set()
        self._waiting.append(one)
        await one.wait()


def _events(patch: Patch, event: type[_Event]) -> None:
    around(patch, MemoryBackend, "create_event", lambda real, backend: event(real))


@mutant("LOOP-04")
def one_waiter_is_woken(patch: Patch) -> None:
    """set wakes who waits longest, as notify does of a condition."""

    class Event(_Event):
        def set(self) -> None:
            self._set = True
            if self._waiting:
                self._waiting[-1].set()

    _events(patch, Event)


@mutant("LOOP-04")
def who_comes_later_waits_for_the_next_time(patch: Patch) -> None:
    """set wakes who waits now, and no more."""

    class Event(_Event):
        async def wait(self) -> None:
            one = self._make()
            self._waiting.append(one)
            await one.wait()

    _events(patch, Event)


@mutant("LOOP-04")
def a_cancelled_waiter_wakes_the_others(patch: Patch) -> None:
    """All wait for one future, and what ends that for one ends it for all."""

    class Event(_Event):
        async def wait(self) -> None:
            try:
                await super().wait()
            finally:
                self.set()

    _events(patch, Event)


@mutant("LOOP-04")
def a_fresh_event_is_set(patch: Patch) -> None:
    """An event that nobody has waited for tells that it is set."""

    class Event(_Event):
        def is_set(self) -> bool:
            return self._set or not self._waiting

    _events(patch, Event)


# -- LOOP-05: tasks --------------------------------------------------------------------------------


@mutant("LOOP-05", silent="the end of two tasks that sleep")
def one_task_after_the_other(patch: Patch) -> None:
    """A task is begun when the one before it has ended."""

    def start_soon(real: Any, backend: MemoryBackend, *begun: Any) -> None:
        queue = queues.setdefault(backend, deque())
        queue.append(begun)
        if len(queue) == 1:
            real(work, queue)

    async def work(queue: deque[Any]) -> None:
        while queue:
            function, *args = queue[0]
            try:
                await function(*args)
            finally:
                queue.popleft()

    queues: WeakKeyDictionary[MemoryBackend, deque[Any]] = WeakKeyDictionary()
    around(patch, MemoryBackend, "start_soon", start_soon)


@mutant("LOOP-05")
def sleep_is_short(patch: Patch) -> None:
    """sleep returns when most of its time is over."""

    async def sleep(real: Any, backend: MemoryBackend, seconds: float) -> None:
        await real(0.8 * seconds)

    around(patch, MemoryBackend, "sleep", sleep)


# -- LOOP-06: watch --------------------------------------------------------------------------------


def _watches(patch: Patch, watch: Callable[..., Any]) -> None:
    """Have ``watch(real, backend, fd, ready, write)`` for each socket, and not for the poller."""

    def wrapper(
        real: Any, backend: AnyioBackend, fd: int, ready: Function, *, write: bool = False
    ) -> Any:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            return watch(real, backend, fd, ready, write)
        return real(fd, ready, write=write)

    around(patch, AnyioBackend, "watch", wrapper)


@mutant("LOOP-06", on="tcp")
def edges_are_watched(patch: Patch) -> None:
    """A descriptor that stays ready is told once."""

    def watch(real: Any, backend: AnyioBackend, fd: int, ready: Function, write: bool) -> Any:
        def once() -> object:
            made.stop()
            return ready()

        made = real(fd, once, write=write)
        return made

    _watches(patch, watch)


@mutant("LOOP-06", on="tcp")
def a_stopped_watch_ends_its_round(patch: Patch) -> None:
    """What the loop has found to be ready is called, also where it was stopped since."""

    class Late:
        def __init__(self, backend: AnyioBackend, watch: Any) -> None:
            self._backend = backend
            self._watch = watch

        def stop(self) -> None:
            self._backend.call_soon(self._watch.stop)

    def watch(real: Any, backend: AnyioBackend, fd: int, ready: Function, write: bool) -> Any:
        return Late(backend, real(fd, ready, write=write))

    _watches(patch, watch)


@mutant("LOOP-06", on="tcp")
def a_hang_up_is_no_input(patch: Patch) -> None:
    """Where nothing can be read, a descriptor is not readable."""

    def watch(real: Any, backend: AnyioBackend, fd: int, ready: Function, write: bool) -> Any:
        def where_there_is_input() -> object:
            with socket.socket(fileno=os.dup(fd)) as sock:
                try:
                    there = sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                except BlockingIOError:
                    there = b""
            return ready() if write or there else None

        return real(fd, where_there_is_input, write=write)

    _watches(patch, watch)


@mutant("LOOP-06", on="tcp")
def writing_is_not_watched(patch: Patch) -> None:
    """What is to be watched for writing is watched for reading, as everything is."""

    def watch(real: Any, backend: AnyioBackend, fd: int, ready: Function, write: bool) -> Any:
        return real(fd, ready)

    _watches(patch, watch)


# -- LOOP-07: what fails is logged -----------------------------------------------------------------


@mutant("LOOP-07")
def what_a_task_raises_is_lost(patch: Patch) -> None:
    """Nobody asks a task for what it has raised."""

    def start_soon(
        real: Any, backend: MemoryBackend, function: Callable[..., Awaitable[object]], *args: object
    ) -> None:
        async def quiet() -> None:
            with suppress(Exception):
                await function(*args)

        real(quiet)

    around(patch, MemoryBackend, "start_soon", start_soon)


@mutant("LOOP-07")
def what_a_timer_raises_is_told_twice(patch: Patch) -> None:
    """Who calls a timer tells what it raises, and so does the loop."""

    def call_later(
        real: Any, backend: MemoryBackend, seconds: float, function: Function, *args: object
    ) -> object:
        def told() -> None:
            try:
                function(*args)
            except Exception as error:
                backend.report(error, "a timer failed")
                raise

        return real(seconds, told)

    around(patch, MemoryBackend, "call_later", call_later)


@mutant("LOOP-07", on="tcp")
def a_watch_that_fails_is_stopped(patch: Patch) -> None:
    """A descriptor whose function has raised is not watched any more."""

    def watch(real: Any, backend: AnyioBackend, fd: int, ready: Function, write: bool) -> Any:
        def strict() -> object:
            try:
                return ready()
            except BaseException:
                made.stop()
                raise

        made = real(fd, strict, write=write)
        return made

    _watches(patch, watch)


# -- LOOP-08: resolve ------------------------------------------------------------------------------


@mutant("LOOP-08", on="tcp")
def an_unknown_name_has_no_addresses(patch: Patch) -> None:
    """A lookup that fails gives an empty list."""

    async def resolve(real: Any, backend: AnyioBackend, host: str, port: int) -> Any:
        try:
            return await real(host, port)
        except OSError:
            return []

    around(patch, AnyioBackend, "resolve", resolve)


@mutant("LOOP-08", on="tcp")
def a_lookup_raises_something_of_its_own(patch: Patch) -> None:
    """The framework's exception comes out of resolve."""

    async def resolve(real: Any, backend: AnyioBackend, host: str, port: int) -> Any:
        try:
            return await real(host, port)
        except OSError as error:
            raise LookupError(str(error)) from None

    around(patch, AnyioBackend, "resolve", resolve)


@mutant("LOOP-08", on="tcp")
def addresses_have_no_port(patch: Patch) -> None:
    """resolve gives what the host's addresses are, and leaves the port to others."""

    async def resolve(real: Any, backend: AnyioBackend, host: str, port: int) -> Any:
        return await real(host, 0)

    around(patch, AnyioBackend, "resolve", resolve)


# -- LOOP-09: leaving ------------------------------------------------------------------------------


@mutant("LOOP-09")
def tasks_belong_to_the_loop(patch: Patch) -> None:
    """What a backend begins goes on for as long as the loop does."""

    def start_soon(real: Any, backend: MemoryBackend, *begun: Any) -> None:
        first = owners.setdefault(backend.network, backend)
        (real if first is backend else first.start_soon)(*begun)

    owners: WeakKeyDictionary[Any, MemoryBackend] = WeakKeyDictionary()
    around(patch, MemoryBackend, "start_soon", start_soon)


@mutant("LOOP-09")
def timers_outlive_their_backend(patch: Patch) -> None:
    """What call_later is given is called, whether its backend was left or not."""

    def call_later(
        real: Any, backend: MemoryBackend, seconds: float, function: Function, *args: object
    ) -> object:
        return backend.network.scheduler.call_later(seconds, backend.guarded, function, *args)

    around(patch, MemoryBackend, "call_later", call_later)


@mutant("LOOP-09")
def leaving_cancels_every_task(patch: Patch) -> None:
    """All tasks of the loop are cancelled, whoever has begun them."""

    def start_soon(
        real: Any, backend: MemoryBackend, function: Callable[..., Awaitable[object]], *args: object
    ) -> None:
        async def noted() -> None:
            tasks.append(backend.network.scheduler.current)
            await function(*args)

        real(noted)

    def stop(backend: MemoryBackend, error: object) -> None:
        for task in tasks:
            task.cancel()

    tasks: list[Any] = []
    around(patch, MemoryBackend, "start_soon", start_soon)
    before(patch, MemoryBackend, "stop", stop)


# -- LOOP-10: run ----------------------------------------------------------------------------------


def _runs(patch: Patch, wrapper: Callable[..., Any]) -> None:
    """Have ``wrapper(real)`` for each run of the backend in memory."""
    real = MemoryBackend.run
    patch.put(MemoryBackend, "run", classmethod(lambda cls, *args: wrapper(partial(real, *args))))


@mutant("LOOP-10")
def run_gives_nothing(patch: Patch) -> None:
    """What main gives is its own affair."""

    def run(real: Callable[[], object]) -> None:
        real()

    _runs(patch, run)


@mutant("LOOP-10")
def run_inside_of_run(patch: Patch) -> None:
    """Where a loop runs already, another is run inside of it."""
    patch.put(memory_backend, "running", lambda: None)


# -- LOOP-11: exceptions that end the program ------------------------------------------------------


@mutant("LOOP-11")
def what_ends_a_program_only_ends_a_task(patch: Patch) -> None:
    """KeyboardInterrupt in a task is an error as all others."""

    def start_soon(
        real: Any, backend: MemoryBackend, function: Callable[..., Awaitable[object]], *args: object
    ) -> None:
        async def harmless() -> None:
            try:
                await function(*args)
            except (KeyboardInterrupt, SystemExit) as error:
                backend.report(error, "a task failed")

        real(harmless)

    around(patch, MemoryBackend, "start_soon", start_soon)


@mutant("LOOP-11")
def what_ends_a_program_only_ends_a_timer(patch: Patch) -> None:
    """SystemExit in a timer is an error as all others."""

    def call_later(
        real: Any, backend: MemoryBackend, seconds: float, function: Function, *args: object
    ) -> object:
        def harmless() -> None:
            try:
                function(*args)
            except SystemExit as error:
                backend.report(error, "a timer failed")

        return real(seconds, harmless)

    around(patch, MemoryBackend, "call_later", call_later)


@mutant("LOOP-11")
def the_last_that_ends_the_program_counts(patch: Patch) -> None:
    """A second KeyboardInterrupt or SystemExit takes the place of the first."""
    before(patch, MemoryBackend, "fatal", lambda backend, error: setattr(backend, "_fatal", None))


# -- LOOP-12: SIGINT -------------------------------------------------------------------------------


@mutant("LOOP-12")
def the_handler_of_sigint_stays(patch: Patch) -> None:
    """Whoever runs next finds another handler."""

    def run(real: Callable[[], object]) -> object:
        def handler(*_: object) -> None:
            raise KeyboardInterrupt

        try:
            return real()
        finally:
            signal.signal(signal.SIGINT, handler)

    _runs(patch, run)


@mutant("LOOP-12")
def sigint_is_ignored(patch: Patch) -> None:
    """A program that runs is not interrupted."""

    def run(real: Callable[[], object]) -> object:
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return real()
        finally:
            signal.signal(signal.SIGINT, handler)

    _runs(patch, run)
