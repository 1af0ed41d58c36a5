"""docs/how-to/pipes.md: every session."""

from __future__ import annotations

import shutil

import pytest
from documents.deployment import FILES
from documents.sessions import Folder


@pytest.mark.parametrize("name", ["filter", "connection", "statuses"])
def test_session(name: str, folder: Folder) -> None:
    """Those of "pipes.md", as they are."""
    for file in FILES.glob("*.py"):
        shutil.copy(file, folder.path)
    folder.play("docs/how-to/pipes.md", name, any_order=True)
