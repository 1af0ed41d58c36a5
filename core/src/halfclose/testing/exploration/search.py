"""Searches one type of channel, by Hypothesis, for a script that breaks the contract."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from ..channels.channel_types import ChannelType
from .machine import STEPS, machine
from .report import Report
from .script import Script
from .shortening import shorten
from .worker import LIMIT, Worker

__all__ = ["Search"]

_SHORT = 0.5
"""Seconds in place of `LIMIT` while a script is being shortened, since many tries may hang."""

_SHORTENING = 30.0
"""Seconds after which shortening stops."""

_CHECKS = 3
"""How often a script that failed is performed again, to see whether it fails each time."""

_TRIES = 5
"""How often a script is tried, at most, if the failure does not come each time."""


class _Broken(AssertionError):
    """Raised to tell Hypothesis that a script broke the contract."""


class Search:
    """Searches for one script that breaks the contract; serves once.

    :param worker: performs the scripts.
    :param channel_type: the type of channel.
    :param performed: called after each script that was performed.
    """

    def __init__(
        self,
        worker: Worker,
        channel_type: ChannelType,
        performed: Callable[[], object] = lambda: None,
    ) -> None:
        self._worker = worker
        self._channel_type = channel_type
        self._performed = performed
        self._found: Report | None = None
        self._end: float | None = None

    def run(
        self, chosen: settings, start: int | None = None, end: float | None = None
    ) -> Report | None:
        """Search as *chosen* says until a script breaks the contract, and shorten that script.

        :param chosen: Hypothesis's settings: how many examples, which database, and the like. Three
            of them are not used: the deadline and the health checks, which are for tests that take
            no real time, and the phase of shrinking, which `shorten` does better.
        :param start: what the examples are drawn from, as for `hypothesis.seed`; None to leave it
            to *chosen*.
        :param end: when to stop, by ``time.monotonic``; None to try all examples.
        :returns: what the script did; None if no script broke the contract.
        """
        self._end = end
        target = machine(self._channel_type, self._check)
        if start is not None:
            target = seed(start)(target)
        own = settings(
            chosen,
            deadline=None,
            stateful_step_count=min(STEPS, chosen.stateful_step_count),
            suppress_health_check=list(HealthCheck),
            phases=[phase for phase in chosen.phases if phase not in (Phase.shrink, Phase.explain)],
            verbosity=Verbosity.quiet,
            report_multiple_bugs=False,
            print_blob=False,
        )
        try:
            run_state_machine_as_test(target, settings=own)
        except Exception:
            if self._found is None:
                raise
        return self._shortened(self._found) if self._found is not None else None

    def _check(self, script: Script) -> None:
        if self._found is None and (self._end is None or time.monotonic() < self._end):
            report = self._perform(script, LIMIT)
            if not report.passed:
                self._found = report
        # Hypothesis performs a failed script again and complains if it passes. Timing may make it
        # pass, so that the first failure counts.
        if self._found is not None and script == self._found.script:
            raise _Broken

    def _perform(self, script: Script, limit: float) -> Report:
        outcome = self._worker.perform(script, limit)
        self._performed()
        return Report(self._worker.backend, script, outcome.broken, outcome.trace)

    def _shortened(self, found: Report) -> Report:
        """The report of the shortest script that still breaks the rule that *found* broke."""
        fails = [self._breaks(found, found.script, LIMIT) for _ in range(_CHECKS)]
        if not any(fails):
            return replace(found, again=False)
        tries = 1 if all(fails) else _TRIES
        end = time.monotonic() + _SHORTENING
        shorter: list[Script] = []

        def still_breaks(script: Script) -> bool:
            if time.monotonic() < end and any(
                self._breaks(found, script, _SHORT) for _ in range(tries)
            ):
                shorter.append(script)
                return True
            return False

        shorten(found.script, still_breaks)
        # While the machine was busy, a script may have missed the short limit without a fault of
        # the backend. So the shortest that also fails with the long limit is the result.
        for script in reversed(shorter):
            for _ in range(tries):
                report = self._perform(script, LIMIT)
                if report.rule == found.rule:
                    return report
        return found

    def _breaks(self, found: Report, script: Script, limit: float) -> bool:
        return self._perform(script, limit).rule == found.rule
