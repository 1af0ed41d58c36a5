"""Ends the command by signals: a signal ends the work, and then the process dies by the signal.

Every filter does so. A shell ends its own loop after ``^C`` only if its child died by the signal,
and did not exit with a status. A signal that was ignored when we were started stays ignored.
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
"""Seconds after which a signal is sent again whose exception Python has dropped."""


class Stopped(BaseException):
    """A signal came, which ends the command.

    :param number: the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status of a program that was ended by the signal, but did not die by it."""
        return 128 + self.number


def handled() -> Iterator[signal.Signals]:
    """SIGINT and SIGTERM, without those that are ignored; none outside of the main thread."""
    # Python lets only the main thread set handlers, and calls them only there.
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                yield number


@contextmanager
def dies_by_signals() -> Iterator[None]:
    """Have `Stopped` and KeyboardInterrupt kill the process by the signal. Enter this around all.

    From then on ``^C`` kills the process where nobody handles SIGINT, as SIGTERM does. It raises no
    KeyboardInterrupt in code that could swallow it or print a traceback.

    :raises SystemExit: in place of these two, so that the interpreter ends in order. At its very
        end the process sends itself the signal.
    """
    by: list[int] = []
    # Exit functions are called in reverse order, so this one, the first, is called last.
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
    """Kill this process by the signal in *by*; do nothing if there is none."""
    for number in by:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        # This returns in the first process of a container, which the signal does not kill. Then
        # the process exits with the status of `Stopped`.
        signal.raise_signal(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """Have SIGINT and SIGTERM raise `Stopped` in the block.

    :raises Stopped: a signal came.
    """

    came: list[Stopped] = []
    timers: list[threading.Timer] = []

    def stop(number: int, frame: FrameType | None) -> None:
        came.append(Stopped(number))
        raise came[-1]

    def unraisable(what: Any) -> None:
        """Send the signal again if `Stopped` was raised in a finalizer, where Python drops it."""
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
            # A library may catch `Stopped`, and then raise an error of its own or nothing.
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
