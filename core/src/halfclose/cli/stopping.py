"""SIGINT and SIGTERM while other processes work for us."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Stopped", "stoppable"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_AGAIN = 0.01
"""Seconds after which a signal is sent again that came where nothing can be raised."""


class Stopped(BaseException):
    """A signal came.

    :param status: what a program exits with that it ends.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    @property
    def number(self) -> int:
        """The signal's."""
        return self.status - 128


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Stopped`."""

    came: list[Stopped] = []
    timers: list[threading.Timer] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(Stopped(128 + number))
        raise came[-1]

    def unraisable(what: Any) -> None:
        """In a finalizer, or while garbage is collected, Python drops what is raised."""
        if not isinstance(what.exc_value, Stopped):
            unraisable_before(what)
            return
        main = threading.main_thread().ident
        again = threading.Timer(_AGAIN, signal.pthread_kill, (main, what.exc_value.number))
        again.daemon = True
        timers.append(again)
        again.start()

    before: dict[int, Any] = {}
    unraisable_before = sys.unraisablehook
    # Elsewhere Python takes no handlers, and delivers no signals.
    if threading.current_thread() is threading.main_thread():
        for known in _SIGNALS:
            handler = signal.signal(known, stop)
            before[known] = signal.SIG_DFL if handler is None else handler
        sys.unraisablehook = unraisable
    try:
        try:
            yield
        except Exception:
            # A library may fail over what it was interrupted in, and raise that; or nothing.
            if not came:
                raise
        if came:
            raise came[0] from None
    finally:
        for timer in timers:
            timer.cancel()
        sys.unraisablehook = unraisable_before
        for number, handler in before.items():
            signal.signal(number, handler)
