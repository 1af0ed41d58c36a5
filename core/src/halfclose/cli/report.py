"""How the command speaks: one line on stderr, and an exit status."""

from __future__ import annotations

import io
import logging
import os
import sys
from contextlib import suppress

from ..reasons import BackendError, EndpointError
from ..text import printable
from .voice import Voice, VoiceHandler

__all__ = [
    "FAILED",
    "USAGE",
    "Problem",
    "discard_output",
    "fall_silent",
    "log_to_stderr",
    "one_line",
    "say",
    "status_of",
]

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


_voice: Voice | None = None


def log_to_stderr(level: str | int) -> None:
    """From now on, until `fall_silent`, neither a logger nor `say` waits for who reads stderr.

    :param level: below it, nothing is logged.
    """
    global _voice
    handler: logging.Handler
    try:
        _voice = Voice(sys.stderr.fileno())
        handler = VoiceHandler(_voice)
    except (AttributeError, OSError, ValueError):
        # There is none, or something else stands in for it.
        handler = logging.StreamHandler(sys.stderr)
    logging.basicConfig(handlers=[handler], format="%(message)s", level=level)


def fall_silent() -> None:
    """Take back `log_to_stderr`, when what was said is written, or nobody reads it."""
    global _voice
    voice, _voice = _voice, None
    if voice is not None:
        voice.close()


def say(line: str) -> None:
    """Write *line* to stderr, if there is one; what in it does not print is escaped."""
    text = "\n".join(printable(each) for each in line.split("\n"))
    if _voice is not None:
        _voice.say(text)
    elif sys.stderr is not None:
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)


def discard_output() -> None:
    """Let what stdout still buffers go nowhere: it can take no more, and Python flushes it."""
    null = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError, AttributeError, io.UnsupportedOperation):
        os.dup2(null, sys.stdout.fileno())
    os.close(null)
