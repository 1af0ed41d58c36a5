"""docs/how-to/writing-a-backend.md quotes the example, and quotes it as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DOCUMENT = (ROOT / "docs" / "how-to" / "writing-a-backend.md").read_text()

QUOTED = re.findall(r"<!-- from: (\S+) -->\n```\w+\n(.+?)```", DOCUMENT, re.DOTALL)


def test_every_file_of_the_example_is_quoted() -> None:
    """But for its package's own, which is empty."""
    files = {
        str(path.relative_to(ROOT))
        for folder in ("src", "tests")
        for path in (ROOT / "tests" / "third_party" / folder).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert {file for file, _ in QUOTED if file.endswith(".py")} == files


def test_every_quotation_is_looked_at() -> None:
    assert len(QUOTED) == DOCUMENT.count("<!-- from:")


@pytest.mark.parametrize(("file", "text"), QUOTED, ids=[file for file, _ in QUOTED])
def test_quotation_is_the_files_text(file: str, text: str) -> None:
    assert text in (ROOT / file).read_text()
