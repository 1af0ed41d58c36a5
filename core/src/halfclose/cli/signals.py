"""Handles SIGINT and SIGTERM in the same way on every event loop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from ..backend import Backend
from ..io.waking import WakeOnSignals
from .stopping import Stopped, handled

__all__ = ["Signals"]


class Signals:
    """A context manager that handles SIGINT and SIGTERM around one run of a backend.

    - The first signal stops the program in order, if `attach` was given a function for that.
    - The next signal (without such a function, the first) aborts every connection and ends the run.
    - A further signal does what it did before the block. So it also ends a program whose loop
      hangs.

    If a signal came, the end of the block raises `Stopped`. Signals that were ignored before stay
    ignored.

    :param asked: signals that are a normal way to end the program. If the first signal is one of
        these and the program stops in order, `Stopped` is not raised.
    """

    def __init__(self, *asked: signal.Signals) -> None:
        self._asked = asked
        self._before: dict[int, Any] = {}
        self._backend: Backend | None = None
        self._stop: Callable[[], object] | None = None
        self._received = 0
        self._acted = False
        self._exit: SystemExit | None = None

    def attach(self, backend: Backend, stop: Callable[[], object] | None = None) -> None:
        """Tell that *backend* runs now. Call this in its loop's thread, before anything else.

        :param stop: called in the loop's thread at the first signal; None: the first signal aborts.
        """
        self._stop = stop
        self._backend = backend
        if self._before:
            backend.on_leaving(WakeOnSignals(backend).close)
        if self._received and not self._acted:
            self._act(self._received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal; Python calls this in the main thread."""
        again, self._received = self._received, number
        if self._backend is not None:
            self._act(number)
        elif again:
            # No backend runs yet that could be ended in order.
            self._restore()
            signal.raise_signal(number)

    def _act(self, number: int) -> None:
        """Stop the program in order the first time, if it can; else end its run."""
        assert self._backend is not None
        self._acted = True
        stop, self._stop = self._stop, None
        # If the backend has been left already, this does nothing, and the program ends anyway.
        if stop is not None:
            self._backend.call_soon_threadsafe(stop)
        else:
            self._restore()
            self._exit = SystemExit(128 + number)
            self._backend.call_soon_threadsafe(self._backend.fatal, self._exit)

    def _restore(self) -> None:
        # The dictionary is emptied first, because the next signal can come during the loop.
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)

    def __enter__(self) -> Signals:
        for number in handled():
            before = signal.signal(number, self._handle)
            self._before[number] = signal.SIG_DFL if before is None else before
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._restore()
        if not self._received or (error is None and self._was_asked()):
            return
        # An Exception is only a consequence of the aborted run, so `Stopped` replaces it. But a
        # protocol's own SystemExit or KeyboardInterrupt comes out.
        if error is None or error is self._exit or isinstance(error, Exception):
            raise Stopped(self._received) from None

    def _was_asked(self) -> bool:
        """Whether the program stopped in order, by one of the signals that ask for it."""
        return self._received in self._asked and self._exit is None
