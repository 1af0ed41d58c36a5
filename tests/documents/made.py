"""The parts of pages that are made from the code.

Such a part stands between ``<!-- made: NAME -->`` and ``<!-- made: end -->``. ``python -m
documents``, run in ``tests/``, writes each of them anew, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable

from documents.blocks import ROOT
from documents.errors import errors, raised
from documents.helps import helps
from documents.options import backend_options, calls, connection_options

__all__ = ["MADE", "anew"]

MADE: dict[str, dict[str, Callable[[], str]]] = {
    "docs/reference/command.md": {"helps": helps},
    "docs/reference/errors.md": {"errors": errors, "raised": raised},
    "docs/reference/options.md": {
        "connection options": connection_options,
        "calls": calls,
        "backend options": backend_options,
    },
}
"""What makes the parts of each page."""


def anew(page: str) -> str:
    """The text of *page*, a key of `MADE`, with its parts as the code has them now."""
    text = (ROOT / page).read_text()
    for name, make in MADE[page].items():
        begin, end = f"<!-- made: {name} -->\n", "<!-- made: end -->"
        before, found, rest = text.partition(begin)
        assert found, f"{page} has no part {name!r}"
        text = f"{before}{begin}\n{make()}\n\n{end}{rest.partition(end)[2]}"
    return text
