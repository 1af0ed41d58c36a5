"""The messages of the command, on stderr, and its exit statuses."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..reasons import BackendError, EndpointError, HalfcloseError
from ..text import one_line, printable
from .stderr_writer import Voice, VoiceHandler

__all__ = [
    "FAILED",
    "USAGE",
    "Problem",
    "discard_output",
    "fall_silent",
    "log_to_stderr",
    "reported",
    "say",
    "status_of",
]

FAILED = 1
"""The exit status if the arguments were right, but something went wrong."""

USAGE = 2
"""The exit status if the arguments are wrong."""


class Problem(Exception):
    """An error that ends the command with one line on stderr.

    :param message: the line.
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


@contextmanager
def reported(what: str) -> Iterator[None]:
    """Make a `Problem` that begins with *what* of an exception that comes from a broken plugin.

    The traceback is for the plugin's author, who finds it in the log at the level debug.
    """
    try:
        yield
    except (HalfcloseError, Problem):
        raise
    except Exception as error:
        logging.getLogger("halfclose").debug(what, exc_info=error)
        failure = f"{type(error).__name__}: {one_line(error)}"
        raise Problem(f"{what.removesuffix(':')}: {failure}") from error


_voice: Voice | None = None


def log_to_stderr(level: str | int) -> None:
    """Log to stderr, and until `fall_silent` have a thread write it.

    So neither a logger nor `say` waits if whoever reads stderr is slow.

    :param level: the lowest level that is logged.
    """
    global _voice
    handler: logging.Handler
    try:
        _voice = Voice(sys.stderr.fileno())
        handler = VoiceHandler(_voice)
    except (AttributeError, OSError, ValueError):
        # There is no stderr, or an object without a descriptor has replaced it.
        handler = logging.StreamHandler(sys.stderr)
    logging.basicConfig(handlers=[handler], format="%(message)s", level=level)


def fall_silent() -> None:
    """End what `log_to_stderr` began, after everything is written, or nobody reads it."""
    global _voice
    voice, _voice = _voice, None
    if voice is not None:
        voice.close()


def say(line: str) -> None:
    """Write *line* to stderr, if there is one. Characters that cannot be printed are escaped."""
    text = "\n".join(printable(each) for each in line.split("\n"))
    if _voice is not None:
        _voice.say(text)
    elif sys.stderr is not None:
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)


def discard_output() -> None:
    """Put /dev/null at stdout, after writing has failed.

    Python flushes its buffer of stdout at the end, which would fail once more.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError, AttributeError, io.UnsupportedOperation):
        os.dup2(null, sys.stdout.fileno())
    os.close(null)
