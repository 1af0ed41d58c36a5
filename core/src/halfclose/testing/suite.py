"""The contract suite: one class, one test a rule."""

from __future__ import annotations

from typing import Any, ClassVar

from .end import EndRules
from .err import FailureRules
from .evt import EventRules
from .flu import FlushingRules
from .kinds import Kind, LaneTCP, LaneUnix, Stdio
from .pip import PipeRules
from .prd import ProducerRules
from .vrb import VerbRules

__all__ = ["ContractSuite"]


class ContractSuite(
    EventRules, VerbRules, FlushingRules, ProducerRules, FailureRules, EndRules, PipeRules
):
    """Every rule of the contract, to be run by pytest on a backend of yours::

    class TestContract(halfclose.testing.ContractSuite):
        backend = "mine"

    """

    backend: ClassVar[str]
    """The name of the backend."""

    kinds: ClassVar[tuple[Kind, ...]] = (LaneTCP(), LaneUnix(), Stdio())
    """The kinds of channel; add those of your framework's own transports."""

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run each rule on every kind of channel on which it can be seen."""
        schemes = getattr(metafunc.function, "schemes", None)
        if schemes is not None:
            chosen = [kind for kind in self.kinds if kind.scheme in schemes]
            metafunc.parametrize("kind", chosen, ids=[kind.name for kind in chosen])
