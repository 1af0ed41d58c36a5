"""What a run of the contract has shown, counted and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..testing.judging.case import Case
from ..testing.judging.verdict import Verdict

__all__ = ["Count", "Proof", "Tried"]


class Count(NamedTuple):
    """One rule on one backend: on how many types of channel it is to be held, is kept, is not."""

    planned: int
    kept: int
    broken: int


@dataclass
class Tried:
    """One backend.

    :param name: its name.
    :param cases: what is to be judged, in the order in which it is told.
    :param error: why it does not load, if it does not.
    """

    name: str
    cases: list[Case] = field(default_factory=list)
    error: str | None = None
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def channel_types(self) -> list[str]:
        """The types of channel, in order."""
        return list(dict.fromkeys(case.channel_type.name for case in self.cases))

    @property
    def broken(self) -> list[Verdict]:
        """The failures."""
        return [verdict for verdict in self.verdicts if not verdict.passed]

    def count(self, rule: str) -> Count:
        """How the rule with that id fared."""
        passed = [verdict.passed for verdict in self.verdicts if verdict.rule == rule]
        planned = sum(case.rule.identifier == rule for case in self.cases)
        return Count(planned, passed.count(True), passed.count(False))

    def sort(self) -> None:
        """Put the verdicts, which come as they come, into the order of the cases."""
        place = {
            (case.rule.identifier, case.channel_type.name, case.host.name): place
            for place, case in enumerate(self.cases)
        }
        self.verdicts.sort(
            key=lambda verdict: place[verdict.rule, verdict.channel_type, verdict.host]
        )


@dataclass
class Proof:
    """Every backend that was asked for, in that order, and the seconds that it took."""

    backends: list[Tried]
    seconds: float = 0.0

    @property
    def loaded(self) -> list[Tried]:
        """The backends that could be tried."""
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
        """All of them, backend by backend."""
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
        """Whether every backend loads and every rule was held to and kept."""
        return self.complete and not self.broken and len(self.loaded) == len(self.backends)

    def told(self) -> dict[str, Any]:
        """Everything, to be written as JSON; ``halfclose contract --help`` describes it."""
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
