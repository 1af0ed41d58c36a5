"""Checks a site that was built: ``python -m documents.site FOLDER``, run in ``tests/``.

Every link that stays in it leads to a page, and its anchor to a place on that page; the reference
has every public name and member; and there is an index to search.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from documents.docstrings import fields
from documents.public import documented, entries, members, names, own_doc

__all__ = ["complaints"]


class _Page(HTMLParser):
    """The places of a page, and where it leads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.places.add(value)
            if name in ("href", "src") and not (tag == "link" and ("rel", "canonical") in attrs):
                self.links.add(value)
            if name == "srcset":
                self.links.update(part.split()[0] for part in value.split(","))


def complaints(site: Path) -> Iterator[str]:
    """What is wrong with *site*, a line for each thing."""
    pages = {path: _Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            where = f"{path.relative_to(site)}: {link}"
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                yield f"{where}: there is no such file"
            elif target in pages and unquote(parts.fragment) not in {"", *pages[target].places}:
                yield f"{where}: there is no such place on that page"
    inventory = _inventory(site / "objects.inv")
    for name in [*names(), *_members()]:
        if name not in inventory:
            yield f"objects.inv: {name} is not in the reference"
    index = site / "searchindex.js"
    if not index.is_file() or "halfclos" not in index.read_text():
        yield "searchindex.js: there is no index to search"


def _members() -> Iterator[str]:
    """The members that have to have an entry: not those that their class describes."""
    for entry in entries():
        told = {field.name for field in fields(own_doc(documented(entry)))}
        for member in members(entry):
            if member.name.rpartition(".")[2] not in told:
                yield member.name


def _inventory(path: Path) -> set[str]:
    """The names that the inventory at *path* has."""
    head, _, packed = path.read_bytes().partition(b"zlib.\n")
    assert packed, head
    return {line.split()[0] for line in zlib.decompress(packed).decode().splitlines()}


if __name__ == "__main__":
    found = list(complaints(Path(sys.argv[1]).resolve()))
    for complaint in found[:50]:
        print(complaint)
    sys.exit(f"{len(found)} complaints about the site" if found else 0)
