"""Tables of the pages, and the scorecard, of which other pages speak."""

from __future__ import annotations

import re

from documents.blocks import ROOT

__all__ = ["cells", "marks"]


def cells(line: str) -> list[str]:
    """The cells of a row."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def marks(rule: str) -> dict[str, str]:
    """The row of *rule* in the scorecard, by the heads of its columns."""
    text = (ROOT / "docs" / "scorecard.md").read_text()
    found = re.search(rf"^\| \[{rule}\].*$", text, re.MULTILINE)
    assert found is not None, rule
    above = reversed(text[: found.start()].splitlines())
    head = next(line for line in above if line.startswith("| Rule"))
    return dict(zip(cells(head), cells(found[0]), strict=True))
