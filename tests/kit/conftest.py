"""Puts the backends of tests/third_party on the path, where discovery finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

THIRD_PARTY = Path(__file__).parents[1] / "third_party"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's backend, and those that are broken."""
    for folder in ("src", "broken"):
        monkeypatch.syspath_prepend(str(THIRD_PARTY / folder))
