"""Readiness of many descriptors, for any event loop.

`EpollPoller` shows the loop a single descriptor; `WatchPoller`, for platforms without epoll, has
the loop watch each one.
"""

from __future__ import annotations

import logging
import select
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..backend import Backend, Watch

__all__ = ["ERROR", "READ", "WRITE", "EpollPoller", "Poller", "Registration", "WatchPoller"]

# The values of epoll and poll, so that nothing has to be translated for each event.
READ = 0x001
WRITE = 0x004
ERROR = 0x008

_EDGE = 1 << 31
_BATCH = 256

_log = logging.getLogger("halfclose")

Handler = Callable[[int], None]
Broken = Callable[[Exception], None]


class Registration(ABC):
    """One descriptor with a poller."""

    @abstractmethod
    def want(self, events: int) -> None:
        """Be told of *events*, a sum of READ and WRITE; with 0, only of an error, if at all."""

    @abstractmethod
    def stop(self) -> None:
        """Forget the descriptor; call it before the descriptor is closed. Idempotent."""


class Poller(ABC):
    """Calls handlers of ready descriptors."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @abstractmethod
    def register(self, fd: int, handler: Handler, broken: Broken) -> Registration:
        """Begin to watch *fd*, wanting nothing yet.

        :param handler: called with the events that are ready: READ, WRITE, ERROR, 0 for a mere
            hang-up. Spurious calls happen.
        :param broken: called with what *handler* raised, which stops the registration.
        :raises PermissionError: the descriptor is always ready (a regular file).
        """

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent."""

    def _serve(
        self, registration: Registration, handler: Handler, broken: Broken, ready: int
    ) -> None:
        """ERR-12: whatever one descriptor's handler does, the others are served."""
        try:
            handler(ready)
        except (KeyboardInterrupt, SystemExit) as error:
            self._backend.fatal(error)
        except BaseException as error:
            _log.exception("a descriptor's handler failed")
            registration.stop()
            self._backend.guarded(broken, _as_exception(error))


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    wrapped = RuntimeError(f"the handler raised {error!r}")
    wrapped.__cause__ = error
    return wrapped


class EpollPoller(Poller):
    """All descriptors in one epoll instance, of which the loop sees one descriptor."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._epoll = select.epoll()
        self._table: dict[int, _EpollRegistration] = {}
        self._watch = backend.watch(self._epoll.fileno(), self._ready)

    def register(self, fd: int, handler: Handler, broken: Broken) -> Registration:
        self._epoll.register(fd, _EDGE)
        registration = _EpollRegistration(self._epoll, self._table, fd, handler, broken)
        self._table[fd] = registration
        return registration

    def _ready(self) -> None:
        # One batch a turn, so that the loop's other work goes on (level-triggered: none is lost).
        batch = [(self._table.get(fd), ready) for fd, ready in self._epoll.poll(0, _BATCH)]
        for registration, ready in batch:
            # Looked up before any is served: a handler can close a descriptor, and the next one
            # to be opened then has its number.
            if registration is not None and registration.watched:
                self._serve(registration, registration.handler, registration.broken, ready)

    def close(self) -> None:
        for registration in self._table.values():
            registration.detach()
        self._table.clear()
        self._watch.stop()
        self._epoll.close()


class _EpollRegistration(Registration):
    __slots__ = ("_epoll", "_events", "_fd", "_table", "broken", "handler")

    def __init__(
        self,
        epoll: select.epoll,
        table: dict[int, _EpollRegistration],
        fd: int,
        handler: Handler,
        broken: Broken,
    ) -> None:
        self._epoll = epoll
        self._table = table
        self._fd = fd
        self._events = 0
        self.handler = handler
        self.broken = broken

    def want(self, events: int) -> None:
        if events != self._events and self._fd >= 0:
            self._events = events
            # An error or a hang-up cannot be masked: with nothing wanted, an edge-triggered
            # registration tells of them once instead of for ever.
            self._epoll.modify(self._fd, events or _EDGE)

    def stop(self) -> None:
        if self._fd >= 0 and self._table.pop(self._fd, None) is not None:
            self._epoll.unregister(self._fd)
        self._fd = -1

    @property
    def watched(self) -> bool:
        """Whether `stop` was not called."""
        return self._fd >= 0

    def detach(self) -> None:
        """The poller is gone, and the descriptor may be."""
        self._fd = -1


class WatchPoller(Poller):
    """Each descriptor watched by the loop itself."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._open: set[_WatchRegistration] = set()

    def register(self, fd: int, handler: Handler, broken: Broken) -> Registration:
        if not _pollable(fd):
            raise PermissionError(f"descriptor {fd} is always ready")
        registration = _WatchRegistration(self, fd, handler, broken)
        self._open.add(registration)
        return registration

    def watch(self, registration: _WatchRegistration, fd: int, event: int) -> Watch:
        return self._backend.watch(
            fd,
            lambda: self._serve(registration, registration.handler, registration.broken, event),
            write=event == WRITE,
        )

    def forget(self, registration: _WatchRegistration) -> None:
        self._open.discard(registration)

    def close(self) -> None:
        for registration in list(self._open):
            registration.stop()


class _WatchRegistration(Registration):
    def __init__(self, poller: WatchPoller, fd: int, handler: Handler, broken: Broken) -> None:
        self._poller = poller
        self._fd = fd
        self._watches: dict[int, Watch] = {}
        self._stopped = False
        self.handler = handler
        self.broken = broken

    def want(self, events: int) -> None:
        for event in (READ, WRITE):
            if events & event and event not in self._watches and not self._stopped:
                self._watches[event] = self._poller.watch(self, self._fd, event)
            elif not events & event and event in self._watches:
                self._watches.pop(event).stop()

    def stop(self) -> None:
        self.want(0)
        self._stopped = True
        self._poller.forget(self)


def _pollable(fd: int) -> bool:
    """Whether waiting for *fd* means anything: not so for a regular file or /dev/null."""
    if not hasattr(select, "epoll"):
        import os
        import stat

        mode = os.fstat(fd).st_mode
        return not stat.S_ISREG(mode) and not (stat.S_ISCHR(mode) and not os.isatty(fd))
    with select.epoll() as probe:
        try:
            probe.register(fd, 0)
        except PermissionError:
            return False
    return True
