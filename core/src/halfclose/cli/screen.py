"""How tables come out, on a terminal and in a pipe."""

from __future__ import annotations

import sys

from rich.console import Console

__all__ = ["console"]

_WIDE = 200


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would exit with 1: let the command die as filters do.
        raise


def console() -> Console:
    """A console for stdout, which takes text as it is: no markup, no guessed colours.

    It raises BrokenPipeError where nobody reads it.
    """
    out = _Console(markup=False, highlight=False, emoji=False)
    if not out.is_terminal:
        # Who reads a pipe wraps lines himself, if at all.
        out.width = _WIDE
    return out


def marks() -> tuple[str, str]:
    """A tick and a cross, or what stands for them where they cannot be written."""
    try:
        "✓✗".encode(sys.stdout.encoding)
    except (AttributeError, LookupError, UnicodeEncodeError):
        return "+", "-"
    return "✓", "✗"
