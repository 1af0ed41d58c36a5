"""The links of the documents that stay in the repository, and what each leads to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from documents.blocks import ROOT
from rule_map.contract import anchor as anchor_of

__all__ = ["Link", "links", "wrong"]


class Link(NamedTuple):
    """A link of a page.

    :param page: the page's path, from the root of the repository.
    :param path: where it leads, as it is written; empty: the page itself.
    :param anchor: what stands after the ``#``.
    """

    page: str
    path: str
    anchor: str


_FENCED = re.compile(r"^( *```+).*?^\1 *$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"(?:\]\(|\b(?:src|srcset|href)=\")([^)\"\s#]*)(?:#([^)\"\s]*))?[)\"]")


def links(page: Path) -> Iterator[Link]:
    """The links of *page*, in order."""
    text = _FENCED.sub("", page.read_text())
    for path, anchor in _LINK.findall(_CODE.sub("", text)):
        if not re.match(r"[a-z]+:", path):
            yield Link(str(page.relative_to(ROOT)), path, anchor)


def wrong(link: Link) -> str:
    """Why *link* leads nowhere; empty: it does lead somewhere."""
    page = ROOT / link.page
    target = page.parent / link.path if link.path else page
    if not target.exists():
        return "there is no such file"
    if not target.resolve().is_relative_to(ROOT):
        return "it leads out of the repository"
    if not link.anchor:
        return ""
    if target.suffix == ".md":
        return "" if link.anchor in _anchors(target) else "that page has no such heading"
    line = re.fullmatch(r"L(\d+)", link.anchor)
    lines = len(target.read_text().splitlines())
    return "" if line and 1 <= int(line[1]) <= lines else "that file has no such line"


@cache
def _anchors(page: Path) -> set[str]:
    """The anchors of *page*: a forge makes one of each heading."""
    text = _FENCED.sub("", page.read_text())
    found: dict[str, int] = {}
    anchors = set(re.findall(r"\bid=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#+ (.+?) *$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = anchor_of(shown)
        times = found[slug] = found.get(slug, -1) + 1
        anchors.add(f"{slug}-{times}" if times else slug)
    return anchors
