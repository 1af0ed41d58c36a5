"""What docs/explanation/half-close.md shows, done as it stands there; its marks are those of the
scorecard."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli.support import halfclose_
from documents.blocks import ROOT, example
from documents.shell import Folder

PAGE = functools.partial(example, "docs/explanation/half-close.md")
TEXT = (ROOT / "docs" / "explanation" / "half-close.md").read_text()


@pytest.mark.parametrize("name", ["pair", "unread"])
def test_a_program_prints_what_is_shown(name: str, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.save(f"{name}.py", PAGE(name))
    folder.run(PAGE(name, "session"))


def test_a_filter(tmp_path: Path) -> None:
    Folder(tmp_path).run(PAGE("filter", "session"))


def test_a_server_for_http_answers_a_client_that_has_half_closed(tmp_path: Path) -> None:
    serving, asking = PAGE("http").splitlines()
    assert serving == "python -m http.server --bind 127.0.0.1 8000"
    question, command = asking.split(" | ")
    assert command == "halfclose connect tcp:127.0.0.1:8000"
    request = subprocess.run(["sh", "-c", question], capture_output=True, check=True).stdout
    with subprocess.Popen(
        [sys.executable, "-um", "http.server", "--bind", "127.0.0.1", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            found = re.search(r"port (\d+)", server.stdout.readline())
            assert found is not None
            result = halfclose_("connect", f"tcp:127.0.0.1:{found[1]}", data=request)
        finally:
            server.kill()
    assert result.status == 0
    assert result.out.startswith(b"HTTP/1.0 200 OK\r\n")


def test_the_rows_are_those_of_the_scorecard() -> None:
    scorecard = (ROOT / "docs" / "scorecard.md").read_text()
    table = TEXT.partition("<!-- rows of the scorecard: begin -->\n")[2].partition("<!-- rows")[0]
    head, _, *rows = (_cells(line) for line in table.splitlines())
    assert len(rows) == 6
    heads = [_cells(line) for line in scorecard.splitlines() if line.startswith("| Rule | About ")]
    assert heads
    assert all(of_it[-7:] == head[-7:] for of_it in heads)
    for row in rows:
        (its,) = (
            _cells(line)
            for line in scorecard.splitlines()
            if re.match(rf"\| \[?{row[0].partition(':')[0]}\b", line)
        )
        assert row[-7:] == its[-7:], row[0]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]
