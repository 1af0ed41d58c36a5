"""Words for a log or a terminal."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["listed", "printable"]


def printable(text: str) -> str:
    """*text* with each character that does not print written as Python would escape it.

    A peer chooses its own name, and a newline or an escape sequence in it would forge lines of a
    log and take over a terminal; half a surrogate pair, which stands for a byte that is no UTF-8,
    makes most handlers of a log fail.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def listed(words: Iterable[str], last: str = "or") -> str:
    """*words* as a sentence lists them."""
    *most, end = words
    return f"{', '.join(most)} {last} {end}" if most else end
