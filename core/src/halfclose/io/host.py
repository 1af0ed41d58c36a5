"""The base class of backends that serve sockets and pipes of the operating system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..host import ConnectionHost
from ..options import seconds
from .busy_polling import BUSY_POLL
from .driver import Driver
from .lingering import Lingering

__all__ = ["SocketHost"]


class SocketHost(ConnectionHost):
    """A `ConnectionHost` with sockets and pipes, as ``tcp:``, ``unix:`` and ``stdio:`` need it.

    `driver` makes the channels of connected sockets and has the poller. `lingering` keeps the
    channels that the program has closed and whose peers still send.

    :raises ValueError: the value of the option ``sockets`` or ``busy_poll`` is out of range.
    :raises TypeError: ``busy_poll`` is no number.
    """

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        busy_poll = seconds("busy_poll", self.options.get("busy_poll", BUSY_POLL))
        self.driver: Driver = Driver(self, self.options.get("sockets"), busy_poll)
        """Makes the channels of connected sockets, and has the poller."""
        self.lingering: Lingering = Lingering(self)

    def _disown_pollers(self) -> set[int]:
        return self.driver.disown()
