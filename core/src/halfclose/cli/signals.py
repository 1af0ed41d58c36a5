"""SIGINT and SIGTERM, the same on every event loop."""

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
    """While entered, what SIGINT and SIGTERM do to one run of a backend; then `Stopped` is raised.

    The first one asks to stop, if `attach` was given a way to; the next one aborts every
    connection at once and ends the run. A further one does what it did before, which ends also a
    program whose loop does not turn any more. One that is ignored stays ignored.

    :param asked: signals that are asked to stop by, and nothing else: having stopped, as it was
        told, the program has not failed.
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
        """*backend* runs now. Call in its loop's thread, before anything else.

        :param stop: called in the loop's thread at the first signal; without it, that aborts.
        """
        self._stop = stop
        self._backend = backend
        if self._before:
            backend.on_leaving(WakeOnSignals(backend).close)
        if self._received and not self._acted:
            self._act(self._received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self._received = self._received, number
        if self._backend is not None:
            self._act(number)
        elif again:
            # Nothing runs that could be ended in order.
            self._restore()
            signal.raise_signal(number)

    def _act(self, number: int) -> None:
        assert self._backend is not None
        self._acted = True
        stop, self._stop = self._stop, None
        # A backend that has been left does nothing: the program is about to end.
        if stop is not None:
            self._backend.call_soon_threadsafe(stop)
        else:
            self._restore()
            self._exit = SystemExit(128 + number)
            self._backend.call_soon_threadsafe(self._backend.fatal, self._exit)

    def _restore(self) -> None:
        # Taken away first: the next signal can come in the middle of this.
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
        # What else failed then failed because everything was being ended. A protocol's own
        # SystemExit or KeyboardInterrupt goes on.
        if error is None or error is self._exit or isinstance(error, Exception):
            raise Stopped(self._received) from None

    def _was_asked(self) -> bool:
        return self._received in self._asked and self._exit is None
