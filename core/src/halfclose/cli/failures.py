"""Prints the broken rules: what was seen, what the rule says, and where to look."""

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
"""How many lines of a report are shown."""

_FRAME = re.compile(r'  File ".*", line \d+, in ')


def print_failures(out: Console, broken: Sequence[Verdict], *, whole: bool) -> None:
    """Print the failures, rule by rule.

    :param broken: the verdicts, in the order of the rules, and within a rule of the backends.
    :param whole: whether to print every report in full. Otherwise failures that look the same are
        put together, and only an `excerpt` of each report is printed, and only once.
    """
    shown: dict[str, str] = {}
    for rule, verdicts in groupby(broken, key=lambda verdict: verdict.rule):
        for number, same in enumerate(_alike(list(verdicts), whole=whole)):
            first = same[0]
            if not number:
                _print_rule(out, first)
            channel_types = ", ".join(verdict.place for verdict in same)
            # With soft_wrap rich cuts no line, and leaves what was seen on one line in a pipe.
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
    """Divide one rule's failures into groups that look the same."""
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
    """The beginning of a report, with only the last frame of each traceback."""
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
