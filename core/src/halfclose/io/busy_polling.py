"""Decides whether an idle loop looks for events again at once, or sleeps until one comes."""

from __future__ import annotations

# Not the framework's clock: the clock of a test may stand still until the loop sleeps.
from time import perf_counter

__all__ = ["BUSY_POLL", "BusyPolling"]

BUSY_POLL = 0.0001
"""Seconds that a loop stays awake for the next message, by default."""

_ENOUGH = 8
"""The loop stays awake after so many turns in a row that followed each other quickly."""

_MANY = 8
"""With so many ready descriptors in a turn, the loop is busy enough not to sleep anyway."""


class BusyPolling:
    """Keeps a loop awake for the next message while messages follow each other quickly.

    A thread needs several times as long to fall asleep and wake up as it needs to serve a small
    message, and as much processor time. So after a few turns in a row that each came within
    *seconds* of the one before, the loop looks again for up to *seconds*, one turn at a time, so
    that its other work goes on. Messages that come more slowly never keep it awake.

    The idea is that of Linux's busy polling of sockets and of KVM's halt polling.

    :param seconds: how long the loop stays awake at most; 0: it never does.
    """

    __slots__ = ("_seconds", "_served", "_soon", "awake")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._served = 0.0
        self._soon = 0
        self.awake: bool = False
        """Whether the loop was last told to look again."""

    def begin(self, ready: int) -> None:
        """Note that a turn begins, in which *ready* descriptors are served."""
        if ready < _MANY and perf_counter() - self._served < self._seconds:
            self._soon += 1
        else:
            self._soon = 0

    def end(self, bulk: bool) -> bool:
        """Decide what the loop does after a turn that has served all ready descriptors.

        :param bulk: whether a descriptor carries a stream of bulk data. Nobody waits for each piece
            of that, and a loop that sleeps in between serves more at a time.
        :returns: whether to look again at once, rather than to sleep.
        """
        self._served = perf_counter()
        if bulk:
            self._soon = 0
        self.awake = self._soon >= _ENOUGH
        return self.awake

    def again(self) -> bool:
        """Decide what the loop does after a turn that has found nothing ready.

        :returns: whether to look again at once, rather than to sleep.
        """
        self.awake = self.awake and perf_counter() - self._served < self._seconds
        return self.awake
