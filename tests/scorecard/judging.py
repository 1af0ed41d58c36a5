"""Runs the rules on the columns, and says what was seen of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from halfclose.testing.judging.case import Case
from halfclose.testing.judging.runner import check
from halfclose.testing.judging.verdict import Verdict

from .columns import CHANNEL_TYPES, Column
from .outcomes import Outcome

__all__ = ["Seen", "judge", "tidy"]

LIMIT = 45.0
"""Seconds for one case: the longest rule on a busy machine, and more than one wait in vain."""

ABSENT = "NoCounterpart: "


@dataclass(frozen=True)
class Seen:
    """What came of one rule on one type of channel of one backend."""

    rule: str
    column: str
    backend: str
    channel_type: str
    outcome: Outcome
    what: str = ""


def judge(
    columns: Iterable[Column],
    only: tuple[str, ...] = (),
    channel_types: tuple[str, ...] = CHANNEL_TYPES,
    jobs: int | None = None,
    twice: bool = True,
    progress: Callable[[Seen], object] = lambda seen: None,
) -> list[Seen]:
    """Hold *columns* to the rules.

    :param only: ids of rules or of chapters; by default all.
    :param channel_types: on which types of channel.
    :param jobs: cases at once; many of them only wait.
    :param twice: whether what fails is tried once more before it is called broken.
    :param progress: called with each result as it comes.
    """
    found: dict[tuple[str, str, str], Seen] = {}
    failed: list[Case] = []
    columns = list(columns)
    column_of = {backend: column for column in columns for backend in column.backends}
    cases = [
        case
        for column in columns
        for case in column.cases(only)
        if case.channel_type.name in channel_types
    ]
    for case, verdict in _checked(cases, jobs):
        seen = _seen(column_of[case.backend], verdict)
        found[_key(case)] = seen
        if seen.outcome is Outcome.BROKEN:
            failed.append(case)
        progress(seen)
    for case, verdict in _checked(failed if twice else [], jobs):
        if verdict.passed:
            first = found[_key(case)]
            found[_key(case)] = Seen(
                first.rule,
                first.column,
                first.backend,
                first.channel_type,
                Outcome.SOMETIMES,
                first.what,
            )
            progress(found[_key(case)])
    return [found[_key(case)] for case in cases]


def _key(case: Case) -> tuple[str, str, str]:
    return case.rule.identifier, case.backend, case.channel_type.name


def _checked(cases: list[Case], jobs: int | None) -> Iterator[tuple[Case, Verdict]]:
    by_key = {_key(case): case for case in cases}
    for verdict in check(cases, jobs, LIMIT):
        yield by_key[verdict.rule, verdict.backend, verdict.channel_type], verdict


def _seen(column: Column, verdict: Verdict) -> Seen:
    outcome, what = _interpreted(column, verdict)
    return Seen(verdict.rule, column.title, verdict.backend, verdict.channel_type, outcome, what)


def _interpreted(column: Column, verdict: Verdict) -> tuple[Outcome, str]:
    if verdict.passed:
        return Outcome.KEPT, ""
    if verdict.what.startswith(ABSENT):
        return Outcome.ABSENT, verdict.what.removeprefix(ABSENT)
    said = _said(verdict)
    for telling in column.telling:
        if telling.tells(verdict.rule, verdict.channel_type, said):
            return telling.outcome, telling.because
    return Outcome.BROKEN, tidy(said)


def _said(verdict: Verdict) -> str:
    """What was seen, with what the report knows besides."""
    if verdict.what.startswith("it did not end within"):
        seen = [line for line in verdict.report.splitlines() if line.startswith("seen: ")]
        return "; ".join(["it hangs", *(line.removeprefix("seen: ") for line in seen[-1:])])
    what = verdict.what.removesuffix(": assert False")
    if what in ("assert False", "None"):
        # That says little, but the line of the test is there.
        lines = re.findall(r"^ +(assert .*)\n(?: *[\^~]+\n)?AssertionError", verdict.report, re.M)
        return lines[-1] if lines else what
    if what.startswith(("'", '"')):
        return f"AssertionError: {what}"
    return what


_TIDY = (
    # What differs from run to run.
    (re.compile(r"/tmp/[\w./-]+"), "…"),
    (re.compile(r"tcp:127\.0\.0\.1:\d+|\('127\.0\.0\.1', \d+\)"), "tcp:127.0.0.1:…"),
    (re.compile(r" at 0x[0-9a-f]+| 0x[0-9a-f]+"), ""),
    (re.compile(r"\b\d[\d_]{4,}(?!\.)\b"), "N"),
    (re.compile(r"\bfd=\d+"), "fd=…"),
    (re.compile(r"descriptor \d+ \((\w+):\[[^]]*\]\)"), r"a descriptor (\1)"),
    # What nobody wants to read.
    (re.compile(r"(.)\1{20,}(\.\.\.\1+)?"), "…"),
    (re.compile(r"halfclose\.reasons\."), ""),
    (re.compile(r"<class '([\w.]+)'>"), r"\1"),
    (re.compile(r"<(?:Plain)?(?:Recorder|Named) ([^>]*)>"), r"seen: \1"),
    (re.compile(r"within (\d+)\.0 s"), r"within \1 s"),
    (re.compile(r"\s+"), " "),
)


def tidy(what: str) -> str:
    """*what* was seen, without what differs from run to run."""
    for pattern, replacement in _TIDY:
        what = pattern.sub(replacement, what)
    return what if len(what) <= 240 else what[:239] + "…"
