"""Failures that nobody caught, for the standard library's logging and for Twisted's.

Twisted's is where trial finds them: a test that has not flushed them (``flushLoggedErrors``) is in
error. A program can read both, or have one forwarded to the other, and reads each failure once.
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
    """See `halfclose.Backend.report`."""
    failure = Failure(error, type(error), error.__traceback__)
    try:
        text = message % args if args else message
    except Exception:
        # Somebody's repr has failed; it must not hide the failure.
        text, message, args = message, message.replace("%", "%%"), ()
    if not _log.hasHandlers():
        # Twisted shows it: where its logging has not begun, on stderr, as logging would.
        _twisted_log.failure("{text}", failure, LogLevel.critical, text=text)
        return
    with _heard_by_twisted() as heard:
        _log.log(level, message, *args, exc_info=error)
    if not heard:
        with _not_heard_back(error):
            _twisted_log.failure("{text}", failure, LogLevel.error, text=text)
    elif not any(event.get("log_failure") for event in heard):
        # The program forwards what is logged, as text: only trial is to find this.
        globalLogPublisher({"isError": 1, "failure": failure, "log_format": "", **_QUIETLY})


_QUIETLY: dict[str, Any] = {"log_level": LogLevel.debug, "log_namespace": "halfclose"}


@contextmanager
def _heard_by_twisted() -> Iterator[list[LogEvent]]:
    """The events that reach Twisted's logging meanwhile from this thread."""
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
    """Keep from the handlers that have shown *error* what Twisted forwards to them meanwhile."""

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
