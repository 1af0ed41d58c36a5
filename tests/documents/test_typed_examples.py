"""``mypy --strict`` finds nothing in the programs of the pages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents.blocks import ROOT, Block, blocks, pages

UNTYPED = {
    "README.md: count": "fifteen lines",
    "core/README.md: echo": "the same, for the core",
    "docs/how-to/moving-from-asyncio.md: before": "as a program may be that somebody has",
    "docs/how-to/moving-from-anyio.md: before": "likewise",
    "docs/how-to/moving-from-twisted.md: before": "likewise",
    "docs/how-to/moving-from-twisted.md: on your reactor": "Twisted is typed in part only",
    "backends/twisted/README.md: serve": "likewise",
}
"""The examples that are not checked, by how their names begin, and why."""

MODULES = {
    "ask.py": "docs/how-to/await-an-answer.md: ask",
    "connection_log.py": "docs/how-to/hooks.md: connection_log",
    "idle.py": "docs/how-to/timeouts.md: idle",
    "sort_lines.py": "docs/how-to/moving-from-anyio.md: after",
    "sorting.py": "docs/tutorial/server-and-client.md: server",
}
"""What other examples import."""

ONE_FILE = ("docs/how-to/testing-with-memory.md", "docs/tutorial/testing-in-memory.md: test")
TESTS = ("first-test", "any-cut", "stalled", "broken")
"""The blocks of the tutorial's tests, which are one file. So are all of the other page."""


def _files() -> dict[str, str]:
    """Each file that a reader has in the end, and its text."""
    files: dict[str, str] = {}
    for page in pages():
        for block in blocks(page):
            if block.language != "python" or block.mark != "example":
                continue
            name = f"{block.page}: {block.name}"
            if not any(name.startswith(untyped) for untyped in UNTYPED):
                file = re.sub(r"\W+", "_", _file(block)) + ".py"
                files[file] = files.get(file, "") + block.text
                files.update({module: block.text for module, of in MODULES.items() if of == name})
    return files


def _file(block: Block) -> str:
    if block.page == ONE_FILE[0]:
        return block.page
    if ONE_FILE[1].startswith(f"{block.page}:") and block.name in TESTS:
        return ONE_FILE[1]
    return f"{block.page}: {block.name}"


def test_every_program_is_typed(tmp_path: Path) -> None:
    files = _files()
    assert files.keys() > MODULES.keys()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=cache"]
    result = subprocess.run(
        [*command, *files], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_is_not_checked_is_there() -> None:
    names = [f"{b.page}: {b.name}" for page in pages() for b in blocks(page)]
    for untyped in UNTYPED:
        assert any(name.startswith(untyped) for name in names), untyped


@pytest.mark.parametrize("folder", ["docs/how-to/files"])
def test_the_files_are_typed_too(folder: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={tmp_path}",
    ]
    result = subprocess.run(
        [*command, "."], cwd=ROOT / folder, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
