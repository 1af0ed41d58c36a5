"""The scorecard as a document, made from what was seen."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version

from halfclose.testing.tools.harness import Rule

from .columns import CHANNEL_TYPES, COLUMNS, Column
from .judging import Seen
from .outcomes import Outcome

__all__ = ["MARKS", "Cell", "cells", "document", "rules", "titles"]

CHAPTERS = {
    "EVT": "events and their order",
    "VRB": "verbs",
    "FLU": "flushing and back-pressure",
    "PRD": "producers",
    "ERR": "failures",
    "END": "closing without losing anything",
    "PIP": "pipes, stdio, unix sockets",
    "LOOP": "what a loop promises",
}

MARKS = {
    Outcome.KEPT: "kept, on every type of channel that the column has",
    Outcome.BROKEN: "not kept: something else was seen, twice",
    Outcome.SOMETIMES: "seen to be broken and seen to be kept",
    Outcome.HIDDEN: "could not be told: another rule, which the note names, is broken first",
    Outcome.ABSENT: "no counterpart: there is no event, call or option by which it could be kept",
}

_HEAD = """\
# The scorecard

What the contract's suite finds where it is run on what Twisted, asyncio, uvloop and anyio do by
themselves, with nothing mended. This page is made by a run and written by nobody:
`python -m scorecard` in the folder `tests` makes it anew.

## How it was made

In `tests/scorecard` there is a thin adapter for each framework. It maps the interface of
halfclose to the framework's own: a verb calls the one transport method that it names, an event is
passed on where the framework tells it, and an exception goes wherever the framework lets it go.
The suite then runs on the adapters exactly as on a backend of halfclose: the same tests, each in a
process of its own, on TCP, on unix sockets, and on pipes at descriptors 0 and 1. The first column
is halfclose itself, in the same run, on those event loops.

- **Twisted**: `listenTCP`, `listenUNIX`, `StandardIO` and `IHalfCloseableProtocol`, on the epoll
  reactor.
- **asyncio** and **uvloop**: `asyncio.Protocol`, `write_eof`, `close`, `abort`, `pause_reading`;
  `connect_read_pipe` and `connect_write_pipe` for standard input and output. A protocol that is
  not half-closeable returns `False` from `eof_received`. A streaming producer is told by
  `pause_writing` and `resume_writing`.
- **anyio**: a task group of a task that receives and one that sends, around `async with stream`,
  below `listener.serve`. What is written waits in a memory stream; after it comes `send_eof`.
  To pause is to cancel the `receive`. It has no stream for standard input and output, but threads
  that block in a read.

Names are translated, and nothing else is: the classes of exceptions are given ours, with the
framework's own message. Where an adapter had a choice, it took what favours the framework: that
`connection_lost(None)` follows an `abort()` of its own an asyncio program knows, and so does the
adapter; with anyio everything is sent before `send_eof` is called. `whenClosed`, which no
framework has, is what programs make of it: a shared Deferred on Twisted, a shared future on
asyncio. Rules ask for more than frameworks promise, so a cross says that a protocol cannot rely
on the rule there, not always that there is a defect.

Each chapter begins with a table. Below it, each rule has a part of its own, with what was seen in
the columns that do not keep it, and a link to the rule.
"""


def rules() -> dict[str, Rule]:
    """Every rule of the suite, by its id, in the order of the contract."""
    # Not before the runner has seen to it that its assertions tell what they compare.
    from halfclose.testing import ContractSuite

    found = ContractSuite.rules()
    chapters = list(CHAPTERS)
    return dict(
        sorted(found.items(), key=lambda item: (chapters.index(item[0].partition("-")[0]), item[0]))
    )


def titles() -> dict[str, str]:
    """What each rule is about, in a few words: those of its test's name."""
    return {
        identifier: " ".join(rule.test.__name__.split("_")[3:])
        for identifier, rule in rules().items()
    }


class Cell:
    """One rule in one column.

    :param seen: what came of it; nothing if it has no counterpart.
    :param missing: why, then.
    """

    def __init__(self, seen: Sequence[Seen], missing: str) -> None:
        self._seen = seen
        self._missing = missing

    @property
    def outcome(self) -> Outcome:
        """The worst."""
        outcomes = {seen.outcome for seen in self._seen} or {Outcome.ABSENT}
        return next(outcome for outcome in Outcome if outcome in outcomes)

    def __str__(self) -> str:
        """Its mark, and on which types of channel if not on all."""
        mark = self.outcome.value
        on = self._channel_types(seen for seen in self._seen if seen.outcome is self.outcome)
        if not self._seen or on == self._channel_types(self._seen):
            return mark
        return f"{mark} {', '.join(on)}"

    def notes(self) -> list[tuple[str, tuple[str, ...]]]:
        """What was seen where it was not kept, each with the types of channel."""
        if not self._seen:
            return [(f"no counterpart: {self._missing}", ())]
        every = self._channel_types(self._seen)
        found: dict[str, list[Seen]] = {}
        for seen in self._seen:
            if seen.outcome is not Outcome.KEPT:
                words = {
                    Outcome.ABSENT: "no counterpart: ",
                    Outcome.HIDDEN: "behind ",
                    Outcome.SOMETIMES: "sometimes: ",
                }
                found.setdefault(words.get(seen.outcome, "") + seen.what, []).append(seen)
        notes = []
        for what, those in found.items():
            on = self._channel_types(those)
            notes.append((what, () if on == every else on))
        return notes

    @staticmethod
    def _channel_types(seen: Iterable[Seen]) -> tuple[str, ...]:
        channel_types = {one.channel_type for one in seen}
        return tuple(
            channel_type for channel_type in CHANNEL_TYPES if channel_type in channel_types
        )


def cells(seen: Iterable[Seen]) -> dict[tuple[str, str], Cell]:
    """By rule and column."""
    of: dict[tuple[str, str], list[Seen]] = {}
    for one in seen:
        of.setdefault((one.rule, one.column), []).append(one)
    return {
        (rule, column.title): Cell(of.get((rule, column.title), []), column.why_absent(rule))
        for rule in rules()
        for column in COLUMNS
    }


def document(seen: Iterable[Seen]) -> str:
    """The whole of docs/scorecard.md."""
    of = cells(seen)
    return "\n".join([_HEAD, *_marks(), *_versions(), *_counts(of), *_chapters(of)]) + "\n"


def _marks() -> list[str]:
    return [
        "The marks:",
        "",
        *(f"- {outcome.value} {meaning}" for outcome, meaning in MARKS.items()),
        "",
        "A mark with types of channel holds for those, and a better one for the others.",
        "",
    ]


def _versions() -> list[str]:
    names = sorted({name for column in COLUMNS for name in column.distributions})
    versions = [f"{name} {version(name)}" for name in names]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return [f"Versions: {', '.join([python, *versions])}, on {platform.system()}.", ""]


def _row(*fields: object) -> str:
    return f"| {' | '.join(str(field) for field in fields)} |"


def _counts(of: Mapping[tuple[str, str], Cell]) -> list[str]:
    lines = [
        "## How many",
        "",
        _row("", *(column.title for column in COLUMNS)),
        _row("---", *("---:" for _ in COLUMNS)),
    ]
    tallies = {
        column.title: Counter(of[rule, column.title].outcome for rule in rules())
        for column in COLUMNS
    }
    for outcome in MARKS:
        counts = (tallies[column.title][outcome] for column in COLUMNS)
        lines.append(_row(f"{outcome.value} of {len(rules())}", *counts))
    return [*lines, ""]


def _chapters(of: Mapping[tuple[str, str], Cell]) -> list[str]:
    lines = []
    about = titles()
    for chapter, name in CHAPTERS.items():
        those = [rule for rule in rules() if rule.startswith(chapter)]
        lines += [f"## {chapter}: {name}", ""]
        lines.append(_row("Rule", "About", *(column.title for column in COLUMNS)))
        lines.append(_row("---", "---", *("---" for _ in COLUMNS)))
        for rule in those:
            marks = (of[rule, column.title] for column in COLUMNS)
            lines.append(_row(f"[{rule}](#{rule.lower()})", about[rule], *marks))
        lines.append("")
        for rule in those:
            # A heading of its own is an address that a forge and the site agree on.
            lines += [f"### {rule}", "", f"[The rule](contract.md#{rule.lower()}): {about[rule]}."]
            lines += ["", *(_notes(rule, of) or ["Kept in every column."]), ""]
    return lines[:-1]


def _notes(rule: str, of: Mapping[tuple[str, str], Cell]) -> list[str]:
    by_what: dict[tuple[str, tuple[str, ...]], list[Column]] = {}
    for column in COLUMNS:
        for note in of[rule, column.title].notes():
            by_what.setdefault(note, []).append(column)
    lines = []
    for (what, channel_types), columns in by_what.items():
        where = "; ".join(column.title for column in columns)
        on = f" ({', '.join(channel_types)})" if channel_types else ""
        lines.append(f"- {where}{on}: {_escaped(what)}")
    return lines


def _escaped(text: str) -> str:
    for character in "\\<>*_|`[]":
        text = text.replace(character, f"\\{character}")
    return text
