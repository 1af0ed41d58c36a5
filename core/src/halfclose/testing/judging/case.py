"""One rule on one type of channel of one backend: what is to be judged."""

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
"""Seconds that one rule may take on one type of channel."""

CONNECTION_LIMIT = 20.0
"""Seconds that a first connection may take, before any rule is tried."""


@dataclass(frozen=True)
class Case:
    """One rule, to be held to in a process of its own.

    :param suite: an instance of the suite whose method the rule is.
    :param backend: the backend's name.
    :param channel_type: the type of channel.
    :param rule: the rule and its test.
    :param host: who starts the loop.
    """

    suite: Any
    backend: str
    channel_type: ChannelType
    rule: Rule
    host: Host = HALFCLOSE_RUN

    def judge(self, limit: float = TIME_LIMIT) -> Verdict:
        """Hold the backend to the rule.

        :param limit: seconds; then the process is killed, and the rule has failed.
        """
        ((_, result),) = each([self.work(limit)], 1, limit)
        return self.conclude(result, limit)

    def work(self, limit: float) -> Work[Case, Verdict]:
        """What the process is to do: the rule, or nothing where not even a connection works."""
        try_connections([self], 1, limit)
        useless = _tried[self.backend, self.channel_type, self.host, min(limit, CONNECTION_LIMIT)]
        if useless is not None:
            return Work(self, lambda: self._failed(useless.what, useless.output, 0.0))
        trial = Trial(self.suite, self.backend, self.channel_type, self.host, self.rule)
        return Work(self, trial.run, trial.about)

    def conclude(self, result: Verdict | Died, limit: float) -> Verdict:
        """The verdict, also where the process that was to give it died."""
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
"""By backend, type of channel, host and limit: why no rule need be tried there, if that is so."""


def try_connections(cases: Iterable[Case], jobs: int, limit: float) -> None:
    """Find out where one connection works at all: elsewhere each rule would only hang alike.

    :param jobs: how many are tried at once.
    :param limit: seconds that a rule has; a connection has no more than `CONNECTION_LIMIT`.
    """
    limit = min(limit, CONNECTION_LIMIT)
    works: dict[_Tried, Work[_Tried, str | Died]] = {}
    for case in cases:
        key = case.backend, case.channel_type, case.host, limit
        if key not in _tried and key not in works:
            # Here, once, rather than in each process.
            load_backend(case.backend)
            load_plugins()
            works[key] = Work(key, Trial(None, case.backend, case.channel_type, case.host).attempt)
    for key, outcome in each(works.values(), jobs, limit):
        _tried[key] = None
        if isinstance(outcome, Died):
            what = f"not even one connection works: {outcome.what}"
            _tried[key] = Died(what, outcome.output)
