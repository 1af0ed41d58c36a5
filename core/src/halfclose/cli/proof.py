"""The results of ``halfclose contract``: counted, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..testing.judging.case import Case
from ..testing.judging.verdict import Verdict

__all__ = ["Count", "Proof", "Tried"]


class Count(NamedTuple):
    """How many cases of one rule there are on one backend, and how many were kept and broken."""

    planned: int
    kept: int
    broken: int


@dataclass
class Tried:
    """One backend, its cases, and the verdicts so far.

    :param name: the backend's name.
    :param cases: the cases, in the order in which they are shown.
    :param error: why the backend does not load; None: it does.
    """

    name: str
    cases: list[Case] = field(default_factory=list)
    error: str | None = None
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def channel_types(self) -> list[str]:
        """The names of the channel types, in order."""
        return list(dict.fromkeys(case.channel_type.name for case in self.cases))

    @property
    def broken(self) -> list[Verdict]:
        """The failures."""
        return [verdict for verdict in self.verdicts if not verdict.passed]

    def count(self, rule: str) -> Count:
        """The numbers for the rule with the id *rule*."""
        passed = [verdict.passed for verdict in self.verdicts if verdict.rule == rule]
        planned = sum(case.rule.identifier == rule for case in self.cases)
        return Count(planned, passed.count(True), passed.count(False))

    def sort(self) -> None:
        """Put the verdicts into the order of the cases, since cases end in any order."""
        place = {
            (case.rule.identifier, case.channel_type.name, case.host.name): place
            for place, case in enumerate(self.cases)
        }
        self.verdicts.sort(
            key=lambda verdict: place[verdict.rule, verdict.channel_type, verdict.host]
        )


@dataclass
class Proof:
    """Every backend that was asked for, in that order, and how many seconds all cases took."""

    backends: list[Tried]
    seconds: float = 0.0

    @property
    def loaded(self) -> list[Tried]:
        """The backends that load."""
        return [tried for tried in self.backends if tried.error is None]

    @property
    def rules(self) -> list[str]:
        """The ids of the rules, in order."""
        ids = (case.rule.identifier for tried in self.backends for case in tried.cases)
        return list(dict.fromkeys(ids))

    @property
    def planned(self) -> int:
        """How many cases there are."""
        return sum(len(tried.cases) for tried in self.backends)

    @property
    def verdicts(self) -> list[Verdict]:
        """All verdicts, backend by backend."""
        return [verdict for tried in self.backends for verdict in tried.verdicts]

    @property
    def broken(self) -> list[Verdict]:
        """The failures, rule by rule."""
        found = [verdict for tried in self.backends for verdict in tried.broken]
        return sorted(found, key=lambda verdict: self.rules.index(verdict.rule))

    @property
    def complete(self) -> bool:
        """Whether every case was judged."""
        return len(self.verdicts) == self.planned

    @property
    def kept(self) -> bool:
        """Whether every backend loads, and every case was judged and kept its rule."""
        return self.complete and not self.broken and len(self.loaded) == len(self.backends)

    def told(self) -> dict[str, Any]:
        """All results, for JSON; ``halfclose contract --help`` describes the keys."""
        return {
            "kept": self.kept,
            "complete": self.complete,
            "seconds": round(self.seconds, 3),
            "backends": [
                {
                    "name": tried.name,
                    "loads": tried.error is None,
                    "error": tried.error,
                    "channel_types": tried.channel_types,
                    "cases": len(tried.cases),
                    "broken": len(tried.broken),
                }
                for tried in self.backends
            ],
            "rules": {
                verdict.rule: {"statement": verdict.statement, "where": verdict.where}
                for verdict in sorted(self.verdicts, key=lambda verdict: verdict.rule)
            },
            "verdicts": [
                {
                    "rule": verdict.rule,
                    "backend": verdict.backend,
                    "channel_type": verdict.channel_type,
                    "host": verdict.host,
                    "passed": verdict.passed,
                    "seconds": round(verdict.seconds, 3),
                    "what": verdict.what,
                    "report": verdict.report,
                }
                for verdict in self.verdicts
            ],
        }
