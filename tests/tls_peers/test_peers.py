"""Programs that others have written, as peers of ours over TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import credentials
from .catalogue import Cell, cells, see
from .expected import EXPECTED


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("credentials")
    credentials.make(folder)
    return folder


@pytest.mark.parametrize("cell", cells(), ids=str)
def test_it_does_what_the_table_says(cell: Cell, files: Path) -> None:
    if cell.peer.missing is not None:
        pytest.skip(cell.peer.missing)
    assert see(cell, files) == EXPECTED[cell.peer.name][cell.side][cell.version]
