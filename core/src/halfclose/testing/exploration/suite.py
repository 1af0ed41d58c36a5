"""The exploration as a test, for the authors of backends."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import settings

from ...reasons import BackendError
from ..channels.kinds import Kind
from .kinds import explorable
from .search import Search
from .worker import Worker

__all__ = ["ExplorationSuite"]


class ExplorationSuite:
    """Scripts that Hypothesis makes up, on a backend of yours, to be run by pytest::

    class TestExploration(halfclose.testing.ExplorationSuite):
        backend = "mine"

    There is one test for each kind of channel that the backend names by `BackendSpec.kinds`,
    standard input and output apart. How many scripts it performs, whether they are the same each
    time, and where failures are kept, is for Hypothesis's profile to say.
    """

    backend: ClassVar[str]
    """The name of the backend."""

    kinds: ClassVar[tuple[Kind, ...]] = ()
    """Kinds of channel beside those that the backend names."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Explore every kind of channel by itself."""
        if "kind" in metafunc.fixturenames:
            try:
                kinds = (*explorable(self.backend), *self.kinds)
            except BackendError as error:
                raise pytest.Collector.CollectError(str(error)) from None
            metafunc.parametrize("kind", kinds, ids=[kind.name for kind in kinds])

    def test_exploration(self, kind: Kind) -> None:
        """No script breaks the contract."""
        with Worker(self.backend, (kind,)) as worker:
            found = Search(worker, kind).run(settings())
        if found is not None:
            pytest.fail(str(found), pytrace=False)
