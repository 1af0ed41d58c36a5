"""The scorecard: the adapters work, and the document says what a run says."""

from __future__ import annotations

import re
from functools import cache

import pytest
from halfclose import ConnectionOptions, ConnectionRefused
from scorecard.__main__ import SCORECARD
from scorecard.columns import CHANNEL_TYPES, COLUMNS, Telling
from scorecard.judging import Seen, judge, tidy
from scorecard.outcomes import Outcome
from scorecard.plugin import STOCK, install
from scorecard.stock import NoCounterpart, only, translated
from scorecard.table import Cell, document, rules, titles

FLAGSHIPS = ("END-01", "EVT-05", "PRD-03", "VRB-01", "VRB-05")
"""Rules that are cheap to look at: what fails of them mostly waits for what never comes."""

STOCK_COLUMNS = COLUMNS[1:]


def rows() -> dict[str, list[str]]:
    """The marks of docs/scorecard.md, by rule."""
    found = re.findall(r"^\| \[(\w{3,4}-\d\d)\]\(#\S+\) \| (.+) \|$", text(), re.MULTILINE)
    return {rule: rest.split(" | ")[1:] for rule, rest in found}


@cache
def text() -> str:
    return SCORECARD.read_text()


def test_document_has_every_rule_and_every_column() -> None:
    assert list(rows()) == list(rules())
    heads = re.findall(r"^\| Rule \| About \| (.+) \|$", text(), re.MULTILINE)
    assert set(heads) == {" | ".join(column.title for column in COLUMNS)}
    for rule, marks in rows().items():
        assert len(marks) == len(COLUMNS), rule
        assert all(mark.split()[0] in "✓✗±?○" for mark in marks), rule


def test_each_rule_has_a_part_that_is_linked_both_ways() -> None:
    parts = re.findall(
        r"^### (\S+)\n\n\[The rule\]\(contract\.md#(\S+)\): (.+)\.\n\n"
        r"(- .+|Kept in every column\.)\n",
        text(),
        re.MULTILINE,
    )
    assert [rule for rule, *_ in parts] == list(rules())
    links = re.findall(r"^\| \[(\S+)\]\(#(\S+)\)", text(), re.MULTILINE)
    assert links == [(rule, rule.lower()) for rule in rules()]
    for rule, anchor, title, seen in parts:
        assert (anchor, title) == (rule.lower(), titles()[rule])
        everywhere = set(rows()[rule]) == {"✓"}
        assert (seen == "Kept in every column.") == everywhere, rule


def test_halfclose_keeps_every_rule() -> None:
    assert COLUMNS[0].title == "halfclose"
    assert {rule: marks[0] for rule, marks in rows().items() if marks[0] != "✓"} == {}


def test_counts_are_those_of_the_rows() -> None:
    for outcome in Outcome:
        mark = outcome.value
        line = re.search(rf"^\| {re.escape(mark)} of {len(rules())} \| (.+) \|$", text(), re.M)
        assert line is not None, mark
        counted = [
            sum(marks[number].startswith(mark) for marks in rows().values())
            for number in range(len(COLUMNS))
        ]
        assert [int(count) for count in line[1].split(" | ")] == counted


def test_every_adapter_makes_connections() -> None:
    install()
    found = judge(STOCK_COLUMNS, ("EVT-02", "EVT-09"), jobs=4)
    assert {(one.backend, one.channel_type) for one in found} == {
        (name, channel_type)
        for name in STOCK
        for channel_type in CHANNEL_TYPES
        if channel_type != "stdio" or "anyio" not in name
    }
    assert [one for one in found if one.outcome is not Outcome.KEPT] == []


def test_document_says_what_is_seen_now() -> None:
    install()
    found = judge(STOCK_COLUMNS, FLAGSHIPS, channel_types=("tcp",), jobs=30, twice=False)
    assert len(found) == len(FLAGSHIPS) * len(STOCK_COLUMNS)
    titles = [column.title for column in COLUMNS]
    for one in found:
        written, *channel_types = (
            rows()[one.rule][titles.index(one.column)].replace(",", "").split()
        )
        if not channel_types or "tcp" in channel_types:
            assert one.outcome is Outcome(written), one
        else:
            assert list(Outcome).index(one.outcome) > list(Outcome).index(Outcome(written)), one


def seen(outcome: Outcome, channel_type: str, what: str = "") -> Seen:
    return Seen("EVT-05", "Twisted", "stock-twisted", channel_type, outcome, what)


def test_cell_shows_the_worst_and_where() -> None:
    kept = [seen(Outcome.KEPT, channel_type) for channel_type in CHANNEL_TYPES]
    assert str(Cell(kept, "")) == "✓"
    assert Cell(kept, "").notes() == []
    broken = Cell([*kept[:2], seen(Outcome.BROKEN, "stdio", "nothing")], "")
    assert str(broken) == "✗ stdio"
    assert broken.notes() == [("nothing", ("stdio",))]
    assert str(Cell([seen(Outcome.BROKEN, "tcp", "x"), seen(Outcome.BROKEN, "unix", "x")], "")) == (
        "✗"
    )
    mixed = Cell([seen(Outcome.SOMETIMES, "tcp", "x"), seen(Outcome.ABSENT, "unix", "y")], "")
    assert str(mixed) == "± tcp"
    assert mixed.notes() == [("sometimes: x", ("tcp",)), ("no counterpart: y", ("unix",))]
    assert str(Cell([], "why")) == "○"
    assert Cell([], "why").notes() == [("no counterpart: why", ())]


def test_document_is_the_same_in_any_order() -> None:
    found = [seen(Outcome.BROKEN, "tcp", "*one*"), seen(Outcome.KEPT, "unix")]
    assert document(found) == document(list(reversed(found)))
    assert r"\*one\*" in document(found)


def test_every_rule_has_a_title() -> None:
    assert set(titles()) == set(rules())
    assert titles()["EVT-05"] == "both halves end"


def test_tidy_leaves_nothing_that_differs_from_run_to_run() -> None:
    assert tidy("'/tmp/hcab12/s' and tcp:127.0.0.1:34567") == "'…' and tcp:127.0.0.1:…"
    assert tidy("<A object at 0x7f01> and <B 0x55>") == "<A object> and <B>"
    assert tidy("16777216 bytes within 10.0 s") == "N bytes within 10 s"
    assert tidy("within 10.0 s; <Recorder connectionMade>") == "within 10 s; seen: connectionMade"
    assert tidy("b'" + "x" * 99) == "b'…"


def test_telling_is_of_its_own_types_of_channel_and_rules() -> None:
    telling = Telling("^no end", Outcome.HIDDEN, "PIP-02: why", channel_types=("stdio",))
    assert telling.tells("EVT-04", "stdio", "no end came")
    assert not telling.tells("EVT-04", "tcp", "no end came")
    assert not telling.tells("EVT-04", "stdio", "there was no end")
    assert not telling.tells("PIP-02", "stdio", "no end came")
    some = Telling("", Outcome.ABSENT, "nothing", rules=("PRD-01",))
    assert some.tells("PRD-01", "tcp", "")
    assert not some.tells("PRD-02", "tcp", "")


def test_options_that_a_framework_has_not() -> None:
    assert only(None) == ConnectionOptions()
    assert only(ConnectionOptions(unix_mode=0o660), "unix_mode").unix_mode == 0o660
    with pytest.raises(NoCounterpart, match="close_timeout"):
        only(ConnectionOptions(close_timeout=1.0), "unix_mode")


def test_only_names_are_translated() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    names = ((ConnectionRefusedError, ConnectionRefused),)
    with pytest.raises(ConnectionRefused) as caught, translated(names):
        raise refused
    assert str(caught.value) == str(refused)
    assert caught.value.__cause__ is refused
    with pytest.raises(KeyError), translated(names):
        raise KeyError
