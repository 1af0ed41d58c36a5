"""SIGINT and SIGTERM, the same on every event loop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from ..backend import Backend
from ..io.waking import WakeOnSignals

__all__ = ["Signals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """While entered, what SIGINT and SIGTERM do to one run of a backend.

    The first one asks to stop, if `attach` was given a way to; the next one aborts every
    connection at once and ends the run with ``SystemExit(128 + number)``. A further one does what
    it did before, which ends also a program whose loop does not turn any more.
    """

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}
        self._backend: Backend | None = None
        self._stop: Callable[[], object] | None = None
        self._received = 0

    def attach(self, backend: Backend, stop: Callable[[], object] | None = None) -> None:
        """*backend* runs now. Call in its loop's thread, before anything else.

        :param stop: called in the loop's thread at the first signal; without it, that aborts.
        """
        self._stop = stop
        self._backend = backend
        backend.on_leaving(WakeOnSignals(backend).close)
        if self._received:
            self._act(self._received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        if self._backend is not None:
            self._act(number)

    def _act(self, number: int) -> None:
        assert self._backend is not None
        stop, self._stop = self._stop, None
        # A backend that has been left does nothing: the program is about to end.
        if stop is not None:
            self._backend.call_soon_threadsafe(stop)
        else:
            self._restore()
            self._backend.call_soon_threadsafe(self._backend.fatal, SystemExit(128 + number))

    def _restore(self) -> None:
        # Taken away first: the next signal can come in the middle of this.
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)

    def __enter__(self) -> Signals:
        # Elsewhere Python takes no handlers, and delivers no signals.
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                before = signal.signal(number, self._handle)
                self._before[number] = signal.SIG_DFL if before is None else before
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()
