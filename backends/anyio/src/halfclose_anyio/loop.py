"""What each event loop has a way of its own for: tasks, calls, timers and descriptors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from halfclose import Backend, Event, TimerHandle, Watch

__all__ = ["FATAL", "Loop", "NoTimer"]

FATAL = (KeyboardInterrupt, SystemExit)


class NoTimer:
    """The handle of a call that will not be made: the backend was left before."""

    def cancel(self) -> None:
        """Nothing is to be cancelled."""


class Loop(ABC):
    """One running event loop, entered and left with its backend.

    Every function that it calls is guarded: it raises nothing. None of these raises because the
    backend has been left or the event loop is closed: they do nothing then.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @abstractmethod
    def runs_here(self) -> bool:
        """Whether it is this event loop that runs the caller."""

    @abstractmethod
    def has_ended(self) -> bool:
        """Whether it runs nowhere: it may be closed, or stopped."""

    @abstractmethod
    async def enter(self) -> None:
        """Begin, in the task that enters the backend. No cancellation interrupts it."""

    @abstractmethod
    def leaving(self) -> None:
        """The running task is about to leave the backend, and will wait for its connections."""

    @abstractmethod
    async def leave(self, error: BaseException | None) -> None:
        """Cancel the tasks and wait for them, unless it has ended and another runs here.

        :param error: what ended the body of ``async with``, if it did not end by itself.
        :raises KeyboardInterrupt: or SystemExit, if that is what `fatal` was given.
        :raises RuntimeError: it was entered in another task, and this loop cannot have that.
        """

    @abstractmethod
    def fatal(self, error: BaseException) -> None:
        """End the body of ``async with``, so that `leave` can raise *error*."""

    @abstractmethod
    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run ``await function(*args)`` as a task, in a copy of the context of this call."""

    def spawn(self, function: Callable[..., Awaitable[object]], *args: object) -> None:
        """`start_soon`, for a task of our own."""
        self.start_soon(function, *args)

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    def create_event(self) -> Event: ...

    @abstractmethod
    def time(self) -> float: ...

    @abstractmethod
    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Call in the next turn, in the context of this call, like the two below."""

    @abstractmethod
    def call_though_left(self, function: Callable[..., object], *args: object) -> bool:
        """See `Backend.call_though_left`."""

    @abstractmethod
    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None: ...

    @abstractmethod
    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> TimerHandle: ...

    @abstractmethod
    def watch(self, fd: int, ready: Callable[[], object], write: bool) -> Watch: ...

    def check_watchable(self, fd: int) -> None:  # noqa: B027 - most find out by themselves
        """Make sure that the loop can watch *fd*, where it would not tell that it cannot.

        :raises OSError: the system has no room to watch one more (ENOSPC, ENOMEM).
        """
