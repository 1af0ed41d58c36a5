"""What the suite says of a mutant: which rules catch it, and how."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache

from halfclose.testing.judging.case import Case
from halfclose.testing.judging.runner import check, plan
from halfclose.testing.judging.verdict import Verdict
from mutants.mutant import Mutant
from mutants.patience import patience

__all__ = ["TIME_LIMIT", "Finding", "case_of", "finding_of", "judge", "judge_by_all"]

TIME_LIMIT = 30.0
"""Seconds for one rule."""

PATIENCE = 2.0
"""Seconds that a rule waits for what a mutant may never do, where the clock is a real one."""

_IN_VAIN = re.compile(r"within [0-9.]+ s\b|in vain|timed out|^Deadlock")
"""How the kit says that it has waited for something, and that nothing else was wrong."""


@dataclass(frozen=True)
class Finding:
    """What one rule says of a mutant.

    :param how: "seen"; "waited", where only a wait for something has ended; "hung", where not
        even that; "unusable", where no connection works at all, which says nothing of the rule;
        "survived".
    """

    verdict: Verdict
    how: str

    def catches(self, mutant: Mutant) -> bool:
        """Whether *mutant* was caught as it has to be: seen, or missed where it is silent."""
        missed = self.how == "waited" and bool(mutant.silent) and mutant.silent in self.verdict.what
        return self.how == "seen" or missed

    def told(self, mutant: Mutant) -> str:
        """What has become of *mutant*, for people."""
        verdict = self.verdict
        on = f"{verdict.rule} on {verdict.backend}, {verdict.channel_type}"
        said = f", {verdict.what}" if verdict.what else ""
        return f"{mutant}: {mutant.description}\n{on}: {self.how}{said}\n\n{verdict.report}"


def finding_of(verdict: Verdict) -> Finding:
    """*verdict*, and how that was found."""
    if verdict.passed:
        how = "survived"
    elif verdict.what.startswith("it did not end within"):
        how = "hung"
    elif "not even one connection" in verdict.what or "in try_connection" in verdict.report:
        how = "unusable"
    elif _IN_VAIN.search(verdict.what):
        how = "waited"
    else:
        how = "seen"
    return Finding(verdict, how)


@cache
def _cases(backend: str) -> dict[tuple[str, str], Case]:
    return {(case.rule.identifier, case.channel_type.name): case for case in plan(backend)}


def case_of(mutant: Mutant) -> Case:
    """Where *mutant* is to be caught."""
    return _cases(mutant.backend)[mutant.rule, mutant.channel_type]


def judge(mutant: Mutant) -> Finding:
    """What its own rule says of *mutant*."""
    finding = _judge(mutant, _shorter_waits(mutant))
    if finding.how == "waited" and not finding.catches(mutant):
        # On a machine that is busy, a short wait may miss what does come.
        finding = _judge(mutant, nullcontext())
    return finding


def _judge(mutant: Mutant, waits: AbstractContextManager[None]) -> Finding:
    case = case_of(mutant)
    _make_sure_that_it_works(case)
    with mutant.applied(), waits:
        return finding_of(case.judge(TIME_LIMIT))


def judge_by_all(mutant: Mutant, jobs: int | None = None) -> Iterator[Finding]:
    """What every rule says of *mutant* that can be seen where its own is."""
    cases = [
        case
        for (_, channel_type), case in _cases(mutant.backend).items()
        if channel_type == mutant.channel_type
    ]
    _make_sure_that_it_works(cases[0])
    with mutant.applied(), _shorter_waits(mutant):
        for verdict in check(cases, jobs, TIME_LIMIT):
            yield finding_of(verdict)


def _make_sure_that_it_works(case: Case) -> None:
    """Have the one connection that is tried before any rule is made without the mistake."""
    case.work(TIME_LIMIT)


def _shorter_waits(mutant: Mutant) -> AbstractContextManager[None]:
    return nullcontext() if mutant.backend == "memory" else patience(PATIENCE)
