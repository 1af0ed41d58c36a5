"""Readiness of many descriptors, for any event loop.

`EpollPoller` shows the loop a single descriptor; `WatchPoller`, for platforms without epoll, has
the loop watch each one.
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

# The values of epoll and poll, so that nothing has to be translated for each event.
READ = 0x001
WRITE = 0x004
ERROR = 0x008
END = 0x2000
"""With READ: the peer has ended its half, and the end of stream is behind what can be read."""

_EDGE = 1 << 31
_BATCH = 128

_CROWD = 16
"""From so many descriptors on that are ready at once, none is served at length."""


Handler = Callable[[int], None]
Broken = Callable[[Exception], None]


class Polled(ABC):
    """One descriptor with a poller; a subclass says what happens when it is ready.

    :param fd: open until `stop` is called.
    :raises PermissionError: the descriptor is always ready (a regular file); some pollers find
        out only when something is wanted.
    """

    __slots__ = ("_fd", "_poller", "_wanted")

    def __init__(self, poller: Poller, fd: int) -> None:
        self._poller = poller
        self._fd = fd
        self._wanted: int | None = None
        poller.add(fd, self)

    @abstractmethod
    def ready(self, events: int) -> None:
        """*events* came: READ, WRITE, ERROR, 0 for a mere hang-up. Spurious calls happen.

        END comes with READ where the poller can tell.
        """

    @abstractmethod
    def broken(self, error: Exception) -> None:
        """`ready` raised *error*, and the descriptor is not watched any more."""

    @property
    def bulk(self) -> bool:
        """Whether what comes and goes is more than messages that somebody waits for."""
        return False

    def want(self, events: int) -> None:
        """Be told of *events*, a sum of READ and WRITE; with 0, only of an error, if at all."""
        if events != self._wanted and self._fd >= 0:
            self._poller.want(self._fd, self._wanted, events)
            self._wanted = events

    def stop(self) -> None:
        """Forget the descriptor; call it before the descriptor is closed. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._poller.drop(fd, self._wanted)

    def detach(self) -> None:
        """The poller is gone, and the descriptor may be."""
        self._fd = -1


class Registration(Polled):
    """A descriptor of which functions hear. See `Poller.register`."""

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
    """Tells descriptors that they are ready."""

    crowded = False
    """Whether so many wait for this turn of the loop that each had better be brief."""

    def __init__(self, backend: EventLoop) -> None:
        self._backend = backend
        self._table: dict[int, Polled] = {}

    def register(self, fd: int, handler: Handler, broken: Broken) -> Registration:
        """Begin to watch *fd*, wanting nothing yet.

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
        """*polled* is who hears of *fd*."""

    @abstractmethod
    def want(self, fd: int, before: int | None, events: int) -> None:
        """Watch *fd* for *events*, after *before*; None: for the first time.

        :raises PermissionError: the descriptor is always ready.
        """

    @abstractmethod
    def drop(self, fd: int, before: int | None) -> None:
        """Watch *fd* no more, after *before*."""

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent."""

    def disown(self) -> set[int]:
        """In a forked child: watch nothing, and leave what is registered to the parent (ERR-18).

        :returns: the descriptors that were watched.
        """
        descriptors = set(self._table)
        for polled in self._table.values():
            polled.detach()
        self._table.clear()
        return descriptors

    def _failed(self, polled: Polled, error: BaseException) -> None:
        """ERR-12: whatever one descriptor's handler does, the others are served."""
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
    """All descriptors in one epoll instance, of which the loop sees one descriptor.

    :param busy_poll: seconds; see `BusyPolling`.
    """

    def __init__(self, backend: EventLoop, busy_poll: float = BUSY_POLL) -> None:
        super().__init__(backend)
        self._busy = BusyPolling(busy_poll)
        self._epoll = select.epoll()
        self._fresh: set[int] = set()
        self._watch = backend.watch(self._epoll.fileno(), self._ready)

    def add(self, fd: int, polled: Polled) -> None:
        self._table[fd] = polled
        self._fresh.add(fd)

    def want(self, fd: int, before: int | None, events: int) -> None:
        # An error or a hang-up cannot be masked: with nothing wanted, an edge-triggered
        # registration tells of them once instead of for ever.
        tell = self._epoll.register if before is None else self._epoll.modify
        tell(fd, events | END if events & READ else events or _EDGE)

    def drop(self, fd: int, before: int | None) -> None:
        del self._table[fd]
        if before is not None:
            self._epoll.unregister(fd)

    def _ready(self) -> bool:
        table, fresh = self._table, self._fresh
        # One batch a turn, so that the loop's other work goes on (level-triggered: none is lost).
        batch = self._epoll.poll(0, _BATCH)
        if not batch:
            return self._busy.again()
        self._busy.begin(len(batch))
        self.crowded = len(batch) >= _CROWD
        bulk = False
        fresh.clear()
        for fd, events in batch:
            # A handler can close a descriptor, and the next one to be opened has its number.
            if fd in table and fd not in fresh:
                polled = table[fd]
                try:
                    polled.ready(events)
                except BaseException as error:
                    self._failed(polled, error)
                bulk = self._busy.awake and (bulk or polled.bulk)
        return self._busy.end(bulk)

    def close(self) -> None:
        for polled in self._table.values():
            polled.detach()
        self._table.clear()
        self._watch.stop()
        self._epoll.close()

    def disown(self) -> set[int]:
        # What is registered with the instance, and with the loop's own, is so for the parent too:
        # only this copy of the descriptor is closed.
        self._epoll.close()
        return super().disown()


class WatchPoller(Poller):
    """Each descriptor watched by the loop itself."""

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
    """Whether waiting for *fd* means anything: not so for a regular file or /dev/null."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode):
        # Without a probe, which takes a descriptor; there may be no other left.
        return True
    if not hasattr(select, "epoll"):
        return not stat.S_ISREG(mode) and not (stat.S_ISCHR(mode) and not os.isatty(fd))
    with select.epoll() as probe:
        try:
            probe.register(fd, 0)
        except PermissionError:
            return False
    return True
