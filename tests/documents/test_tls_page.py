"""What docs/tls.md shows, done as it stands there. Its tables: tests/tls_peers."""

from __future__ import annotations

from documents.blocks import example
from documents.programs import module
from documents.sessions import Folder

PAGE = "docs/tls.md"


def test_the_program(folder: Folder) -> None:
    folder.save("late.py", example(PAGE, "late"))
    folder.play(PAGE, "late")


def test_the_option() -> None:
    assert module(PAGE, "eof").accepting.truncation == "eof"
