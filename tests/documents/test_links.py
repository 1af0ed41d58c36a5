"""Every link of a document leads to a file, a folder, a heading or a line that is there.

Those of the site are looked at once more where it is built: see `site`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from documents.blocks import ROOT, pages
from documents.links import Link, links, wrong


def test_links_lead_somewhere() -> None:
    every = {page.relative_to(ROOT): list(links(page)) for page in pages()}
    assert sum(map(len, every.values())) > 1000
    found = {
        f"{page}: {link.path}#{link.anchor}": wrong(link)
        for page, there in every.items()
        for link in there
    }
    assert {link: why for link, why in found.items() if why} == {}


@pytest.mark.parametrize(
    ("path", "anchor", "why"),
    [
        ("docs/contract.md", "", ""),
        ("docs/contract.md", "capabilities", ""),
        ("docs/contract.md", "no-such", "that page has no such heading"),
        ("docs/none.md", "", "there is no such file"),
        ("tests/documents", "", ""),
        ("tests/documents/links.py", "L1", ""),
        ("tests/documents/links.py", "L1000000", "that file has no such line"),
        ("tests/documents/links.py", "x", "that file has no such line"),
        ("../outside", "", "there is no such file"),
        ("..", "", "it leads out of the repository"),
    ],
)
def test_a_wrong_link_is_seen(path: str, anchor: str, why: str) -> None:
    assert wrong(Link("README.md", path, anchor)) == why


def test_links_in_code_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '[a](b.md#c) `[d](e)`\n```\n[f](g)\n```\n<img src="h.svg"> [i](#j) [k](https://l)\n'
    )
    monkeypatch.setattr("documents.links.ROOT", tmp_path)
    assert [link[1:] for link in links(page)] == [("b.md", "c"), ("h.svg", ""), ("", "j")]
