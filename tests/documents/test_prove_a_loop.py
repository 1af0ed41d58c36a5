"""docs/how-to/prove-a-loop.md: the session is what the command prints."""

from __future__ import annotations

from documents.sessions import Folder


def test_the_session(folder: Folder) -> None:
    folder.play("docs/how-to/prove-a-loop.md", "one rule")
