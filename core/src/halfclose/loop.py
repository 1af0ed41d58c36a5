"""`EventLoop`: the methods that the author of a backend writes for a framework.

A backend is a subclass of `halfclose.Backend`, which is an `EventLoop`. Its author writes the
abstract methods of `EventLoop`, about a dozen of a few lines each. Connecting, listening, closing
and leaving are built on them and are inherited. The methods that are not abstract are for the
author to use. docs/how-to/writing-a-backend.md goes through them one by one.

Every method is called in the loop's thread, except `EventLoop.call_soon_threadsafe`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, TypeAlias, TypeVar
from typing import Protocol as Interface

from . import forking
from .channel import BackendCapabilities, Channel

__all__ = ["Address", "Event", "EventLoop", "TimerHandle", "Watch"]

_log = logging.getLogger("halfclose")

T = TypeVar("T")

Address: TypeAlias = "tuple[int, Any]"
"""An address family, such as ``socket.AF_INET``, and an address of the form that the socket module
has for it."""


class TimerHandle(Interface):
    """A call that `EventLoop.call_later` has scheduled."""

    def cancel(self) -> None:
        """Do not call the function. Idempotent; does nothing once the function was called."""


class Event(Interface):
    """Something that happens once and that tasks wait for, like ``asyncio.Event``.

    `EventLoop.create_event` gives one.
    """

    def set(self) -> None:
        """Wake every task that waits. Tasks that call `wait` later do not wait. Idempotent.

        No waiting task may run before this returns, because a protocol's verb can be the caller.
        """

    def is_set(self) -> bool:
        """Whether `set` was called."""

    async def wait(self) -> object:
        """Wait until `set` is called. Cancelling one waiting task affects no other task."""


class Watch(Interface):
    """A descriptor that the loop watches. `EventLoop.watch` gives one."""

    def stop(self) -> None:
        """Stop watching. Called before the descriptor is closed. Idempotent.

        The function must not be called after this, even if the loop has already found the
        descriptor ready.
        """


class EventLoop(ABC):
    """An event loop of any framework.

    The author of a backend writes the abstract methods, and can use the others.

    :param name: the backend's full name, such as ``"mine+variant"``.
    :param options: what the program gave to `halfclose.run` or `halfclose.open_backend`.
    """

    capabilities: ClassVar[BackendCapabilities] = BackendCapabilities()
    """What the backend can do: everything, unless the subclass declares otherwise."""

    option_names: ClassVar[frozenset[str]] = frozenset()
    """Names of options that this backend has in addition to those of every backend."""

    runs_inside: ClassVar[bool] = False
    """Whether `run` may be called while another event loop runs in the same thread.

    Set it only if this loop waits for nothing outside the process, because the other loop stands
    still meanwhile.
    """

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.options: dict[str, Any] = dict(options or {})
        self.left = False
        """Whether the backend has been left. From then on the loop calls no function that it was
        given before, and begins nothing new."""
        self.foreign: int | None = None
        """The id of the parent process, in a child that was forked while the loop ran; else None.

        In such a child the loop and everything in it belong to the parent.
        """

    # -- running -------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        """Start the framework, run ``main(backend, *args)`` in it, stop it, return the result.

        If the framework runs in this thread already, raise RuntimeError (LOOP-10). Make the backend
        by ``cls(name, options)`` before anything is started, so that a wrong option is an error
        before anything else happens, and run ``main`` inside ``async with backend``. SIGINT cancels
        ``main`` (LOOP-12). Leave no descriptor, thread, task or signal handler behind: the method
        can be called again, also in another thread at the same time.

        :param name: the backend's full name.
        :param options: what the program gave to `halfclose.run`.
        :param main: the program's asynchronous function.
        :param args: what *main* gets after the backend.
        :raises KeyboardInterrupt: on SIGINT, once ``main`` has cleaned up.
        :raises BaseException: whatever ``main`` raised, or `fatal` was given. It is the same
            object, in no exception group.
        """

    @abstractmethod
    async def start(self) -> None:
        """Find the loop that runs in this thread, and the current task. ``async with`` begins.

        :raises RuntimeError: the framework does not run in this thread.
        """

    @abstractmethod
    async def stop(self, error: BaseException | None) -> None:
        """Cancel the tasks that `start_soon` began, and release everything. ``async with`` ends.

        When it is called, all connections are closed or aborted, and `left` is true. Other backends
        may use the same loop, and must not be affected (LOOP-09).

        :param error: the exception that ended the body; None if there was none.
        :raises BaseException: what `fatal` was given, if it was called. It replaces *error*.
        """

    @abstractmethod
    def fatal(self, error: BaseException) -> None:
        """End the body of ``async with``, since an event raised *error* (ERR-05).

        Cancel the task that entered the backend, so that `stop` or `run` can raise *error*. If the
        method is called twice, the first error counts (LOOP-11). If no task of ours can be
        cancelled, because the program itself has started the loop, log *error* and stop the loop.

        :param error: the KeyboardInterrupt or SystemExit.
        """

    # -- time and calls ------------------------------------------------------------------------

    @abstractmethod
    def time(self) -> float:
        """Seconds of a clock that never goes back."""

    @abstractmethod
    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function(*args)`` in the next turn of the loop, in the order of the calls.

        It must not be called earlier (LOOP-01), because an event that a protocol's verb causes is
        never delivered inside that verb (EVT-07).

        The function runs in a copy of the caller's context (``contextvars``). The same is true for
        `call_later`, `call_soon_threadsafe` and `start_soon` (EVT-16). An exception that it raises
        is logged and stops nothing else (LOOP-07); `guarded` does that. Once the backend has been
        left, nothing is called, and nothing is raised either (ERR-14).

        :param function: what to call, in the loop's thread.
        :param args: its arguments.
        """

    @abstractmethod
    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> TimerHandle:
        """Call ``function(*args)`` after *seconds*, unless the handle's ``cancel()`` is called.

        It may be called late, but never early (LOOP-02). Context, exceptions and a backend that has
        been left are as for `call_soon`; a handle is always returned.

        :param seconds: how long to wait, 0 or more.
        :param function: what to call, in the loop's thread.
        :param args: its arguments.
        """

    @abstractmethod
    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        """Do what `call_soon` does, from any thread or signal handler, and wake the loop (LOOP-03).

        Once the backend has been left it does nothing and raises nothing, even if the loop has
        ended or is closed, because a thread cannot know that in time (ERR-14).

        :param function: what to call, in the loop's thread.
        :param args: its arguments.
        """

    # -- tasks ---------------------------------------------------------------------------------

    @abstractmethod
    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run ``await function(*args)`` in a task of its own (LOOP-05).

        Leaving the backend cancels the task. An exception of the task is logged by `report`; a
        KeyboardInterrupt or SystemExit is given to `fatal`. Call `check_process` when the task has
        ended. Once the backend has been left, no task is begun, and nothing is raised.

        :param function: an asynchronous function.
        :param args: its arguments.
        """

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds*.

        :param seconds: how long to wait, 0 or more. If the call is cancelled, nothing is left
            behind.
        """

    @abstractmethod
    def create_event(self) -> Event:
        """A new event, for which any number of tasks can wait (LOOP-04)."""

    # -- descriptors and names -----------------------------------------------------------------

    @abstractmethod
    def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> Watch:
        """Call *ready* whenever *fd* is readable, until `Watch.stop` is called (LOOP-06).

        It is level-triggered: *ready* is called again as long as the descriptor stays ready. An
        error or a hang-up on the descriptor counts as readiness. Reading and writing are watched
        by two calls of this method.

        If *ready* returns true, messages come so fast that sleeping would cost more than it saves.
        The loop should call *ready* again in its next turn then, whether the descriptor is ready or
        not. A backend that ignores what *ready* returns is correct too, but slower.

        :param fd: the descriptor, which stays the caller's.
        :param ready: what to call, in the loop's thread.
        :param write: watch for *fd* being writable instead.
        """

    @abstractmethod
    async def resolve(self, host: str, port: int) -> list[Address]:
        """Look up the stream addresses of *host*, in the framework's own way, best first.

        *host* is always a name, never an address. If the lookup itself cannot be cancelled, a task
        that is cancelled must not wait for it.

        :param host: the name.
        :param port: the port that the addresses are to have.
        :raises OSError: the name has no address, such as ``socket.gaierror`` (LOOP-08).
        """

    @abstractmethod
    def adopt(self, sock: Any) -> Channel:
        """A channel over a connected, non-blocking socket, made of the framework's own transport.

        The channel owns the socket from now on.

        :param sock: the socket.
        :raises OSError: the framework cannot take the socket, which stays the caller's. If a
            resource is missing (EMFILE), the caller tries again later; any other error means that
            the connection is lost.
        """

    # -- for the author to use -----------------------------------------------------------------

    def guarded(self, function: Callable[..., object], *args: object) -> object:
        """Call *function* so that no exception of it stops the loop.

        KeyboardInterrupt and SystemExit are given to `fatal`, everything else is logged by
        `report`. If *function* has forked, the child ends afterwards (see `check_process`).

        :param function: what to call.
        :param args: its arguments.
        :returns: what the function returned; None if it raised.
        """
        result = None
        try:
            result = function(*args)
        except (KeyboardInterrupt, SystemExit) as error:
            self.fatal(error)
        except BaseException as error:
            self.check_process(error)
            self.report(error, "%r failed", function)
        if self.foreign is not None:
            self.check_process()
        return result

    def guarded_timer(self, function: Callable[..., object], *args: object) -> None:
        """Call *function* by `guarded`, unless the backend has been left.

        `call_later`, `call_soon` and `call_soon_threadsafe` can give it to the framework's loop.

        :param function: what to call.
        :param args: its arguments.
        """
        if not self.left:
            self.guarded(function, *args)

    def report(
        self, error: BaseException, message: str, *args: object, level: int = logging.ERROR
    ) -> None:
        """Log *error*, which was raised by an event, a factory, a task, a timer, a plugin or a
        channel.

        It is called once for each such error, and logs to the logger ``halfclose``, with the
        traceback. A backend can override it to tell its framework too. It must raise nothing.

        :param error: what was raised.
        :param message: what failed; with *args*, as for ``logging``.
        :param args: what is put into *message*.
        :param level: the level of the log.
        """
        _log.log(level, message, *args, exc_info=error)

    def call_though_left(self, function: Callable[..., object], *args: object) -> bool:
        """Do what `call_soon` does, after the backend has been left, if its loop goes on (PRD-05).

        A backend whose loop can outlive it overrides this. It is the one exception to the rule
        that nothing is called once the backend has been left (ERR-14).

        :param function: what to call, in the loop's thread.
        :param args: its arguments.
        :returns: whether *function* will be called. Unless overridden, it never is.
        """
        return False

    def check_process(self, error: BaseException | None = None) -> None:
        """End this process if it is a child that was forked while the loop ran.

        Such a child must not go on in its parent's loop. Call it when a task has ended, and when a
        function that the loop has called without `guarded` has returned. In any other process it
        does nothing.

        :param error: the exception with which the task or function ended, if any.
        """
        if self.foreign is not None:
            forking.end(self, error)
