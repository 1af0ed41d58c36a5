"""What checks the built site sees what is wrong with it, and what packs it gives the same bytes."""

from __future__ import annotations

import os
import tarfile
import zlib
from pathlib import Path

import pytest
from documents import site as checking
from documents.pack import pack


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site of two pages, and a reference of one name."""
    monkeypatch.setattr(checking, "names", lambda: ["halfclose.run"])
    monkeypatch.setattr(checking, "entries", list)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.html").write_text('<a href="../two.html#here">two</a><a id="top"></a>')
    (tmp_path / "two.html").write_text('<h1 id="here"></h1><a href="a/one.html">1</a>')
    (tmp_path / "objects.inv").write_bytes(
        b"# zlib.\n" + zlib.compress(b"halfclose.run py:function")
    )
    (tmp_path / "searchindex.js").write_text("halfclos")
    return tmp_path


def test_nothing_is_wrong(site: Path) -> None:
    assert list(checking.complaints(site)) == []


@pytest.mark.parametrize(
    ("html", "complaint"),
    [
        ('<a href="three.html">', "two.html: three.html: there is no such file"),
        ('<img src="three.svg">', "two.html: three.svg: there is no such file"),
        ('<a href="a/one.html#x">', "two.html: a/one.html#x: there is no such place on that page"),
        ('<a href="#x">', "two.html: #x: there is no such place on that page"),
    ],
)
def test_a_wrong_link(site: Path, html: str, complaint: str) -> None:
    (site / "two.html").write_text(f'<h1 id="here"></h1>{html}')
    assert list(checking.complaints(site)) == [complaint]


def test_a_name_that_is_missing(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "names", lambda: ["halfclose.walk"])
    assert list(checking.complaints(site)) == [
        "objects.inv: halfclose.walk is not in the reference"
    ]


def test_no_index(site: Path) -> None:
    (site / "searchindex.js").unlink()
    assert list(checking.complaints(site)) == ["searchindex.js: there is no index to search"]


def test_the_archive_is_the_same_each_time(site: Path, tmp_path: Path) -> None:
    first, second = (tmp_path / name / "docs-1.tar.gz" for name in ("x", "y"))
    for archive in (first, second):
        archive.parent.mkdir()
        pack(site / "a", archive)
        os.utime(site / "a" / "one.html", (0, 0))
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar:
        assert tar.getnames() == ["docs-1/one.html"]
