"""The host of what has descriptors."""

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
    """A host with the operating system's sockets: connecting, listening and stdio go by it.

    `poller` makes a channel of a connected socket, and has the poller. `lingering` has the channels
    that are closed and still wait for their peers.

    :raises ValueError: the value of the option ``sockets`` or ``busy_poll`` is out of range.
    """

    def __init__(self, name: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, options)
        busy_poll = seconds("busy_poll", self.options.get("busy_poll", BUSY_POLL))
        self.driver = Driver(self, self.options.get("sockets"), busy_poll)
        self.lingering = Lingering(self)

    def _disown_pollers(self) -> set[int]:
        return self.driver.disown()
