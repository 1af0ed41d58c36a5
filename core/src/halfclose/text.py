"""Prepares text for a log or a terminal."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["listed", "one_line", "printable", "said"]


def printable(text: str) -> str:
    """*text*, with each character that cannot be printed replaced by Python's escape for it.

    A peer chooses its own name. With a newline or an escape sequence in it, it could forge lines of
    a log or take over a terminal. Half a surrogate pair, which stands for a byte that is no UTF-8,
    makes most log handlers fail.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def one_line(error: object) -> str:
    """The message of *error*, on one line and printable; without one, the name of its class."""
    return printable(" ".join(str(error).split())) or type(error).__name__


def listed(words: Iterable[str], last: str = "or") -> str:
    """*words* as a list in a sentence: "a, b or c".

    :param words: at least one.
    :param last: what stands before the last word.
    """
    *most, end = words
    return f"{', '.join(most)} {last} {end}" if most else end


def said(error: BaseException) -> str:
    """The message of *error*; something in its place if it cannot even be asked.

    For what a plugin has raised: without this, the failure that is to be told would be lost in
    another one.
    """
    try:
        return str(error)
    except Exception as failure:
        return f"its message cannot be made ({type(failure).__name__})"
