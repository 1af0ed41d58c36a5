"""The exploration as a test, for the authors of backends."""

from __future__ import annotations

from typing import ClassVar
from zlib import crc32

import pytest
from hypothesis import settings

from ...reasons import BackendError
from ..channels.channel_types import ChannelType
from .channel_types import explorable
from .search import Search
from .worker import Worker

__all__ = ["ExplorationSuite"]


class ExplorationSuite:
    """Has pytest perform scripts, made up by Hypothesis, on a backend of yours::

        class TestExploration(halfclose.testing.ExplorationSuite):
            backend = "mine"

    There is one test for each type of channel that the backend names by
    `BackendSpec.channel_types`, except standard input and output. Hypothesis's profile decides how
    many scripts a test performs, whether they are the same each time (``derandomize``), and where
    failures are kept.
    """

    backend: ClassVar[str]
    """The name of the backend."""

    channel_types: ClassVar[tuple[ChannelType, ...]] = ()
    """More types of channel than the backend names."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make one test of each type of channel.

        :param metafunc: pytest's, for one test of the class.
        :raises CollectError: pytest's: the backend is not installed or does not load.
        """
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
        """Search for a script that breaks the contract, and fail if there is one.

        :param channel_type: on which the scripts are performed.
        """
        chosen = settings()
        # Hypothesis by itself would draw the same scripts for every backend and type of channel.
        name = f"{self.backend} {channel_type.name}"
        start = crc32(name.encode()) if chosen.derandomize else None
        with Worker(self.backend, (channel_type,)) as worker:
            found = Search(worker, channel_type).run(chosen, start)
        if found is not None:
            pytest.fail(str(found), pytrace=False)
