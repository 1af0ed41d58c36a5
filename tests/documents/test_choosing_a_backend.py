"""docs/how-to/choosing-a-backend.md: the program prints what the page shows."""

from __future__ import annotations

import re

import halfclose
from documents.blocks import ROOT, example
from documents.sessions import Folder

PAGE = "docs/how-to/choosing-a-backend.md"


def test_the_session(folder: Folder) -> None:
    folder.save("names.py", example(PAGE, "names"))
    folder.play(PAGE, "names")


def test_the_table_has_every_backend() -> None:
    table = re.search(r"^\| backend \|.+?\n\n", (ROOT / PAGE).read_text(), re.MULTILINE | re.DOTALL)
    assert table is not None
    first = [row.split("|")[1] for row in table[0].strip().splitlines()[2:]]
    names = re.findall(r"`([a-z+]+)`", " ".join(first))
    # A variant by its last part alone belongs to the one named before it.
    named = {name if name[0] != "+" else f"twisted{name}" for name in names}
    assert named == set(halfclose.available_backends()) - {"anyio", "twisted"}
