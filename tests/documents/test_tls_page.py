"""What docs/tls.md shows, done as it stands there. Its tables: tests/tls_peers."""

from __future__ import annotations

from documents.blocks import example
from documents.sessions import Folder
from halfclose import TLSOptions

PAGE = "docs/tls.md"


def test_the_program(folder: Folder) -> None:
    folder.save("late.py", example(PAGE, "late"))
    folder.play(PAGE, "late")


def test_the_option() -> None:
    options = eval(example(PAGE, "eof"), {"TLSOptions": TLSOptions})
    assert options.truncation == "eof"
