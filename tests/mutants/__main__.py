"""``python -m mutants``, from this folder's parent: which rules catch which mistake.

It tries every rule on each mutant, which takes its time; the tests try a mutant's own rule.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import Any

from mutants.chapters import MUTANTS
from mutants.judging import Finding, judge, judge_by_all
from mutants.mutant import Mutant


def main(arguments: list[str]) -> int:
    """Print a line for each mutant; 1 if one was not caught by its own rule."""
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="rules, chapters or parts of the mutants' names")
    parser.add_argument("--own", action="store_true", help="try each mutant's own rule only")
    parser.add_argument("--jobs", type=int, help="how many rules at once (one for each processor)")
    parser.add_argument("--json", metavar="FILE", help="also write all that was found there")
    chosen = parser.parse_args(arguments)
    mutants = [one for one in MUTANTS if not chosen.only or any(n in str(one) for n in chosen.only)]
    if not mutants:
        parser.error(f"there is no such mutant: {' '.join(chosen.only)}")

    records = []
    for mutant in mutants:
        findings = [judge(mutant)] if chosen.own else list(judge_by_all(mutant, chosen.jobs))
        records.append(_record(mutant, findings))
        print(_line(records[-1]), flush=True)
    if chosen.json:
        with open(chosen.json, "w", encoding="utf-8") as file:
            json.dump(records, file, indent=1)
    missed = [record["mutant"] for record in records if not record["caught"]]
    print(f"{len(records) - len(missed)} of {len(records)} were caught by their own rule")
    return 1 if missed else 0


def _record(mutant: Mutant, findings: Iterable[Finding]) -> dict[str, Any]:
    by_rule = {finding.verdict.rule: finding for finding in findings}
    own = by_rule[mutant.rule]
    return {
        "mutant": str(mutant),
        "description": mutant.description,
        "backend": mutant.backend,
        "channel_type": mutant.channel_type,
        "caught": own.catches(mutant),
        "how": own.how,
        "what": own.verdict.what,
        "rules": {
            how: sorted(rule for rule, finding in by_rule.items() if finding.how == how)
            for how in ("seen", "waited", "hung", "unusable")
        },
    }


def _line(record: dict[str, Any]) -> str:
    outcome = "caught" if record["caught"] else f"MISSED ({record['how']})"
    others = ", ".join(record["rules"]["seen"])
    return f"{record['mutant']}: {outcome}; {record['what'][:100]!r}; seen by {others or 'none'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
