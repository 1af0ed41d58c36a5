"""TLS of Twisted's takes the time from the reactor of the process, and installs one if it must."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import twisted.internet

_REACTOR = "twisted.internet.reactor"


@pytest.fixture(autouse=True)
def no_reactor_is_left() -> Iterator[None]:
    """Another test in this process may want to install its own."""
    had_one = _REACTOR in sys.modules
    yield
    if not had_one and sys.modules.pop(_REACTOR, None) is not None:
        del twisted.internet.reactor
