"""Descriptors 0 to 2, before anything else: what is opened while one is free gets its number."""

from __future__ import annotations

import os
import sys

__all__ = ["fill_standard_descriptors", "was_closed"]

_filled: set[int] = set()


def fill_standard_descriptors() -> None:
    """Put something at each standard descriptor that is closed, so that nothing else comes there.

    To read from such an input, or to write to such an output, fails as on the closed one (EBADF):
    it is /dev/null, opened the other way round. So a command whose output is closed fails when it
    has something to print, as cat does. Idempotent.
    """
    for standard in range(3):
        try:
            os.fstat(standard)
        except OSError:
            # The lowest that is free is the one that we look at.
            null = os.open(os.devnull, os.O_RDONLY if standard else os.O_WRONLY)
            os.set_inheritable(null, True)
            _filled.add(null)
    if sys.stdout is None and 1 in _filled:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - the program's, to its end


def was_closed(standard: int) -> bool:
    """Whether the descriptor *standard* was closed when this process began."""
    return standard in _filled
