"""Reads docs/contract.md: its chapters and the rules in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGE", "ROOT", "Chapter", "anchor", "chapters", "statements"]

ROOT = Path(__file__).parents[2]

PAGE = ROOT / "docs" / "contract.md"

_RULE = re.compile(
    r"^### ([A-Z]{3,4}-\d\d)\n\n(.+?)\s*(?=^Test: |^##|\Z)", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Chapter:
    """One chapter of the contract.

    :param title: its heading.
    :param about: what it promises: its first paragraph, as one line.
    :param rules: the ids of its rules, in their order.
    """

    title: str
    about: str
    rules: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the ids of its rules begin with."""
        return self.title.partition(":")[0]


def chapters() -> list[Chapter]:
    """The contract's chapters, in their order."""
    found = []
    for part in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        title, about, *_ = part.split("\n\n")
        rules = tuple(rule for rule, _ in _RULE.findall(part))
        if rules:
            found.append(Chapter(title, " ".join(about.split()), rules))
    return found


def statements() -> dict[str, str]:
    """What each rule says, by its id, as one line."""
    return {rule: " ".join(text.split()) for rule, text in _RULE.findall(PAGE.read_text())}


def anchor(heading: str) -> str:
    """The address of a heading inside its page, as forges and MyST make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
