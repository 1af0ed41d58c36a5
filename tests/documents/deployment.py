"""What the pages about running a server have in common: their files, and how the tests use them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from documents.blocks import ROOT
from warm import PROGRAM

__all__ = ["FILES", "here"]

FILES = ROOT / "docs" / "how-to" / "files"
"""The files that the pages quote, and that a reader copies."""

_HERE = {
    "/opt/halfclose/bin/halfclose": PROGRAM,
    "/opt/halfclose/bin/python": sys.executable,
    "/srv/sums": str(FILES),
}


def here(words: Sequence[str], more: Mapping[str, str] | None = None) -> list[str]:
    """A command line of a file, with the places where its programs are on this machine.

    :param more: what else stands for something else here.
    """
    changed = list(words)
    for before, after in {**_HERE, **(more or {})}.items():
        changed = [word.replace(before, after) for word in changed]
    return changed
