"""What a signal does to the command: it ends the work, and then the process dies by it.

As every filter does: a shell tells ``^C`` from an exit status by how its child died, and ends the
loop around it only then. A signal that was ignored when we were started stays ignored.
"""

from __future__ import annotations

import atexit
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

__all__ = ["Stopped", "dies_by_signals", "handled", "stoppable"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_AGAIN = 0.01
"""Seconds after which a signal is sent again that came where nothing can be raised."""


class Stopped(BaseException):
    """A signal came.

    :param number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """What a program exits with that it ends, and does not die by it."""
        return 128 + self.number


def handled() -> Iterator[signal.Signals]:
    """SIGINT and SIGTERM, if we may handle them: here, and not ignored since before we began."""
    # Elsewhere Python takes no handlers, and delivers no signals.
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                yield number


@contextmanager
def dies_by_signals() -> Iterator[None]:
    """Around all that a process does: let `Stopped`, and KeyboardInterrupt, be its death.

    From here on ``^C`` does what SIGTERM does where nobody handles it: it kills, and raises nothing
    in code that could swallow it, or print a traceback.

    :raises SystemExit: for the interpreter to end by, and then the process by the signal.
    """
    by: list[int] = []
    # Registered first, so called last: what others have registered is done before.
    atexit.register(_die, by)
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    except Stopped as stopped:
        by.append(stopped.number)
        raise SystemExit(stopped.status) from None
    except KeyboardInterrupt:
        by.append(signal.SIGINT)
        raise SystemExit(128 + signal.SIGINT) from None


def _die(by: list[int]) -> None:
    for number in by:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        # It comes back where the signal kills nobody: the first process of a container exits.
        signal.raise_signal(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Stopped`."""

    came: list[Stopped] = []
    timers: list[threading.Timer] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(Stopped(number))
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
    for known in handled():
        handler = signal.signal(known, stop)
        before[known] = signal.SIG_DFL if handler is None else handler
    if before:
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
