"""Watches many descriptors in any event loop, and calls each one's owner when it is ready.

`EpollPoller` gives the loop a single descriptor to watch, its epoll instance. `WatchPoller`, for
platforms without epoll, has the loop watch each descriptor.
"""

from __future__ import annotations

import os
import select
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

from ..loop import EventLoop, Watch
from .busy_polling import BUSY_POLL, BusyPolling

__all__ = [
    "END",
    "ERROR",
    "READ",
    "WRITE",
    "EpollPoller",
    "Polled",
    "Poller",
    "Registration",
    "WatchPoller",
]

# The same numbers as epoll and poll use, so that no event has to be translated.
READ = 0x001
WRITE = 0x004
ERROR = 0x008
END = 0x2000
"""Comes with READ: the peer has ended its half, and its end of stream follows the input."""

_EDGE = 1 << 31
_BATCH = 128

_MANY_READY = 16
"""If at least so many descriptors are ready at once, each is served only briefly."""


Handler = Callable[[int], None]
Broken = Callable[[Exception], None]


class Polled(ABC):
    """One descriptor that a poller watches; a subclass says what happens when it is ready.

    :param fd: the descriptor, which stays open until `stop` is called.
    :raises PermissionError: the descriptor cannot be watched because it is always ready, as a
        regular file is. Some pollers find that out only in `want`.
    """

    __slots__ = ("_fd", "_poller", "_wanted")

    def __init__(self, poller: Poller, fd: int) -> None:
        self._poller = poller
        self._fd = fd
        self._wanted: int | None = None
        poller.add(fd, self)

    @abstractmethod
    def ready(self, events: int) -> None:
        """Called when the descriptor is ready for *events*, a sum of READ, WRITE, ERROR and END.

        The sum is 0 if the peer has only hung up. END comes with READ, from pollers that can tell.
        A call may be spurious: the descriptor may not be ready after all.
        """

    @abstractmethod
    def broken(self, error: Exception) -> None:
        """Called after `ready` has raised *error*. The descriptor is not watched any more."""

    @property
    def bulk(self) -> bool:
        """Whether it carries bulk data now, rather than small messages that somebody waits for."""
        return False

    def want(self, events: int) -> None:
        """Watch for *events*, a sum of READ and WRITE. With 0, at most an error is told."""
        if events != self._wanted and self._fd >= 0:
            self._poller.want(self._fd, self._wanted, events)
            self._wanted = events

    def stop(self) -> None:
        """Stop watching. To be called before the descriptor is closed. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._poller.drop(fd, self._wanted)

    def detach(self) -> None:
        """Forget the poller, which is closed, so that `stop` does nothing."""
        self._fd = -1


class Registration(Polled):
    """A watched descriptor whose events go to two functions; see `Poller.register`."""

    __slots__ = ("_broken", "_handler")

    def __init__(self, poller: Poller, fd: int, handler: Handler, broken: Broken) -> None:
        self._handler = handler
        self._broken = broken
        super().__init__(poller, fd)

    def ready(self, events: int) -> None:
        self._handler(events)

    def broken(self, error: Exception) -> None:
        self._broken(error)


class Poller(ABC):
    """Watches descriptors, and calls `Polled.ready` of those that are ready."""

    many_ready = False
    """Whether so many descriptors are ready in this turn that each should be served briefly."""

    def __init__(self, backend: EventLoop) -> None:
        self._backend = backend
        self._table: dict[int, Polled] = {}

    def register(self, fd: int, handler: Handler, broken: Broken) -> Registration:
        """Begin to watch *fd*, for nothing yet.

        :param handler: see `Polled.ready`.
        :param broken: see `Polled.broken`.
        :raises PermissionError: the descriptor is always ready (a regular file).
        """
        registration = Registration(self, fd, handler, broken)
        try:
            registration.want(0)
        except BaseException:
            registration.detach()
            del self._table[fd]
            raise
        return registration

    @abstractmethod
    def add(self, fd: int, polled: Polled) -> None:
        """Note that the events of *fd* go to *polled*."""

    @abstractmethod
    def want(self, fd: int, before: int | None, events: int) -> None:
        """Watch *fd* for *events*.

        :param before: the events that it was watched for until now; None: it was not watched.
        :raises PermissionError: the descriptor is always ready.
        """

    @abstractmethod
    def drop(self, fd: int, before: int | None) -> None:
        """Stop watching *fd*, which was watched for *before*, and forget its `Polled`."""

    @abstractmethod
    def close(self) -> None:
        """Stop watching every descriptor, and close the poller. Idempotent."""

    def disown(self) -> set[int]:
        """Stop serving anything, in a forked child; what is registered stays the parent's (ERR-18).

        :returns: the descriptors that were watched.
        """
        descriptors = set(self._table)
        for polled in self._table.values():
            polled.detach()
        self._table.clear()
        return descriptors

    def _failed(self, polled: Polled, error: BaseException) -> None:
        """Give up one descriptor whose handler raised, so that the others are served (ERR-12)."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self._backend.fatal(error)
            return
        self._backend.report(error, "a descriptor's handler failed")
        polled.stop()
        self._backend.guarded(polled.broken, _as_exception(error))


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    wrapped = RuntimeError(f"the handler raised {error!r}")
    wrapped.__cause__ = error
    return wrapped


class EpollPoller(Poller):
    """Has one epoll instance watch all descriptors, and the loop watch that instance.

    :param busy_poll: seconds; see `BusyPolling`.
    """

    def __init__(self, backend: EventLoop, busy_poll: float = BUSY_POLL) -> None:
        super().__init__(backend)
        self._busy_polling = BusyPolling(busy_poll)
        self._epoll = select.epoll()
        self._fresh: set[int] = set()
        self._watch = backend.watch(self._epoll.fileno(), self._ready)

    def add(self, fd: int, polled: Polled) -> None:
        self._table[fd] = polled
        self._fresh.add(fd)

    def want(self, fd: int, before: int | None, events: int) -> None:
        # epoll always reports errors and hang-ups. If nothing else is wanted, an edge-triggered
        # registration reports them once; a level-triggered one would report them for ever (FLU-07).
        tell = self._epoll.register if before is None else self._epoll.modify
        tell(fd, events | END if events & READ else events or _EDGE)

    def drop(self, fd: int, before: int | None) -> None:
        del self._table[fd]
        if before is not None:
            self._epoll.unregister(fd)

    def _ready(self) -> bool:
        table, fresh = self._table, self._fresh
        # One batch a turn, so that the loop's other work goes on. What is left over is reported
        # again, since epoll is level-triggered.
        batch = self._epoll.poll(0, _BATCH)
        if not batch:
            return self._busy_polling.again()
        self._busy_polling.begin(len(batch))
        self.many_ready: bool = len(batch) >= _MANY_READY
        bulk = False
        fresh.clear()
        for fd, events in batch:
            # A handler before this one may have closed the descriptor, and opened another that got
            # its number: that one is fresh, and this event is not its own.
            if fd in table and fd not in fresh:
                polled = table[fd]
                try:
                    polled.ready(events)
                except BaseException as error:
                    self._failed(polled, error)
                bulk = self._busy_polling.awake and (bulk or polled.bulk)
        return self._busy_polling.end(bulk)

    def close(self) -> None:
        for polled in self._table.values():
            polled.detach()
        self._table.clear()
        self._watch.stop()
        self._epoll.close()

    def disown(self) -> set[int]:
        # The parent shares the epoll instance and all that is registered with it. So nothing is
        # unregistered, and only this process's copy of the descriptor is closed.
        self._epoll.close()
        return super().disown()


class WatchPoller(Poller):
    """Has the loop itself watch each descriptor."""

    def __init__(self, backend: EventLoop) -> None:
        super().__init__(backend)
        self._watches: dict[tuple[int, int], Watch] = {}

    def add(self, fd: int, polled: Polled) -> None:
        if not _pollable(fd):
            raise PermissionError(f"descriptor {fd} is always ready")
        self._table[fd] = polled

    def want(self, fd: int, before: int | None, events: int) -> None:
        polled = self._table[fd]
        for event in (READ, WRITE):
            watch = self._watches.pop((fd, event), None)
            if not events & event:
                if watch is not None:
                    watch.stop()
                continue
            if watch is None:
                serve = partial(self._serve, polled, event)
                watch = self._backend.watch(fd, serve, write=event == WRITE)
            self._watches[fd, event] = watch

    def _serve(self, polled: Polled, event: int) -> None:
        try:
            polled.ready(event)
        except BaseException as error:
            self._failed(polled, error)

    def drop(self, fd: int, before: int | None) -> None:
        self.want(fd, before, 0)
        del self._table[fd]

    def close(self) -> None:
        for polled in list(self._table.values()):
            polled.stop()

    def disown(self) -> set[int]:
        self._watches.clear()
        return super().disown()


def _pollable(fd: int) -> bool:
    """Whether *fd* can be watched. A regular file and /dev/null are always ready, and cannot."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
        # Known without the probe below, which needs a descriptor of its own: none may be left.
        return True
    if not hasattr(select, "epoll"):
        return not stat.S_ISREG(mode) and not (stat.S_ISCHR(mode) and not os.isatty(fd))
    with select.epoll() as probe:
        try:
            probe.register(fd, 0)
        except PermissionError:
            return False
    return True
