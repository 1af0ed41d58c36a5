"""Reads docstrings: their first paragraph, and their fields such as ``:param name:``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["Field", "documentation", "fields", "first_paragraph", "markdown"]


class Field(NamedTuple):
    """One field of a docstring.

    :param kind: "param", "returns" or "raises".
    :param name: of the parameter or the exception; empty for "returns".
    :param text: what is said of it, on one line.
    """

    kind: str
    name: str
    text: str


def documentation(thing: Any) -> str:
    """The docstring of *thing* itself, not that of a base class."""
    return inspect.cleandoc(thing.__doc__ or "")


_FIELD = re.compile(
    r"^:(param|returns|raises) ?(\w*):(.*?)(?=^:\w|^\S|\Z)", re.MULTILINE | re.DOTALL
)


def fields(docstring: str) -> Iterator[Field]:
    """The fields of *docstring*, in order."""
    for kind, name, text in _FIELD.findall(docstring):
        yield Field(kind, name, " ".join(text.split()))


def first_paragraph(docstring: str) -> str:
    """What *docstring* begins with, on one line."""
    return " ".join(docstring.partition("\n\n")[0].split())


def markdown(text: str) -> str:
    """*text* of a docstring for a cell of a table."""
    text = re.sub(r"\*(\w+)\*", r"`\1`", text.replace("``", "`").replace("|", "\\|"))
    return text[:1].upper() + text[1:]
