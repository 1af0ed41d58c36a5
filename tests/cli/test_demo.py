"""``halfclose demo``, and the ladder that it shows."""

from __future__ import annotations

import halfclose.running
import pytest
from cli.support import VARIANTS, halfclose_, start
from cli.terminal import Terminal
from halfclose import BackendLoadError
from halfclose.cli import demo, listing, main
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


@pytest.mark.parametrize("columns", [24, 40, 60, 75, 120])
def test_every_tick_is_shown_on_every_screen(columns: int) -> None:
    with (
        Terminal(columns) as terminal,
        start("demo", stdout=terminal.program, env={"TERM": "xterm", "COLUMNS": ""}) as command,
    ):
        said = terminal.rest()
        assert command.finish().status == 0
    assert said.count("✓") == len(LADDER) * len(VARIANTS)
    lines = said.splitlines()
    for number, name in enumerate(VARIANTS, 1):
        assert f"{number} {name}" in said
    if columns >= 60:
        assert max(map(len, lines)) <= columns
    assert lines[-1] == f"All {len(VARIANTS)} variants agree."


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
    record = demo._Record()
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
