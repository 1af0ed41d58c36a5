"""What is said of rules that are broken: what was seen, the rule, and where to look."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from ..testing.judging.verdict import Verdict

__all__ = ["excerpt", "print_failures"]

_MOST = 15
"""Lines of a report that are shown."""

_FRAME = re.compile(r'  File ".*", line \d+, in ')


def print_failures(out: Console, broken: Sequence[Verdict], *, whole: bool) -> None:
    """Print them rule by rule.

    :param broken: in the order of the rules, and of the backends in each.
    :param whole: every report, and whole; else one `excerpt` for each rule and backend, unless
        it was shown already.
    """
    shown: dict[str, str] = {}
    for rule, verdicts in groupby(broken, key=lambda verdict: verdict.rule):
        for number, same in enumerate(_alike(list(verdicts), whole=whole)):
            first = same[0]
            if not number:
                _print_rule(out, first)
            channel_types = ", ".join(verdict.place for verdict in same)
            # soft_wrap: nothing is cut, and what was seen stays one line where it is piped.
            out.print(
                Text(f"\n  {first.backend}, {channel_types}: {first.what}", "bold"), soft_wrap=True
            )
            if whole:
                lines = first.report.splitlines()
            elif first.report in shown:
                lines = [f"(reported above, at {shown[first.report]})"]
            else:
                lines = excerpt(first.report.splitlines())
            shown.setdefault(first.report, rule)
            for line in lines:
                out.print(f"      {line}".rstrip(), soft_wrap=True)


def _alike(verdicts: list[Verdict], *, whole: bool) -> list[list[Verdict]]:
    """One rule's failures, those together that look the same."""
    found: dict[object, list[Verdict]] = {}
    for verdict in verdicts:
        key = verdict if whole else (verdict.backend, verdict.what)
        found.setdefault(key, []).append(verdict)
    return list(found.values())


def _print_rule(out: Console, verdict: Verdict) -> None:
    out.print()
    for text in (f"{verdict.rule} {verdict.statement}", f"  Where to look: {verdict.where}"):
        for line in textwrap.wrap(text, out.width, subsequent_indent="  "):
            styled = Text(line)
            styled.highlight_regex(f"^{verdict.rule}", "bold red")
            out.print(styled, soft_wrap=True)


def excerpt(lines: Sequence[str]) -> list[str]:
    """The beginning of a report, and of its tracebacks' frames the last ones only."""
    kept: list[str] = []
    frame: list[str] = []
    for line in lines:
        if _FRAME.match(line):
            frame = [line]
        elif frame and line.startswith("    "):
            frame.append(line)
        else:
            kept += frame
            frame = []
            if line.strip():
                kept.append(line)
    kept += frame
    more = len(kept) - _MOST
    return kept if more <= 0 else [*kept[:_MOST], f"... and {more} more lines: --verbose"]
