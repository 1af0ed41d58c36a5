"""docs/how-to/writing-a-backend.md quotes all of the example; `documents` sees that it does so
word for word."""

from __future__ import annotations

from documents.blocks import ROOT, blocks


def test_every_file_of_the_example_is_quoted() -> None:
    """But for its package's own, which is empty."""
    page = ROOT / "docs" / "how-to" / "writing-a-backend.md"
    quoted = {block.name for block in blocks(page) if block.mark == "from"}
    files = {
        str(path.relative_to(ROOT))
        for folder in ("src", "tests")
        for path in (ROOT / "tests" / "third_party" / folder).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert {file for file in quoted if file.endswith(".py")} == files
