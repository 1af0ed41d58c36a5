"""Makes sure that descriptors 0 to 2 are in use, before anything else is opened.

Else the next file that is opened would get the number of the one that is free.
"""

from __future__ import annotations

import os
import sys

__all__ = ["fill_standard_descriptors", "was_closed"]

_filled: set[int] = set()
"""The standard descriptors that were closed, and that we have filled."""


def fill_standard_descriptors() -> None:
    """Put /dev/null at each standard descriptor that is closed. Idempotent.

    An input is opened for writing only, and an output for reading only. So using it fails with
    EBADF, as if it were still closed, and a command whose output is closed fails when it prints
    something, as cat does.
    """
    for standard in range(3):
        try:
            os.fstat(standard)
        except OSError:
            # This gets the number *standard*, which is the lowest free one.
            null = os.open(os.devnull, os.O_RDONLY if standard else os.O_WRONLY)
            os.set_inheritable(null, True)
            _filled.add(null)
    if sys.stdout is None and 1 in _filled:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - open until the program ends


def was_closed(standard: int) -> bool:
    """Whether the descriptor *standard* was closed when this process began."""
    return standard in _filled
