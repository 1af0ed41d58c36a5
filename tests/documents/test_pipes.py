"""docs/how-to/pipes.md: every session."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from documents.deployment import FILES
from documents.sessions import play


@pytest.mark.parametrize("name", ["filter", "connection", "statuses"])
def test_session(name: str, tmp_path: Path) -> None:
    """Those of "pipes.md", as they are."""
    for file in FILES.glob("*.py"):
        shutil.copy(file, tmp_path)
    play("docs/how-to/pipes.md", name, tmp_path)
