"""What the tests of the documents are given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from documents.sessions import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """An empty folder in which a reader works."""
    with Folder(tmp_path) as made:
        yield made
