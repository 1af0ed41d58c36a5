"""Wakes a sleeping loop when a signal comes."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from ..host import ConnectionHost
from ..loop import Watch
from ..reasons import Unsupported

__all__ = ["WakeOnSignals"]


class WakeOnSignals:
    """Has each signal wake the loop, so that the signal's Python handler runs at once.

    Python runs a handler between two instructions of the main thread. A signal may come just
    before the loop begins to sleep, or the system may give it to another thread. It then interrupts
    no sleep, and its handler runs only when something else wakes the loop, if ever. So this has
    Python write to a descriptor that the loop watches (``signal.set_wakeup_fd``).

    It does nothing in three cases: if Python writes to a descriptor already (trio and uvloop have
    it do that); outside of the main thread, where no handlers run; if no descriptor is left.

    :param backend: its loop is running, in this thread.
    """

    def __init__(self, backend: ConnectionHost) -> None:
        self._backend = backend
        self._ends: tuple[int, int] | None = None
        self._watch: Watch | None = None
        with suppress(OSError, ValueError, Unsupported):
            self._begin()

    def _begin(self) -> None:
        before = signal.set_wakeup_fd(-1)
        if before >= 0:
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)
            return
        self._ends = os.pipe()
        self._backend.hold_descriptors(self._descriptors)
        try:
            for end in self._ends:
                os.set_blocking(end, False)
            self._watch = self._backend.watch(self._ends[0], self._drain)
            signal.set_wakeup_fd(self._ends[1], warn_on_full_buffer=False)
        except BaseException:
            self.close()
            raise

    def _descriptors(self) -> tuple[int, ...]:
        return self._ends or ()

    def _drain(self) -> None:
        if self._ends is not None:
            with suppress(BlockingIOError):
                os.read(self._ends[0], 4096)

    def close(self) -> None:
        """Stop waking the loop. Idempotent."""
        ends, self._ends = self._ends, None
        if ends is None:
            return
        self._backend.release_descriptors(self._descriptors)
        # If somebody else has set another descriptor meanwhile, that stays.
        before = signal.set_wakeup_fd(-1)
        if before not in (ends[1], -1):
            signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        if self._watch is not None:
            self._watch.stop()
        for end in ends:
            os.close(end)
