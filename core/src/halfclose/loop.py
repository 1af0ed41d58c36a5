"""What a framework must offer: everything that the author of a backend writes.

A backend is a subclass of `halfclose.Backend`, which is an `EventLoop`. Its author writes the
abstract methods of `EventLoop`, about a dozen, each a few lines long; connecting, listening,
closing and leaving are built on them and come with the class. The methods below the abstract ones
are for the author to use. docs/writing-a-backend.md goes through them one by one.

Every method is called in the loop's thread, but for `EventLoop.call_soon_threadsafe`.
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
"""An address family, such as ``socket.AF_INET``, and an address as the socket module has it."""


class TimerHandle(Interface):
    """What `EventLoop.call_later` gives."""

    def cancel(self) -> None:
        """Do not call the function. Idempotent; does nothing once the function was called."""


class Event(Interface):
    """What `EventLoop.create_event` gives: like ``anyio.Event`` and ``asyncio.Event``."""

    def set(self) -> None:
        """Wake every task that waits, and let later ones pass. Idempotent.

        It runs no code of a waiting task before it returns: protocols' verbs call it.
        """

    def is_set(self) -> bool:
        """Whether `set` was called."""

    async def wait(self) -> object:
        """Wait until `set` is called. Cancelling one task that waits affects no other."""


class Watch(Interface):
    """What `EventLoop.watch` gives."""

    def stop(self) -> None:
        """Stop watching, before the descriptor is closed. Idempotent.

        The function is not called any more, also where the loop has found the descriptor ready
        before.
        """


class EventLoop(ABC):
    """An event loop, with what a backend's author writes (abstract) and what he can use (not).

    :param name: the backend's full name, such as ``"mine+variant"``.
    :param options: what the program gave to `halfclose.run` or `halfclose.open_backend`.
    """

    capabilities: ClassVar[BackendCapabilities] = BackendCapabilities()
    """What it can do: everything, unless it declares otherwise."""

    option_names: ClassVar[frozenset[str]] = frozenset()
    """Names of options that only this backend has; any other unknown option is an error."""

    runs_inside: ClassVar[bool] = False
    """Whether `run` may be called while another event loop runs in the same thread.

    Only where this loop waits for nothing outside of the process, so that the other loop does not
    stand still for long.
    """

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.options = dict(options or {})
        self.left = False
        """Whether the backend has been left. From then on nothing that the loop was given is
        called, and nothing new can be begun."""
        self.foreign: int | None = None
        """In a child that was forked while the loop ran, the id of the parent process.

        The loop and everything in it belong to the parent then; None everywhere else.
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

        Where the framework runs in this thread already, refuse (LOOP-10).
        Make the backend as ``cls(name, options)`` before anything is started, so that a wrong
        option is told first, and run ``main`` inside ``async with backend``. SIGINT cancels
        ``main`` (LOOP-12). Leave no descriptor, thread, task or signal handler behind: the method
        is called again, also in another thread at the same time.

        :raises KeyboardInterrupt: on SIGINT, once ``main`` has cleaned up.
        :raises BaseException: whatever ``main`` raised, or was given to `fatal`. It is that very
            object, in no exception group.
        """

    @abstractmethod
    async def start(self) -> None:
        """Begin ``async with``: find the loop that runs in this thread, and the current task.

        :raises RuntimeError: the framework does not run in this thread.
        """

    @abstractmethod
    async def stop(self, error: BaseException | None) -> None:
        """End ``async with``: cancel the tasks that `start_soon` began, and release everything.

        All connections are closed or aborted when it is called, and `left` is true. Other
        backends may use the same loop, and go on (LOOP-09).

        :param error: the exception that ended the body; None if the body came to its end.
        :raises BaseException: what was given to `fatal`, if anything was. It is raised in place of
            *error*.
        """

    @abstractmethod
    def fatal(self, error: BaseException) -> None:
        """End the body of ``async with``: an event raised KeyboardInterrupt or SystemExit (ERR-05).

        Cancel the task that entered, so that `stop` or `run` can raise *error*. If the method is
        called twice, the first error counts (LOOP-11). A loop that is not ours to end, such as one
        that the program has started, is stopped, and *error* is logged.

        :param error: the KeyboardInterrupt or SystemExit.
        """

    # -- time and calls ------------------------------------------------------------------------

    @abstractmethod
    def time(self) -> float:
        """Seconds of a clock that never goes back."""

    @abstractmethod
    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call ``function(*args)`` in the next turn of the loop, in the order of the calls.

        It must not be called before the next turn (LOOP-01): what a protocol's verb causes is never
        told inside the verb (EVT-07). A call that is asked for in one turn belongs to the next.

        The function runs in a copy of the caller's context (`contextvars`), and so does what
        `call_later`, `call_soon_threadsafe` and `start_soon` are given (EVT-16). What it raises is
        logged and stops nothing (LOOP-07); `guarded` does that. Once the backend has been left
        nothing is called, and that is no error (ERR-14).
        """

    @abstractmethod
    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> TimerHandle:
        """Call ``function(*args)`` after *seconds*, unless the handle's ``cancel()`` prevents it.

        It may be late, and never early (LOOP-02). The same holds as for `call_soon`. It gives a
        handle also where the backend has been left.
        """

    @abstractmethod
    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        """`call_soon`, for any thread and for signal handlers; it wakes the loop (LOOP-03).

        Once the backend has been left it does nothing and raises nothing, also where the loop has
        ended or is closed: a thread may come late (ERR-14).
        """

    # -- tasks ---------------------------------------------------------------------------------

    @abstractmethod
    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run ``await function(*args)`` in a task of its own (LOOP-05).

        Leaving the backend cancels the task. What the task raises is logged by `report`; a
        KeyboardInterrupt or SystemExit goes to `fatal`. Where the task ends, call `check_process`.
        Once the backend has been left, no task is begun, and that is no error.
        """

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds*."""

    @abstractmethod
    def create_event(self) -> Event:
        """A new event, for which any number of tasks can wait (LOOP-04)."""

    # -- descriptors and names -----------------------------------------------------------------

    @abstractmethod
    def watch(self, fd: int, ready: Callable[[], object], *, write: bool = False) -> Watch:
        """Call *ready* whenever *fd* is readable, until told to stop (LOOP-06).

        It is level-triggered: *ready* is called again as long as the descriptor stays ready. An
        error or a hang-up on the descriptor counts as readiness. Reading and writing are watched
        by two calls of this method.

        While *ready* returns true, messages come so fast that sleeping would cost more than it
        saves: the loop should call *ready* again in its next turn, ready or not. A backend may
        ignore what *ready* returns; it is slower then, and still correct.

        :param write: watch for *fd* being writable instead.
        """

    @abstractmethod
    async def resolve(self, host: str, port: int) -> list[Address]:
        """Look up the stream addresses of *host*, in the framework's own way, best first.

        It is never given an address in place of a name. Nobody may have to wait for a lookup that
        cannot be cancelled.

        :raises OSError: the name has no address, as ``socket.gaierror`` is (LOOP-08).
        """

    @abstractmethod
    def adopt(self, sock: Any) -> Channel:
        """A channel over a connected, non-blocking socket, by the framework's own transport.

        The channel owns the socket from now on.

        :raises OSError: the framework cannot take the socket. The caller keeps it. Where a
            resource is missing (EMFILE), the caller tries again later; any other error means that
            the connection is lost.
        """

    # -- for the author to use -----------------------------------------------------------------

    def guarded(self, function: Callable[..., object], *args: object) -> object:
        """Call *function* so that nothing it raises stops the loop.

        KeyboardInterrupt and SystemExit go to `fatal`, everything else is logged by `report`. In a
        forked child the process ends afterwards (see `check_process`).

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
        """`guarded`, unless the backend has been left by the time that it is called.

        `call_later`, `call_soon` and `call_soon_threadsafe` can give it to the framework's loop.
        """
        if not self.left:
            self.guarded(function, *args)

    def report(
        self, error: BaseException, message: str, *args: object, level: int = logging.ERROR
    ) -> None:
        """Log *error*, which somebody's code raised and nobody caught.

        Every failure of an event, a factory, a task, a timer, a plugin or a channel is given to
        this method, once. It logs to the logger ``halfclose``, with the traceback. A backend can
        override it to tell its framework too. It must raise nothing.

        :param message: what failed; with *args*, as for ``logging``.
        """
        _log.log(level, message, *args, exc_info=error)

    def call_though_left(self, function: Callable[..., object], *args: object) -> bool:
        """`call_soon`, where the backend has been left but its loop goes on (PRD-05).

        A backend whose loop can outlive it overrides this. It is the one exception to the rule
        that nothing is called once the backend has been left (ERR-14).

        :returns: whether *function* will be called; here it never is.
        """
        return False

    def check_process(self, error: BaseException | None = None) -> None:
        """End this process if it was forked while the loop ran and has come back to the loop.

        Call it where a task has ended, and where a function that the loop calls returns without
        having gone through `guarded`. Anywhere but in a forked child it does nothing.

        :param error: the exception with which the task or function ended, if any.
        """
        if self.foreign is not None:
            forking.end(self, error)
