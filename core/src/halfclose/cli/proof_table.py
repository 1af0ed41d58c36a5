"""Prints the table of ``halfclose contract``: a line for each rule, a column for each backend."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from .proof import Proof, Tried
from .screen import marks

__all__ = ["print_table"]

_READABLE = 24
"""How many columns of the screen must be left to show the beginning of a rule's text."""


def print_table(out: Console, proof: Proof) -> None:
    """Print the table; if it is too wide for the screen, in parts, one below another."""
    parts = list(_fitting(proof, out.width))
    for part in parts:
        widths = [_width(proof, tried) for tried in part]
        # The texts of the rules are shown only if all backends fit beside each other.
        room = out.width - _rule_width(proof) - sum(widths) if len(parts) == 1 else 0
        for line in _lines(proof, part, widths, room):
            line.rstrip()
            # With soft_wrap rich cuts no line, even if one name is wider than the screen.
            out.print(line, soft_wrap=True)
        out.print()
    tick, cross = marks()
    legend = f"{tick} N: kept on all N types of channel. {cross} M/N: broken on M of N."
    out.print(Text(legend, "dim"), soft_wrap=True)


def _fitting(proof: Proof, room: int) -> Iterator[list[Tried]]:
    """Divide the backends into parts that fit into *room* columns of the screen."""
    part: list[Tried] = []
    left = room - _rule_width(proof)
    for tried in proof.loaded:
        left -= _width(proof, tried)
        # The last column needs no space after it.
        if part and left < -1:
            yield part
            part, left = [], room - _rule_width(proof) - _width(proof, tried)
        part.append(tried)
    yield part


def _heading(name: str) -> tuple[str, str]:
    """The two lines above a backend's column."""
    framework, plus, variant = name.partition("+")
    return (framework, f"+{variant}") if plus else ("", name)


def _cell(tried: Tried, rule: str) -> Text:
    """The mark and the number of cases of one rule on one backend."""
    tick, cross = marks()
    planned, kept, broken = tried.count(rule)
    if broken:
        return Text(f"{cross} {broken}/{planned}", "bold red")
    if kept < planned:
        return Text(f"? {kept}/{planned}", "yellow")
    return Text(f"{tick} {planned}", "green") if planned else Text()


def _rule_width(proof: Proof) -> int:
    """The width of the column of ids, with the space after it."""
    return max(map(len, proof.rules)) + 1


def _width(proof: Proof, tried: Tried) -> int:
    """The width of a backend's column, with the space after it."""
    cells = [_cell(tried, rule).cell_len for rule in proof.rules]
    return max(*map(len, _heading(tried.name)), *cells) + 1


def _lines(proof: Proof, part: list[Tried], widths: list[int], room: int) -> Iterator[Text]:
    """The lines of one part of the table; *room* is what each line has left for a rule's text."""
    wide = _rule_width(proof)
    headings = [_heading(tried.name) for tried in part]
    for place, first in enumerate(("", "Rule")):
        line = Text(first.ljust(wide), "bold")
        for heading, width in zip(headings, widths, strict=True):
            line.append(heading[place].ljust(width))
        if line.plain.strip():
            yield line
    statements = {verdict.rule: verdict.statement for verdict in proof.verdicts}
    chapter = ""
    for rule in proof.rules:
        if chapter and not rule.startswith(chapter):
            yield Text()
        chapter = rule.partition("-")[0]
        line = Text(rule.ljust(wide))
        for tried, width in zip(part, widths, strict=True):
            cell = _cell(tried, rule)
            cell.pad_right(width - cell.cell_len)
            line.append_text(cell)
        if room >= _READABLE:
            statement = textwrap.shorten(statements.get(rule, ""), room, placeholder=" ...")
            line.append(statement, "dim")
        yield line
