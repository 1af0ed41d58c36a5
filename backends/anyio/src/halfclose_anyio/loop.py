"""What asyncio and trio do in different ways: tasks, calls, timers and descriptors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from halfclose import Backend, Event, TimerHandle, Watch

__all__ = ["FATAL", "Loop", "NoTimer"]

FATAL = (KeyboardInterrupt, SystemExit)
"""Exceptions that end the program when an event, a call or a task raises them."""


class NoTimer:
    """The handle of a call that will never be made, because the backend has been left."""

    def cancel(self) -> None:
        """Does nothing: there is no call to cancel."""


class Loop(ABC):
    """One running event loop, entered and left with its backend.

    It calls every function through `Backend.guarded`, so that nothing which a function raises stops
    the event loop. Once the backend has been left or the event loop is closed, the methods do
    nothing and raise nothing (ERR-14).
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @abstractmethod
    def runs_here(self) -> bool:
        """Whether the caller runs in this event loop."""

    @abstractmethod
    def has_ended(self) -> bool:
        """Whether the event loop runs no more, because it was stopped or closed."""

    @abstractmethod
    async def enter(self) -> None:
        """Begin to serve the backend, in the task that enters it. It cannot be cancelled."""

    @abstractmethod
    def leaving(self) -> None:
        """Note that the running task leaves the backend, before it waits for connections.

        From now on a fatal event has to end this task.
        """

    @abstractmethod
    async def leave(self, error: BaseException | None) -> None:
        """Cancel the backend's tasks and wait for their end.

        If this event loop has ended, it does not wait.

        :param error: the exception that ended the body of ``async with``, if one did.
        :raises KeyboardInterrupt: `fatal` was given it.
        :raises SystemExit: likewise.
        :raises RuntimeError: the backend was entered in another task or scope, and this event loop
            requires the same one.
        """

    @abstractmethod
    def fatal(self, error: BaseException) -> None:
        """Interrupt the body of ``async with``, so that `leave` can raise *error* (ERR-05)."""

    @abstractmethod
    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run ``await function(*args)`` as a task, in a copy of the context of this call."""

    def spawn(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """`start_soon`, for a task of the backend's own.

        Its function runs even if the backend is left before the task's first turn, because the
        task has a connection to release.
        """
        self.start_soon(function, *args)

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """See `Backend.sleep`."""

    @abstractmethod
    def create_event(self) -> Event:
        """See `Backend.create_event`."""

    @abstractmethod
    def time(self) -> float:
        """See `Backend.time`."""

    @abstractmethod
    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call in the next turn, in a copy of the caller's context (LOOP-01, EVT-16)."""

    @abstractmethod
    def call_though_left(self, function: Callable[..., object], *args: object) -> bool:
        """See `Backend.call_though_left`."""

    @abstractmethod
    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        """`call_soon`, for any thread and for signal handlers (LOOP-03)."""

    @abstractmethod
    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> TimerHandle:
        """Call after *seconds*, in a copy of the caller's context (LOOP-02, EVT-16)."""

    @abstractmethod
    def watch(self, fd: int, ready: Callable[[], object], write: bool) -> Watch:
        """See `Backend.watch`."""

    def check_watchable(self, fd: int) -> None:  # noqa: B027 - most loops raise it by themselves
        """Make sure that the event loop can watch *fd*; for loops that would fail silently.

        :raises OSError: the system has no room to watch one more (ENOSPC, ENOMEM).
        """
