"""No block of code in a document goes unchecked.

Each test looks at all blocks, and names those that are wrong: a test for each block would cost more
than what it does.
"""

from __future__ import annotations

from documents.blocks import ROOT, Block, blocks, pages

CODE = ("python", "console", "pycon")

EVERY = [block for page in pages() for block in blocks(page) if block.language in CODE]


def places(wrong: list[Block]) -> list[str]:
    return [f"{block.page}:{block.line}" for block in wrong]


def test_a_block_says_how_it_is_checked() -> None:
    assert EVERY
    assert places([b for b in EVERY if b.mark not in ("example", "session", "from")]) == []


def test_some_test_asks_for_it() -> None:
    """By the name of its page and its own, each a string in a file of the tests."""
    tests = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]

    def is_asked_for(block: Block) -> bool:
        page = block.page.rpartition("/")[2]
        return any(page in text and f'"{block.name}"' in text for text in tests)

    run = [block for block in EVERY if block.mark in ("example", "session")]
    assert places([block for block in run if not is_asked_for(block)]) == []


def test_a_quotation_is_word_for_word() -> None:
    quoted = [block for block in EVERY if block.mark == "from"]
    assert places([b for b in quoted if b.text not in (ROOT / b.name).read_text()]) == []
