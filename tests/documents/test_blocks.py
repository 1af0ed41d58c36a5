"""No block of code in a document goes unchecked."""

from __future__ import annotations

import functools

import pytest
from documents.blocks import ROOT, Block, blocks, pages

CODE = ("python", "console", "pycon")

EVERY = [block for page in pages() for block in blocks(page) if block.language in CODE]


def _id(block: Block) -> str:
    return f"{block.page}:{block.line}"


@pytest.mark.parametrize("block", EVERY, ids=_id)
def test_a_block_says_how_it_is_checked(block: Block) -> None:
    assert block.mark in ("example", "session", "from"), block.text


@pytest.mark.parametrize("block", [b for b in EVERY if b.mark in ("example", "session")], ids=_id)
def test_some_test_asks_for_it(block: Block) -> None:
    """By the name of its page and its own, each a string in a file of the tests."""
    page = block.page.rpartition("/")[2]
    assert any(page in text and f'"{block.name}"' in text for text in _tests())


@functools.cache
def _tests() -> list[str]:
    return [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]


@pytest.mark.parametrize("block", [b for b in EVERY if b.mark == "from"], ids=_id)
def test_a_quotation_is_word_for_word(block: Block) -> None:
    assert block.text in (ROOT / block.name).read_text()
