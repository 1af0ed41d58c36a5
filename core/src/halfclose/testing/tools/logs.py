"""Collects what is logged during a test."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["errors_in", "logged", "showing", "warnings_in"]


class _Collecting(logging.Handler):
    """Keeps the records; one that two loggers pass on is kept once."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record not in self.records:
            self.records.append(record)


@contextmanager
def logged() -> Iterator[list[logging.LogRecord]]:
    """Give a list to which everything is added that is logged in the block.

    Besides halfclose's own records it has those of the event loop, by which a test sees an error
    that has escaped to the loop.
    """
    handler = _Collecting()
    loggers = logging.getLogger("halfclose"), logging.getLogger()
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield handler.records
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def warnings_in(records: list[logging.LogRecord]) -> list[str]:
    """The messages of the warnings."""
    return [record.getMessage() for record in records if record.levelno == logging.WARNING]


def errors_in(records: list[logging.LogRecord]) -> list[str]:
    """The messages of the errors and critical errors."""
    return [record.getMessage() for record in records if record.levelno >= logging.ERROR]


def showing(error: BaseException, records: list[logging.LogRecord]) -> list[logging.LogRecord]:
    """Those of *records* that have *error* with its traceback."""
    return [
        record
        for record in records
        if record.exc_info and record.exc_info[1] is error and record.exc_info[2] is not None
    ]
