"""Attempts to connect to a name of a `Network`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from .scheduler import Scheduler, Timer
from .waiting import Event
from .wire import End

__all__ = ["GIVES_UP", "Dialing"]

GIVES_UP = 127.0
"""Seconds after which connecting ends with ETIMEDOUT, as on Linux."""


class Dialing:
    """One attempt to connect, which begins at once.

    :param trip: seconds until the answer arrives; None: nobody answers.
    :param connect: is called when the answer arrives. It gives our end of the new connection, or
        raises an OSError if the connection is refused.
    """

    def __init__(
        self, scheduler: Scheduler, trip: float | None, connect: Callable[[], End]
    ) -> None:
        self.over: Event = Event(scheduler)
        """Set when the answer has arrived, or nobody has answered in time, or after `give_up`."""
        self._connect = connect
        self._end: End | None = None
        self._error: OSError | None = None
        self._timer: Timer | None = None
        if trip is None:
            self._timer = scheduler.call_later(GIVES_UP, self._no_answer)
        elif trip > 0:
            self._timer = scheduler.call_later(trip, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        try:
            self._end = self._connect()
        except OSError as error:
            self._error = error
        self.over.set()

    def _no_answer(self) -> None:
        self._error = OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        self.over.set()

    def give_up(self) -> None:
        """End the attempt, and reset the connection if there is one already. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._end is not None:
            self._end.reset()
            self._end = None
        self.over.set()

    def take(self) -> End | None:
        """The connected end, which belongs to the caller from now on. Call this once `over` is set.

        :returns: None if `give_up` was called.
        :raises OSError: the attempt failed: ECONNREFUSED, ETIMEDOUT, or the errno that
            `Network.refuse` was called with.
        """
        if self._error is not None:
            raise self._error
        end, self._end = self._end, None
        return end
