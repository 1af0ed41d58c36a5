"""To explore, to replay, and the process that does it."""

from __future__ import annotations

import os
import shlex
import signal
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from core.support import descriptors
from halfclose import BackendNotFound, Connection
from halfclose.testing.exploration import (
    ExplorationSuite,
    Report,
    ScriptError,
    explore,
    parse_script,
    register_profiles,
    replay,
    search,
    suite,
    worker,
)
from halfclose.testing.exploration.channel_types import MEMORY, channel_type_of, explorable
from halfclose.testing.exploration.performing import perform
from halfclose.testing.exploration.reference import compare, is_calm
from halfclose.testing.exploration.script import Script
from halfclose.testing.exploration.shortening import shorten
from halfclose.testing.exploration.worker import Worker
from hypothesis import settings

BUSY = (
    "memory; b plain; water 10 100; seed 5; chunk 7; a on data: write 5, lwc; b on made: write 9; "
    "a: push 3 100, write 1000; turns 2; b: pause; delay up 2; wait; b: resume; a: unregister"
)


def hang(self: Connection) -> None:
    while True:
        pass


def die(self: Connection) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(self: Connection) -> None:
    raise KeyError("a defect")


class TestReplay:
    def test_a_report_of_what_was_kept(self) -> None:
        report = replay("memory", BUSY)
        assert report.passed, str(report)
        assert report.rule == ""
        assert report.channel_type == "memory"
        assert report.script == parse_script(BUSY)
        assert str(report) == "memory, memory: the contract was kept"
        assert "b hears connectionMade" in report.trace

    def test_in_memory_it_is_the_same_each_time(self) -> None:
        assert replay("memory", BUSY) == replay("memory", BUSY)

    def test_a_report_of_what_was_broken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Connection, "_pump_soon", lambda self: self._pump())
        report = replay("memory", "memory; a: lwc")
        assert not report.passed
        assert report.rule == "EVT-07"
        assert report.broken == "EVT-07: a: writeConnectionLost inside a's verb lwc"
        assert shlex.split(report.command) == [
            *("halfclose", "explore", "memory"),
            *("--replay", "memory; a: lwc"),
        ]
        text = str(report)
        assert text.startswith(f"{report.broken} (memory, memory)\n")
        assert text.endswith(f"Again: {report.command}")
        assert "    a calls lwc\n" in text
        assert report == replay("memory", "memory; a: lwc")
        assert "seen once" in str(replace(report, again=False))

    def test_on_another_kind(self) -> None:
        report = replay("anyio+asyncio", "tcp; a: lwc", channel_type="unix")
        assert report.passed, str(report)
        assert report.channel_type == "unix"

    @pytest.mark.parametrize(
        ("backend", "text", "message"),
        [
            ("memory", "nonsense", "there is no type of channel 'nonsense'; there are memory"),
            ("memory", "tcp; a: lwc", "there is no type of channel 'tcp'"),
            ("anyio+asyncio", "stdio", "there is no type of channel 'stdio'"),
            ("anyio+asyncio", "anyio-tcp; a: lwc", "only a raw peer connects"),
            ("anyio+asyncio", "tcp; stall up", "'tcp' is no simulated network"),
            ("memory", "memory; a: fly", "there is no verb 'fly'"),
        ],
    )
    def test_what_cannot_be_performed(self, backend: str, text: str, message: str) -> None:
        with pytest.raises(ScriptError) as caught:
            replay(backend, text)
        assert message in str(caught.value)

    def test_a_backend_that_is_not_there(self) -> None:
        with pytest.raises(BackendNotFound):
            replay("nowhere", "tcp")


class TestExplore:
    def test_it_ends_in_time_and_leaves_nothing(self) -> None:
        before = descriptors()
        performed: list[None] = []
        start = time.monotonic()
        assert explore("memory", 3.0, seed=3, performed=lambda: performed.append(None)) is None
        assert time.monotonic() - start < 15.0
        assert performed
        assert descriptors() == before

    def test_one_seed_is_one_search(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Connection, "_pump_soon", lambda self: self._pump())
        monkeypatch.setattr(search, "_SHORTENING", 300.0)
        found = [explore("memory", 300.0, seed=4) for _ in range(2)]
        assert found[0] is not None
        assert found[0].rule == "EVT-07"
        assert found[0] == found[1]

    def test_without_a_seed_it_searches_too(self) -> None:
        assert explore("memory", 0.2) is None


class TestTheProcess:
    def test_a_hang_costs_its_script_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Connection, "pauseProducing", hang)
        with Worker("anyio+asyncio", explorable("anyio+asyncio")) as performing:
            with monkeypatch.context() as patch:
                patch.setattr(worker, "_PATIENCE", 3.0)
                outcome = performing.perform(parse_script("tcp; a: pause"), 0.1)
            assert outcome.broken == "EVT-06: both: the process hung, and was ended"
            assert any("hang" in line for line in outcome.trace), outcome.trace
            outcome = performing.perform(parse_script("tcp; a: lwc"))
            assert outcome.broken == ""

    def test_a_death_costs_its_script_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Connection, "pauseProducing", die)
        with Worker("memory", explorable("memory")) as performing:
            outcome = performing.perform(parse_script("memory; a: pause"))
            assert outcome.broken == "EVT-06: both: the process died with status -9"
            assert performing.perform(parse_script("memory; a: lwc")).broken == ""

    def test_a_defect_that_ends_the_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from halfclose.memory.backend import MemoryBackend

        with Worker("memory", explorable("memory")) as performing:
            assert performing.perform(parse_script("memory")).broken == ""
        monkeypatch.setattr(MemoryBackend, "open_listener", fail)
        with Worker("memory", explorable("memory")) as performing:
            outcome = performing.perform(parse_script("memory; a: lwc"))
        assert (
            outcome.broken
            == "ERR-12: both: the run raised TypeError("
            + repr("fail() takes 1 positional argument but 4 were given")
            + ")"
        )

    def test_what_never_comes_is_a_failure_soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Connection, "write_ended", lambda self: None)
        monkeypatch.setattr(Connection, "_schedule_end", lambda self: None)
        start = time.monotonic()
        with Worker("anyio+asyncio", explorable("anyio+asyncio")) as performing:
            outcome = performing.perform(parse_script("tcp; a: lose"), 1.0)
        assert outcome.broken == "FLU-02: a: connectionLost after loseConnection does not come"
        assert outcome.trace[-1] == f"!! {outcome.broken}"
        # Long before the process would be ended.
        assert time.monotonic() - start < 4 * 1.0 + worker._PATIENCE


class TestTheReference:
    def test_what_is_calm(self) -> None:
        assert is_calm(parse_script("tcp"))
        assert is_calm(parse_script("tcp; a: write 5; wait; b: lose"))
        assert is_calm(parse_script("tcp; a on read: write 5, lwc; wait"))
        assert not is_calm(parse_script("tcp; a: write 5; b: lose"))
        assert not is_calm(parse_script("tcp; turns 1"))
        assert not is_calm(parse_script("tcp; a on read: lose"))
        assert not is_calm(parse_script("tcp; a raw; a: lwc"))

    def test_a_difference_is_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        script = parse_script("tcp; a: write 5; wait; a: lwc")
        channel_type = channel_type_of(explorable("anyio+asyncio"), script)
        outcome = perform("anyio+asyncio", channel_type, script, 3.0)
        assert compare(channel_type, script, outcome) == outcome
        assert outcome.broken == ""
        seen = tuple(line.replace("5 received", "4 received") for line in outcome.seen)
        other = compare(channel_type, script, replace(outcome, seen=seen))
        assert other.broken.startswith("EVT-11: otherwise than in memory: b: connectionMade, ")
        assert compare(channel_type, script, replace(outcome, seen=seen, free=True)).broken == ""

    def test_memory_is_its_own(self) -> None:
        script = parse_script("memory; a: write 5")
        outcome = perform("memory", MEMORY, script, 0.0)
        assert compare(MEMORY, script, outcome) is outcome


def test_shortening_leaves_what_is_needed() -> None:
    script = parse_script(
        "tcp; a plain; water 1 2; seed 3; b on read: write 70000, raise; a on data 5: lwc; "
        "a: write 200, sequence 1 2, abort; wait; turns 3; b: push 3 100; a: lose; wait"
    )

    def still_breaks(script: Any) -> bool:
        text = str(script)
        return "abort" in text and "on read" in text and text.index("push 3") > 0

    def breaks(script: Any) -> bool:
        return "push 3" in str(script) and still_breaks(script)

    assert str(shorten(script, breaks)) == "tcp; b on read: raise; a: abort; b: push 3 0"


def test_the_long_profile() -> None:
    register_profiles()
    register_profiles()
    assert settings.get_profile("long").max_examples >= 100_000


class _Broken(ExplorationSuite):
    backend = "memory"


def test_the_suite_shows_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "_pump_soon", lambda self: self._pump())
    with pytest.raises(pytest.fail.Exception) as caught:
        _Broken().test_exploration(MEMORY)
    assert "Again: halfclose explore memory --replay memory" in str(caught.value)


def test_the_suite_is_seeded_where_the_profile_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts: list[str] = []

    def check(self: search.Search, script: Script) -> None:
        scripts.append(str(script))

    def performed(derandomize: bool, backend: str = "memory") -> list[str]:
        chosen = settings(max_examples=5, derandomize=derandomize, database=None)
        monkeypatch.setattr(suite, "settings", lambda: chosen)
        monkeypatch.setattr(_Broken, "backend", backend)
        scripts.clear()
        _Broken().test_exploration(MEMORY)
        return list(scripts)

    monkeypatch.setattr(search.Search, "_check", check)
    monkeypatch.setattr(suite, "Worker", lambda backend, channel_types: nullcontext())
    assert performed(True) == performed(True)
    assert performed(True) != performed(True, "anyio+asyncio")
    assert performed(False) != performed(False)


def test_a_report_knows_its_script() -> None:
    report = Report("mine", parse_script("unix; a: lwc"), "EVT-04: a: late", ("a calls lwc",))
    assert (report.channel_type, report.rule, report.passed) == ("unix", "EVT-04", False)
