"""What docs/explanation/half-close.md shows, done as it stands there; its marks are those of the
scorecard."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from cli.support import halfclose_
from documents.blocks import ROOT, example
from documents.sessions import Folder
from documents.tables import cells, marks

PAGE = "docs/explanation/half-close.md"


@pytest.mark.parametrize("name", ["pair", "unread"])
def test_a_program_prints_what_is_shown(name: str, folder: Folder) -> None:
    folder.save(f"{name}.py", example(PAGE, name))
    folder.play(PAGE, name)


def test_a_filter(folder: Folder) -> None:
    folder.play(PAGE, "filter")


def test_a_server_for_http_answers_a_client_that_has_half_closed(folder: Folder) -> None:
    serving, asking = example(PAGE, "http").splitlines()
    assert serving == "python -m http.server --bind 127.0.0.1 8000"
    question, command = asking.split(" | ")
    assert command == "halfclose connect tcp:127.0.0.1:8000"
    request = subprocess.run(["sh", "-c", question], capture_output=True, check=True).stdout
    with subprocess.Popen(
        [sys.executable, "-um", "http.server", "--bind", "127.0.0.1", "0"],
        cwd=folder.path,
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
    text = (ROOT / PAGE).read_text()
    table = text.partition("<!-- rows of the scorecard: begin -->\n")[2].partition("<!-- rows")[0]
    head, _, *rows = (cells(line) for line in table.splitlines())
    assert len(rows) == 6
    for row in rows:
        its = list(marks(row[0].partition(":")[0]).items())
        assert list(zip(head, row, strict=True))[-7:] == its[-7:], row[0]
