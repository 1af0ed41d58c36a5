"""A suite that is pointed at a backend that hangs, leaks or does not load says so, and ends."""

from __future__ import annotations

import time
from importlib.metadata import distributions

import pytest
from halfclose import BackendLoadError
from halfclose.testing.judging import case as cases
from halfclose.testing.judging.runner import check, plan
from halfclose.testing.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("broken")


def judge(backend: str, *rules: str, limit: float = 60.0) -> list[Verdict]:
    """The verdicts on *rules*, over TCP."""
    chosen = [case for case in plan(backend, rules) if case.channel_type.name == "tcp"]
    assert len(chosen) == len(rules)
    return sorted(check(chosen, limit=limit), key=lambda verdict: rules.index(verdict.rule))


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("loading+no-plugin", "ModuleNotFoundError"),
        ("loading+raises", "ZeroDivisionError"),
        ("loading+raising-hook", "does not load: its plugin failed"),
        ("loading+offers-none", "its plugin offers none"),
        ("loading+no-channel types", "is no tuple of halfclose.testing.ChannelType"),
    ],
)
def test_one_that_does_not_load_is_told_before_any_rule(backend: str, said: str) -> None:
    with pytest.raises(BackendLoadError, match=backend.replace("+", r"\+")) as caught:
        plan(backend)
    assert said in str(caught.value)


@pytest.mark.parametrize("backend", ["loading+no-module", "loading+no-class"])
def test_one_whose_class_does_not_load_is_told_before_any_rule(backend: str) -> None:
    with pytest.raises(BackendLoadError, match=backend.replace("+", r"\+")):
        list(check(plan(backend, ["EVT-01"])))


def test_one_that_is_not_finished_fails_every_rule_alike() -> None:
    (verdict,) = judge("loading+unfinished", "EVT-01")
    assert verdict.what.startswith("not even one connection works: TypeError: Can't instantiate")


@pytest.mark.parametrize("backend", ["in-callback", "after-main", "in-stop"])
def test_one_that_hangs_from_the_beginning(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "_tried", {})
    begun = time.monotonic()
    verdicts = judge(f"hanging+{backend}", "EVT-01", "EVT-02", "EVT-03", limit=3.0)
    assert time.monotonic() - begun < 30
    assert not any(verdict.passed for verdict in verdicts)
    for verdict in verdicts:
        assert verdict.what == "not even one connection works: it did not end within 3 s"


@pytest.mark.parametrize("backend", ["in-resolve", "spins-in-resolve"])
def test_one_that_hangs_in_one_rule_fails_that_rule(backend: str) -> None:
    hung, kept = judge(f"hanging+{backend}", "ERR-10", "EVT-05", limit=12.0)
    assert not hung.passed
    assert hung.what == "it did not end within 12 s"
    assert "hanging.py" in hung.report, "where it hung is not told"
    assert kept.passed, str(kept)


@pytest.mark.parametrize(
    ("backend", "named"),
    [
        ("descriptor", "left behind: descriptor "),
        ("thread", "left behind: thread "),
        ("daemon-thread", "left behind: thread "),
        ("task", "left behind: task "),
    ],
)
def test_what_one_leaves_behind_is_named(backend: str, named: str) -> None:
    (verdict,) = judge(f"leaving+{backend}", "EVT-01")
    assert not verdict.passed
    assert named in verdict.what


@pytest.mark.parametrize(("backend", "rule"), [("timer", "LOOP-09"), ("signal-handler", "LOOP-12")])
def test_what_cannot_be_seen_to_stay_fails_the_rule_about_it(backend: str, rule: str) -> None:
    (verdict,) = judge(f"leaving+{backend}", rule)
    assert not verdict.passed


def test_nothing_loads_itself_into_every_session() -> None:
    for distribution in distributions():
        if distribution.name.startswith("halfclose"):
            assert not distribution.entry_points.select(group="pytest11")
