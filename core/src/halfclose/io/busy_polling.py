"""Whether a loop that has nothing to do had better look again than fall asleep."""

from __future__ import annotations

# Not the framework's clock: a test's may stand still until its loop sleeps.
from time import perf_counter

__all__ = ["BUSY_POLL", "BusyPolling"]

BUSY_POLL = 0.0001
"""Seconds."""

_ENOUGH = 8
"""Turns in a row that came soon, before it is worth while to stay awake for the next."""

_MANY = 8
"""So many ready descriptors are a loop's that does not sleep anyway."""


class BusyPolling:
    """Stays awake for the next message where the last ones came sooner than a loop wakes.

    To sleep and to wake takes a thread several times as long as a small message takes, and as much
    processor time. So after a few turns in a row, each of them within *seconds* of the one before,
    the loop is to look again for so long, a turn at a time: whatever else it has to do goes on.
    Messages that come more slowly never keep it awake.

    The idea is that of Linux's busy polling of sockets and of KVM's halt polling.

    :param seconds: how long at most; 0: never.
    """

    __slots__ = ("_seconds", "_served", "_soon", "awake")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._served = 0.0
        self._soon = 0
        self.awake = False
        """Whether the loop was last told to look again."""

    def begin(self, ready: int) -> None:
        """A turn begins to serve so many descriptors."""
        if ready < _MANY and perf_counter() - self._served < self._seconds:
            self._soon += 1
        else:
            self._soon = 0

    def end(self, bulk: bool) -> bool:
        """It has served them. Whether to look again rather than to sleep.

        :param bulk: nobody waits for each piece of what was served: more is served at a time by a
            loop that sleeps meanwhile.
        """
        self._served = perf_counter()
        if bulk:
            self._soon = 0
        self.awake = self._soon >= _ENOUGH
        return self.awake

    def again(self) -> bool:
        """A turn found nothing. Whether to look once more."""
        self.awake = self.awake and perf_counter() - self._served < self._seconds
        return self.awake
