"""SIGINT and SIGTERM while other processes work for us."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Stopped", "stoppable"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal came.

    :param status: what a program exits with that it ends.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Stopped`."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(128 + number)

    before: dict[int, Any] = {}
    # Elsewhere Python takes no handlers, and delivers no signals.
    if threading.current_thread() is threading.main_thread():
        for known in _SIGNALS:
            handler = signal.signal(known, stop)
            before[known] = signal.SIG_DFL if handler is None else handler
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
