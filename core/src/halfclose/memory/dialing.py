"""Connecting to a name."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from .events import Event
from .scheduler import Timer
from .wire import End

if TYPE_CHECKING:
    from .network import Network

__all__ = ["GIVES_UP", "Dialing"]

GIVES_UP = 127.0
"""Seconds after which connecting ends with ETIMEDOUT, as on Linux."""


class Dialing:
    """One attempt to connect; it begins at once.

    :param name: where to.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.over = Event(network.scheduler)
        """Set when there is an answer, or `give_up` was called."""
        self._network = network
        self._name = name
        self._end: End | None = None
        self._error: OSError | None = None
        self._timer: Timer | None = None
        if not network.answers(name):
            self._timer = network.scheduler.call_later(GIVES_UP, self._no_answer)
        elif network.trip(name) > 0:
            self._timer = network.scheduler.call_later(network.trip(name), self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        try:
            self._end = self._network.connect(self._name)
        except OSError as error:
            self._error = error
        self.over.set()

    def _no_answer(self) -> None:
        self._error = OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        self.over.set()

    def give_up(self) -> None:
        """Leave nothing behind. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._end is not None:
            self._end.reset()
            self._end = None
        self.over.set()

    def take(self) -> End | None:
        """The connected end, now the caller's, once it is over; None if `give_up` was called.

        :raises OSError: ECONNREFUSED or ETIMEDOUT.
        """
        if self._error is not None:
            raise self._error
        end, self._end = self._end, None
        return end
