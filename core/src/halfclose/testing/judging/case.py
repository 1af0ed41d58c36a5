"""A case: one rule on one channel type of one backend, which is to be judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...discovery import load_backend
from ...plugins import load_plugins
from ..channels.channel_types import ChannelType
from ..hosts import HALFCLOSE_RUN, Host
from ..tools.harness import Rule
from .isolation import Died, Work, each
from .trial import Trial
from .verdict import Verdict

__all__ = ["CONNECTION_LIMIT", "TIME_LIMIT", "Case", "try_connections"]

TIME_LIMIT = 60.0
"""Seconds that one rule may take on one channel type."""

CONNECTION_LIMIT = 20.0
"""Seconds that the trial connection may take, which is made before any rule is tried."""


@dataclass(frozen=True)
class Case:
    """One rule that a backend is tested against, in a process of its own.

    :param suite: an instance of the suite that has the rule's test as a method.
    :param backend: the backend's name.
    :param channel_type: the channel type on which the rule is tested.
    :param rule: the rule and its test.
    :param host: the host that starts the loop.
    """

    suite: Any
    backend: str
    channel_type: ChannelType
    rule: Rule
    host: Host = HALFCLOSE_RUN

    def judge(self, limit: float = TIME_LIMIT) -> Verdict:
        """Test the backend against the rule, and give the verdict.

        :param limit: seconds after which the process is killed and the rule has failed.
        """
        ((_, result),) = each([self.work(limit)], 1, limit)
        return self.conclude(result, limit)

    def work(self, limit: float) -> Work[Case, Verdict]:
        """The work of the process: to test the rule.

        If not even a trial connection works there, the work only says that.

        :param limit: seconds that the rule may take.
        """
        try_connections([self], 1, limit)
        useless = _tried[self.backend, self.channel_type, self.host, min(limit, CONNECTION_LIMIT)]
        if useless is not None:
            return Work(self, lambda: self._failed(useless.what, useless.output, 0.0))
        trial = Trial(self.suite, self.backend, self.channel_type, self.host, self.rule)
        return Work(self, trial.run, trial.about)

    def conclude(self, result: Verdict | Died, limit: float) -> Verdict:
        """The verdict, which is a failure if the process died without giving one.

        :param limit: seconds that the rule could take.
        """
        if isinstance(result, Verdict):
            return result
        return self._failed(result.what, result.output, limit)

    def _failed(self, what: str, report: str, seconds: float) -> Verdict:
        return Verdict(
            rule=self.rule.identifier,
            backend=self.backend,
            channel_type=self.channel_type.name,
            host=self.host.name,
            passed=False,
            seconds=seconds,
            text=self.rule.text,
            what=what,
            report=report,
        )


_Tried: TypeAlias = "tuple[str, ChannelType, Host, float]"

_tried: dict[_Tried, Died | None] = {}
"""How the trial connection failed, by backend, channel type, host and limit; None: it worked."""


def try_connections(cases: Iterable[Case], jobs: int, limit: float) -> None:
    """Make one trial connection on each backend, channel type and host of *cases*.

    If it does not work, the rules are not tried there, since each would only hang in the same way.

    :param jobs: how many connections are tried at once.
    :param limit: seconds that a rule may take; a trial takes at most `CONNECTION_LIMIT`.
    """
    limit = min(limit, CONNECTION_LIMIT)
    works: dict[_Tried, Work[_Tried, str | Died]] = {}
    for case in cases:
        key = case.backend, case.channel_type, case.host, limit
        if key not in _tried and key not in works:
            # Imported once here, so that the forked processes have it already.
            load_backend(case.backend)
            load_plugins()
            works[key] = Work(key, Trial(None, case.backend, case.channel_type, case.host).attempt)
    for key, outcome in each(works.values(), jobs, limit):
        _tried[key] = None
        if isinstance(outcome, Died):
            what = f"not even one connection works: {outcome.what}"
            _tried[key] = Died(what, outcome.output)
