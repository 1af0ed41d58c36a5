"""Has Hypothesis search one type of channel for a script that breaks the contract."""

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
"""`LIMIT` while a failure is being shortened: much of what is tried then may hang."""

_SHORTENING = 30.0
"""Seconds after which a failure is short enough."""

_CHECKS = 3
"""How often a failure is performed again, to see whether it comes each time."""

_TRIES = 5
"""How often a failure that does not come each time is tried."""


class _Broken(AssertionError):
    """Tells Hypothesis that a script broke the contract."""


class Search:
    """One search.

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
        """Search as *chosen* says, and give the first failure, shortened.

        :param chosen: how many examples, which database, and the like. Its deadline and its
            health checks, which are for tests that take no real time, do not count; nor does
            whether Hypothesis shrinks, see `shorten`.
        :param start: what the examples are drawn from, as for `hypothesis.seed`.
        :param end: when to stop, by ``time.monotonic``.
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
        # Hypothesis asks once more for what has failed, and expects the same whatever the timing.
        if self._found is not None and script == self._found.script:
            raise _Broken

    def _perform(self, script: Script, limit: float) -> Report:
        outcome = self._worker.perform(script, limit)
        self._performed()
        return Report(self._worker.backend, script, outcome.broken, outcome.trace)

    def _shortened(self, found: Report) -> Report:
        """The shortest script that breaks the same rule, performed once more."""
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
        # On a machine that was busy meanwhile, the last ones may have been taken for broken.
        for script in reversed(shorter):
            for _ in range(tries):
                report = self._perform(script, LIMIT)
                if report.rule == found.rule:
                    return report
        return found

    def _breaks(self, found: Report, script: Script, limit: float) -> bool:
        return self._perform(script, limit).rule == found.rule
