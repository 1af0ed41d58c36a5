"""Every variant that is installed."""

from __future__ import annotations

import pytest
from cli.support import VARIANTS


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """The name of each base variant in turn."""
    name = request.param
    assert isinstance(name, str)
    return name
