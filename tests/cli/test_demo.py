"""``halfclose demo``, and the ladder that it shows."""

from __future__ import annotations

import os
import sys

import halfclose.running
import pytest
from cli.support import VARIANTS, halfclose_, start
from cli.terminal import Terminal
from halfclose import BackendLoadError
from halfclose.cli import demo, listing, main
from halfclose.cli.agreement import Agreement
from halfclose.cli.conversation import Record
from halfclose.cli.demo_table import table
from halfclose.cli.ladder import Entry, Events, ladder, present

LADDER = """\
connectionMade
  write(b'hello, world')
  loseWriteConnection()
writeConnectionLost
                              connectionMade
                              dataReceived b'hello, world'
                                write(b'hello, world')
                              readConnectionLost
                                loseConnection()
                              connectionLost ConnectionDone
dataReceived b'hello, world'
readConnectionLost
connectionLost ConnectionDone
and nothing else
""".splitlines()


def test_all_variants_agree() -> None:
    result = halfclose_("demo")
    lines = result.out.decode().splitlines()
    assert (result.status, result.err) == (0, "")
    for number, name in enumerate(VARIANTS, 1):
        assert f"{number} {name}" in result.out.decode()
    assert lines[-1] == f"All {len(VARIANTS)} variants agree."
    start = next(i for i, line in enumerate(lines) if line.startswith("client: Ask")) + 1
    ticks = " ".join("✓" * len(VARIANTS))
    assert lines[start : start + len(LADDER)] == [f"{rung:<60}{ticks}" for rung in LADDER]
    assert max(map(len, lines)) <= 80


def marks_shown(screen: str) -> dict[str, str]:
    """The marks of each variant, as somebody who reads the screen finds them."""
    found = dict.fromkeys(VARIANTS, "")
    numbers = {f"{number} {name}": name for number, name in enumerate(VARIANTS, 1)}
    legend = [name for label, name in numbers.items() if label in screen]
    assert legend in ([], list(VARIANTS))
    letters, below = "", ""
    for line in screen.splitlines():
        marks = "".join(each for each in line if each in "✓✗")
        if set(line) <= set("abcdefghijklmn "):
            letters = line.strip() or letters
        if line in VARIANTS:
            below = line
        elif marks and legend:
            for name, mark in zip(VARIANTS, marks, strict=True):
                found[name] += mark
        elif marks:
            assert len(marks) == len(letters)
            assert line.split()[0] in (below, marks) if below else line.split()[0] in VARIANTS
            found[below or line.split()[0]] += marks
    return found


@pytest.mark.parametrize("columns", [24, 31, 40, 54, 60, 80, 120])
@pytest.mark.parametrize(
    "environment",
    [{"TERM": "xterm"}, {"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}],
    ids=["colours", "dumb", "no-colour"],
)
def test_what_the_verdict_counts_is_on_every_screen(
    columns: int, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _on_a_screen(columns, environment, monkeypatch, differing="")
    assert marks_shown(said) == dict.fromkeys(VARIANTS, "✓" * 4)
    assert said.splitlines()[-1] == f"All {len(VARIANTS)} variants agree."
    said = _on_a_screen(columns, environment, monkeypatch, differing="twisted+poll")
    found = marks_shown(said)
    assert found.pop("twisted+poll") == "✓✓✓✗"
    assert set(found.values()) == {"✓" * 4}
    assert said.splitlines()[-1].startswith("They do not agree: ")
    if columns >= 31:
        table = said.partition("differs")[0].splitlines()[:-1]
        assert max(map(len, table)) <= columns


def _on_a_screen(
    columns: int, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, differing: str
) -> str:
    """What the command writes on a screen, if one variant does something more than all others."""

    def run(main: object, signals: object, backend: str) -> Events:
        client, server = (Entry("connectionMade"),), (Entry("write", "b'x'", True),)
        more = (Entry("writeConnectionLost"),) if backend == differing else ()
        return Events((*client, Entry("dataReceived", "b'x'"), *more), server)

    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(halfclose.running, "run", run)
    with Terminal(columns) as terminal:
        with open(os.dup(terminal.program), "w") as screen, monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", screen)
            patched.setenv("COLUMNS", str(columns))
            assert main(["demo"]) == (1 if differing else 0)
        return terminal.rest()


@pytest.mark.parametrize(("columns", "kind"), [(40, "xterm"), (60, "dumb"), (80, "xterm")])
def test_the_command_in_a_terminal(columns: int, kind: str) -> None:
    with (
        Terminal(columns) as terminal,
        start("demo", stdout=terminal.program, env={"TERM": kind}) as command,
    ):
        said = terminal.rest()
        assert command.finish().status == 0
    assert marks_shown(said) == dict.fromkeys(VARIANTS, "✓" * len(LADDER))
    assert max(map(len, said.splitlines())) <= columns
    assert said.splitlines()[-1] == f"All {len(VARIANTS)} variants agree."


def test_many_variants_have_a_line_each() -> None:
    """As many as do not fit beside each other."""
    events = _events("")
    seen = {f"backend-{number}": events for number in range(60)}
    lines = [line.plain for line in table(Agreement(events, seen), 80)]
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.startswith("backend-")] == [
        f"{name:<10} {'✓' * (len(events.client) + len(events.server) + 1)}" for name in seen
    ]


def test_without_unicode() -> None:
    result = halfclose_("demo", env={"PYTHONIOENCODING": "ascii"})
    assert result.status == 0
    assert b"+ + +" in result.out


def _events(name: str) -> Events:
    return Events(
        (Entry("connectionMade"), Entry("write", "b'x'", True), Entry("dataReceived", "b'x'")),
        (Entry("connectionMade"), Entry("dataReceived", "b'x'"), Entry("write", "b'x'", True)),
    )


def test_one_differs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(main: object, signals: object, backend: str) -> Events:
        events = _events(backend)
        if backend == "anyio+trio":
            # What came twice, and what never came.
            return Events((*events.client, Entry("dataReceived", "b'x'")), events.server[:-1])
        return events

    monkeypatch.setattr(halfclose.running, "run", run)
    assert main(["demo"]) == 1
    out = capsys.readouterr().out
    assert "✗" in out
    assert (
        "anyio+trio differs: client: connectionMade, write(b'x'), dataReceived b'x', "
        "dataReceived b'x'; server: connectionMade, dataReceived b'x'\n" in out
    )
    total = len(VARIANTS)
    assert out.endswith(f"They do not agree: {total - 1} of {total} variants went as above.\n")


def test_one_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(main: object, signals: object, backend: str) -> Events:
        if backend == "anyio+trio":
            raise OSError("no\nluck")
        return _events(backend)

    monkeypatch.setattr(halfclose.running, "run", run)
    assert main(["demo"]) == 1
    out = capsys.readouterr().out
    assert "anyio+trio failed: OSError: no luck\n" in out
    assert out.splitlines()[-1].startswith("They do not agree: ")


def test_one_does_not_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(name: str) -> type[halfclose.Backend]:
        if name == "anyio+trio":
            raise BackendLoadError("trio is not there")
        return halfclose.load_backend(name)

    monkeypatch.setattr(listing, "load_backend", load)
    monkeypatch.setattr(halfclose.running, "run", lambda main, signals, backend: _events(backend))
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "anyio+trio: trio is not there\n" in out
    assert out.endswith(f"All {len(VARIANTS) - 1} variants agree (1 not loaded).\n")


def test_backend_without_variants_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    info = halfclose.BackendInfo("x", "x", "1", "x")
    names = ["alone", "many", "many+a", "many+b"]
    monkeypatch.setattr(demo, "available_backends", lambda: dict.fromkeys(names, info))
    assert demo._variants() == ["alone", "many+a", "many+b"]


def test_how_the_network_cut_the_data_is_not_seen() -> None:
    record = Record()
    record.add("dataReceived", b"he")
    record.add("write", b"he", verb=True)
    record.add("dataReceived", b"llo")
    record.add("write", b"llo", verb=True)
    record.add("readConnectionLost")
    record.add("write", b"!", verb=True)
    assert record.entries() == (
        Entry("dataReceived", "b'hello'"),
        Entry("write", "b'hello'", True),
        Entry("readConnectionLost"),
        Entry("write", "b'!'", True),
    )


def test_ladder_shows_all_of_a_run_that_breaks_the_rules() -> None:
    events = Events(
        (Entry("readConnectionLost"),), (Entry("dataReceived"), Entry("connectionMade"))
    )
    steps = ladder(events)
    assert [step.entry for step in steps if step.of_client] == list(events.client)
    assert [step.entry for step in steps if not step.of_client] == list(events.server)


def test_present() -> None:
    a, b, c = Entry("a"), Entry("b"), Entry("c")
    assert present([a, b, c], [a, b, c]) == [True, True, True]
    assert present([a, b, c], [a, c]) == [True, False, True]
    assert present([a, b], []) == [False, False]


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(main: object, signals: object, backend: str) -> Events:
        raise KeyboardInterrupt

    monkeypatch.setattr(halfclose.running, "run", run)
    assert main(["demo"]) == 130
