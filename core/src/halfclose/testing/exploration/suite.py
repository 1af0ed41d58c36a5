"""The exploration as a test, for the authors of backends."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import settings

from ...reasons import BackendError
from ..channels.channel_types import ChannelType
from .channel_types import explorable
from .search import Search
from .worker import Worker

__all__ = ["ExplorationSuite"]


class ExplorationSuite:
    """Scripts that Hypothesis makes up, on a backend of yours, to be run by pytest::

    class TestExploration(halfclose.testing.ExplorationSuite):
        backend = "mine"

    There is one test for each type of channel that the backend names by
    `BackendSpec.channel_types`, standard input and output apart. How many scripts it performs,
    whether they are the same each time, and where failures are kept, is for Hypothesis's profile to
    say.
    """

    backend: ClassVar[str]
    """The name of the backend."""

    channel_types: ClassVar[tuple[ChannelType, ...]] = ()
    """Types of channel beside those that the backend names."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Explore every type of channel by itself."""
        if "channel_type" in metafunc.fixturenames:
            try:
                channel_types = (*explorable(self.backend), *self.channel_types)
            except BackendError as error:
                raise pytest.Collector.CollectError(str(error)) from None
            metafunc.parametrize(
                "channel_type",
                channel_types,
                ids=[channel_type.name for channel_type in channel_types],
            )

    def test_exploration(self, channel_type: ChannelType) -> None:
        """No script breaks the contract."""
        with Worker(self.backend, (channel_type,)) as worker:
            found = Search(worker, channel_type).run(settings())
        if found is not None:
            pytest.fail(str(found), pytrace=False)
