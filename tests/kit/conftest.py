"""Puts the backends of tests/stranger on the path, where discovery finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

STRANGER = Path(__file__).parents[1] / "stranger"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stranger's backend, and those that are broken."""
    for folder in ("src", "broken"):
        monkeypatch.syspath_prepend(str(STRANGER / folder))
