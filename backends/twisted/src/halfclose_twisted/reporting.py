"""Logs the failures that nobody caught, by the standard library's logging and by Twisted's.

Trial finds them in Twisted's logging: a test is in error if it does not call ``flushLoggedErrors``.
A program may read both kinds of logging, or forward one to the other. In each case it sees each
failure once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["report"]

_log = logging.getLogger("halfclose")
_twisted_log = Logger("halfclose")


def report(error: BaseException, message: str, args: tuple[object, ...], level: int) -> None:
    """Log *error* by both kinds of logging; see `halfclose.Backend.report`."""
    failure = Failure(error, type(error), error.__traceback__)
    try:
        text = message % args if args else message
    except Exception:
        # The ``repr`` of an argument has raised, and that must not hide the failure.
        text, message, args = message, message.replace("%", "%%"), ()
    if not _log.hasHandlers():
        # The program has not set up the standard library's logging, so Twisted's shows the failure.
        # If that has not begun either, it writes to stderr.
        _twisted_log.failure("{text}", failure, LogLevel.critical, text=text)
        return
    with _heard_by_twisted() as heard:
        _log.log(level, message, *args, exc_info=error)
    if not heard:
        with _not_heard_back(error):
            _twisted_log.failure("{text}", failure, LogLevel.error, text=text)
    elif not any(event.get("log_failure") for event in heard):
        # The program forwards the standard library's logging to Twisted's, as text. So the failure
        # itself is logged there too, without a text, for trial to find.
        globalLogPublisher({"isError": 1, "failure": failure, "log_format": "", **_QUIETLY})


_QUIETLY: dict[str, Any] = {"log_level": LogLevel.debug, "log_namespace": "halfclose"}
"""Fields of an event that the program's own observers should not show."""


@contextmanager
def _heard_by_twisted() -> Iterator[list[LogEvent]]:
    """Collect the events that this thread gives to Twisted's logging meanwhile."""
    heard: list[LogEvent] = []
    thread = threading.get_ident()

    @implementer(ILogObserver)  # type: ignore[untyped-decorator]
    def hear(event: LogEvent) -> None:
        if threading.get_ident() == thread:
            heard.append(event)

    globalLogPublisher.addObserver(hear)
    try:
        yield heard
    finally:
        globalLogPublisher.removeObserver(hear)


@contextmanager
def _not_heard_back(error: BaseException) -> Iterator[None]:
    """Keep the handlers of the logger from showing *error* again.

    They have shown it already, and Twisted's logging may be forwarded to them.
    """

    def is_new(record: logging.LogRecord) -> bool:
        return not (record.exc_info and record.exc_info[1] is error)

    handlers = list(_handlers(_log))
    for handler in handlers:
        handler.addFilter(is_new)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_new)


def _handlers(logger: logging.Logger | None) -> Iterator[logging.Handler]:
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None
