"""How the command speaks: one line on stderr, and an exit status."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

from ..reasons import BackendError, EndpointError
from ..text import printable

__all__ = ["FAILED", "USAGE", "Problem", "discard_output", "one_line", "say", "status_of"]

FAILED = 1
"""The exit status where something went wrong that was asked for rightly."""

USAGE = 2
"""The exit status where the arguments are wrong."""


class Problem(Exception):
    """What ends the command with one line on stderr.

    :param status: the exit status.
    """

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


def status_of(error: Exception) -> int:
    """The exit status for *error*: `USAGE` if the arguments are to blame."""
    if isinstance(error, Problem):
        return error.status
    return USAGE if isinstance(error, (EndpointError, BackendError)) else FAILED


def one_line(error: object) -> str:
    """*error*'s message, on one line and printable; its class's name where it has none."""
    return printable(" ".join(str(error).split())) or type(error).__name__


def say(line: str) -> None:
    """Write *line* to stderr, if there is one; what in it does not print is escaped."""
    if sys.stderr is not None:
        text = "\n".join(printable(each) for each in line.split("\n"))
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)


def discard_output() -> None:
    """Let what stdout still buffers go nowhere: it can take no more, and Python flushes it."""
    null = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError, AttributeError, io.UnsupportedOperation):
        os.dup2(null, sys.stdout.fileno())
    os.close(null)
