"""What a backend leaves behind, how it hangs and how it dies is that rule's failure, and named."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from halfclose.testing import ContractSuite, PollerTCP
from halfclose.testing.judging import case as cases
from halfclose.testing.judging.case import Case
from halfclose.testing.judging.verdict import Verdict
from halfclose.testing.tools import forks
from kit import defects

RULE = ContractSuite.rules()["EVT-01"]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Verdict]]:
    """Judges EVT-01 on a backend that works, but for one defect."""
    monkeypatch.setattr(cases, "_tried", {})
    with defects.installed("Defective") as name:
        suite = type("Suite", (ContractSuite,), {"backend": name})()

        def judge(defect: Callable[[Any], object], limit: float = 60.0) -> Verdict:
            case = Case(suite, name, PollerTCP(), RULE)
            # The first connection of all, which must work for a rule to be tried.
            monkeypatch.setattr(defects.Defective, "defect", lambda backend: None, raising=False)
            case.work(limit)
            monkeypatch.setattr(defects.Defective, "defect", defect)
            return case.judge(limit)

        yield judge


def test_without_a_defect_it_is_kept(judge: Callable[..., Verdict]) -> None:
    verdict = judge(lambda backend: None)
    assert verdict.passed, str(verdict)
    assert (verdict.rule, verdict.backend, verdict.channel_type) == ("EVT-01", defects.NAME, "tcp")
    assert not verdict.what
    assert not verdict.report


@pytest.mark.parametrize(
    ("defect", "named"),
    [
        (defects.keep_a_descriptor, "/dev/null"),
        (defects.keep_a_socket_for_the_collector, "unclosed <socket.socket"),
        (defects.keep_a_thread, "thread straggler"),
        (defects.keep_a_daemon, "thread straggler"),
        (defects.keep_a_process, "process "),
        (defects.keep_a_task, "task forgotten"),
        (defects.never_await, "'forgotten' was never awaited"),
        (defects.raise_in_a_finalizer, "ZeroDivisionError: in a finalizer"),
        (defects.raise_in_a_thread, "ZeroDivisionError: in a thread"),
    ],
)
def test_what_is_left_behind_is_named(
    judge: Callable[..., Verdict], defect: Callable[[Any], object], named: str
) -> None:
    verdict = judge(defect)
    assert not verdict.passed
    assert verdict.what.startswith("left behind: ")
    assert named in verdict.what


def test_a_worker_that_is_used_again_is_no_leak(judge: Callable[..., Verdict]) -> None:
    verdict = judge(defects.reuse_a_daemon)
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize(
    "defect",
    [
        defects.block,
        defects.swallow_everything,
        defects.wait_for_ever,
        defects.hide_from_its_group,
        defects.print_without_end,
    ],
)
def test_a_hang_is_the_rules_failure(
    judge: Callable[..., Verdict], defect: Callable[[Any], object]
) -> None:
    begun = time.monotonic()
    # Until then it must have come to where it hangs, on a machine with other work too.
    verdict = judge(defect, limit=4.0)
    assert time.monotonic() - begun < 30
    assert not verdict.passed
    assert verdict.what == "it did not end within 4 s"
    assert len(verdict.report) < 200_000
    if defect not in (defects.wait_for_ever, defects.print_without_end):
        assert f"in {defect.__name__}" in verdict.report, "where it hung is not told"


@pytest.mark.parametrize(
    ("defect", "how"),
    [
        (defects.crash, "its process was ended by SIGSEGV"),
        (defects.leave, "its process ended with status 7 and without a word"),
    ],
)
def test_a_death_is_the_rules_failure(
    judge: Callable[..., Verdict], defect: Callable[[Any], object], how: str
) -> None:
    verdict = judge(defect)
    assert not verdict.passed
    assert verdict.what == how


@pytest.mark.parametrize("limit", [0.0, -1.0, float("inf"), float("nan")])
def test_a_limit_is_a_limit(judge: Callable[..., Verdict], limit: float) -> None:
    with pytest.raises(ValueError, match="the time limit is a number of seconds"):
        judge(lambda backend: None, limit=limit)


def test_a_short_limit_is_not_held_against_the_next(judge: Callable[..., Verdict]) -> None:
    assert not judge(lambda backend: None, limit=0.001).passed
    assert judge(lambda backend: None).passed


def test_how_a_process_ended_is_learnt_where_nobody_asks(judge: Callable[..., Verdict]) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert judge(defects.leave).what == "its process ended with status 7 and without a word"
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_the_judge_keeps_no_process_and_no_descriptor(judge: Callable[..., Verdict]) -> None:
    judge(lambda backend: None)
    before = sorted(os.listdir("/dev/fd"))
    for defect in (defects.crash, defects.keep_a_thread, lambda backend: None):
        judge(defect)
    judge(defects.block, limit=1.0)
    assert sorted(os.listdir("/dev/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_where_no_connection_works_no_rule_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "_tried", {})
    with defects.installed("HangsAtTheEnd") as name:
        suite = type("Suite", (ContractSuite,), {"backend": name})()
        channel_type = PollerTCP()
        begun = time.monotonic()
        verdicts = [
            Case(suite, name, channel_type, rule).judge(3.0)
            for rule in list(ContractSuite.rules().values())[:10]
        ]
        assert time.monotonic() - begun < 20
    for verdict in verdicts:
        assert not verdict.passed
        assert verdict.what == "not even one connection works: it did not end within 3 s"
        assert "in run" in verdict.report


def test_a_forked_child_that_hangs_is_told_of_with_where(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()

    def hang() -> None:
        os.write(writing, b"here")
        threading.Event().wait()

    children = forks.Children()
    children.fork(hang)
    assert os.read(reading, 4) == b"here"
    with monkeypatch.context() as patch:
        patch.setattr(forks, "LIMIT", 0.1)
        with pytest.raises(AssertionError, match=r"within 0\.1 s(?s:.*) in hang\b"):
            children.status()
    os.close(reading)
    os.close(writing)
    children.fork(lambda: os._exit(4))
    assert children.status() == 4


def test_a_failure_shows_the_rule_what_was_seen_and_where_to_look(
    judge: Callable[..., Verdict],
) -> None:
    shown = str(judge(defects.keep_a_descriptor))
    assert shown.startswith("EVT-01 on defective, tcp: left behind: descriptor")
    assert "The rule: `makeConnection` sets `transport`" in shown
    assert "Where to look: attach the protocol with ``Connection.attach``" in shown
    assert "seen: <Recorder connectionMade, dataReceived, connectionLost>, 1 bytes" in shown
