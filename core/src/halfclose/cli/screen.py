"""The console that tables are printed on, for a terminal or a pipe."""

from __future__ import annotations

import shutil
import sys

from rich.console import Console

__all__ = ["console"]

_WIDE = 200
"""The width of tables, in columns, if stdout is no terminal."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would exit with 1. The command dies by SIGPIPE, as filters do (see `commands`).
        raise


def console() -> Console:
    """A console for stdout that prints text as it is, without markup and guessed colours.

    Printing raises BrokenPipeError if nobody reads stdout.
    """
    out = _Console(markup=False, highlight=False, emoji=False)
    if not out.is_terminal:
        # The reader of a pipe has a width of its own, so lines are not made to fit one.
        out.width = _WIDE
    elif out.is_dumb_terminal:
        # rich takes each of these for 80 columns wide.
        out.width, out.height = shutil.get_terminal_size()
    return out


def marks() -> tuple[str, str]:
    """A tick and a cross; a plus and a minus if the encoding of stdout has none."""
    try:
        "✓✗".encode(sys.stdout.encoding)
    except (AttributeError, LookupError, UnicodeEncodeError):
        return "+", "-"
    return "✓", "✗"
