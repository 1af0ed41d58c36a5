"""What decides that a mutant is caught: it must not take everything for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from halfclose.connection import Connection
from halfclose.io.poller import EpollPoller
from halfclose.testing import Net
from halfclose.testing.channels import peers
from halfclose.testing.judging.verdict import Verdict
from halfclose.testing.tools import waiting
from mutants.judging import Finding, finding_of, judge
from mutants.mutant import Mutant, mutant
from mutants.patching import Patch
from mutants.patience import patience
from mutants.wrapping import event


def finding(what: str, report: str = "") -> Finding:
    return finding_of(
        Verdict(
            rule="EVT-02",
            backend="memory",
            channel_type="memory",
            passed=not what,
            seconds=0.0,
            text="",
            what=what,
            report=report,
        )
    )


def nothing(patch: Patch) -> None:
    """No mistake."""


LOUD = Mutant("EVT-02", nothing, "memory", "")
SILENT = Mutant("EVT-02", nothing, "memory", "readConnectionLost")


@pytest.mark.parametrize(
    ("what", "how", "loud", "silent"),
    [
        ("", "survived", False, False),
        ("assert 1 == 2", "seen", True, True),
        ("readConnectionLost did not come within 10.0 s; <Recorder>", "waited", False, True),
        ("connectionLost did not come within 10.0 s; <Recorder>", "waited", False, False),
        ("the raw peer waited in vain for input within 10.0 s", "waited", False, False),
        ("the raw peer read 5 bytes, and no end came within 2 s", "waited", False, False),
        ("TimeoutError: timed out", "waited", False, False),
        ("Deadlock: nothing is ready and no timer is set", "waited", False, False),
        ("it did not end within 30 s", "hung", False, False),
        ("not even one connection works: it did not end within 30 s", "unusable", False, False),
    ],
)
def test_only_what_the_rule_has_seen_counts(what: str, how: str, loud: bool, silent: bool) -> None:
    found = finding(what)
    assert found.how == how
    assert found.catches(LOUD) is loud
    assert found.catches(SILENT) is silent


def test_a_mutant_that_breaks_every_connection_is_caught_by_no_rule() -> None:
    found = finding("AttributeError: transport", 'File "trial.py", line 89, in try_connection')
    assert found.how == "unusable"
    assert not found.catches(LOUD)


def test_no_mistake_survives() -> None:
    found = judge(LOUD)
    assert found.how == "survived"
    assert not found.catches(LOUD)
    assert "No mistake." in found.told(LOUD)


def test_a_mistake_is_judged_in_another_process_only() -> None:
    @mutant("EVT-02")
    def told_twice(patch: Patch) -> None:
        """Twice."""
        event(patch, "readConnectionLost", lambda real, connection: (real(), real()))

    before = Connection.attach
    found = judge(told_twice)
    assert found.how == "seen"
    assert found.catches(told_twice)
    assert Connection.attach is before


# -- patches ---------------------------------------------------------------------------------------


@pytest.fixture
def patch() -> Any:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Patch(monkeypatch)


@pytest.mark.parametrize("old", ["no such line", "self"], ids=["not there", "there twice"])
def test_a_line_that_is_not_there_once_is_an_error(patch: Patch, old: str) -> None:
    with pytest.raises(LookupError, match=r"abortConnection has \d times"):
        patch.edit(Connection.abortConnection, old, "pass")


def test_a_name_that_is_not_there_is_an_error(patch: Patch) -> None:
    with pytest.raises(AttributeError):
        patch.put(Connection, "no_such_name", None)


def scale(number: int) -> int:
    return number * 10


def test_edits_are_in_place_add_up_and_are_taken_back() -> None:
    bound_before = scale
    with pytest.MonkeyPatch.context() as monkeypatch:
        patch = Patch(monkeypatch)
        patch.edit(scale, "number * 10", "number * 100")
        patch.edit(scale, "number * 100", "number * 100 + 1")
        assert bound_before(2) == 201
    assert bound_before(2) == 20


class Base:
    def double(self, number: int) -> int:
        return 2 * number


class Derived(Base):
    def double(self, number: int) -> int:
        return super().double(number) + 1


def test_methods_that_call_super_can_be_edited(patch: Patch) -> None:
    patch.edit(Derived.double, "+ 1", "+ 2")
    assert Derived().double(4) == 10


def test_closures_cannot(patch: Patch) -> None:
    def outer(size: int) -> Callable[[], int]:
        def inner() -> int:
            return size

        return inner

    with pytest.raises(LookupError, match="free variables"):
        patch.edit(outer(1), "return size", "return 2")


def test_a_descriptor_of_the_poller_can_be_edited(patch: Patch) -> None:
    patch.edit(EpollPoller.__init__, "super().__init__(backend)", "super().__init__(None)")
    with pytest.raises(AttributeError):
        EpollPoller(object())  # type: ignore[arg-type]


# -- patience --------------------------------------------------------------------------------------


def test_every_wait_of_the_kit_is_shortened_and_put_back() -> None:
    waits = (Net.until, Net.lost, Net.wait, waiting.eventually)
    before = [wait.__defaults__ for wait in waits]
    assert before == [(peers.LIMIT,)] * len(waits)
    limit, soon = peers.LIMIT, waiting.SOON
    with patience(0.5):
        assert (peers.LIMIT, waiting.SOON) == (0.5, 0.125)
        assert [wait.__defaults__ for wait in waits] == [(0.5,)] * len(waits)
    assert (limit, soon) == (peers.LIMIT, waiting.SOON)
    assert [wait.__defaults__ for wait in waits] == before
