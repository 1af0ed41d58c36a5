"""docs/how-to/writing-an-endpoint.md quotes the plugin of these tests as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from halfclose import Scheme

ROOT = Path(__file__).parents[2]

DOCUMENT = (ROOT / "docs" / "how-to" / "writing-an-endpoint.md").read_text()

QUOTED = re.findall(r"<!-- from: (\S+) -->\n```python\n(.+?)```", DOCUMENT, re.DOTALL)


def test_every_quotation_is_looked_at() -> None:
    assert len(QUOTED) == DOCUMENT.count("<!-- from:")


@pytest.mark.parametrize(("file", "text"), QUOTED, ids=["endpoint", "scheme", "plugin"])
def test_quotation_is_the_files_text(file: str, text: str) -> None:
    assert text in (ROOT / file).read_text()


def test_all_of_the_plugin_but_its_imports_is_quoted() -> None:
    code = (ROOT / "tests" / "endpoints" / "temporary_unix.py").read_text()
    assert code.endswith("\n\n\n".join(text for _, text in QUOTED).replace("\n\n\n\n", "\n\n\n"))


def test_all_that_a_scheme_can_say_is_in_the_table() -> None:
    words = {name for name in (*vars(Scheme), *Scheme.__annotations__) if not name.startswith("_")}
    told = re.findall(r"^\| `(\w+)", DOCUMENT, re.MULTILINE)
    assert sorted(told) == sorted(words)
