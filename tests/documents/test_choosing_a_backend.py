"""docs/how-to/choosing-a-backend.md: the program prints what the page shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import halfclose
import pytest
from documents.blocks import ROOT, example

PAGE = "docs/how-to/choosing-a-backend.md"


def test_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "names.py").write_text(example(PAGE, "names"))
    command, *printed = example(PAGE, "names", "session").splitlines()
    setting, program = command.removeprefix("$ ").split(" ", 1)
    assert program == "python names.py"
    monkeypatch.setenv(*setting.split("="))
    result = subprocess.run(
        [sys.executable, "names.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (result.stdout.splitlines(), result.stderr) == (printed, "")


def test_the_table_has_every_backend() -> None:
    table = re.search(r"^\| backend \|.+?\n\n", (ROOT / PAGE).read_text(), re.MULTILINE | re.DOTALL)
    assert table is not None
    first = [row.split("|")[1] for row in table[0].strip().splitlines()[2:]]
    names = re.findall(r"`([a-z+]+)`", " ".join(first))
    # A variant by its last part alone belongs to the one named before it.
    named = {name if name[0] != "+" else f"twisted{name}" for name in names}
    assert named == set(halfclose.available_backends()) - {"anyio", "twisted"}
