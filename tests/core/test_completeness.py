"""The check that a whole run ran the whole contract can fail, and knows what it asks for."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tiers import FRAMEWORKS, THOROUGH, VARIANTS, expected, is_thorough, rules

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def conftest() -> ModuleType:
    spec = importlib.util.spec_from_file_location("whole_run", TESTS / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # Loaded a second time here, when the kit has long been imported.
        patch.setattr(pytest, "register_assert_rewrite", lambda name: None)
        spec.loader.exec_module(module)
    return module


TIERS = pytest.mark.parametrize("thorough", [False, True], ids=["quick", "thorough"])


def finish(
    conftest: ModuleType, passed: Iterable[str], exitstatus: int = 0, *, thorough: bool = True
) -> tuple[int, list[str]]:
    lines: list[str] = []
    reporter = SimpleNamespace(write_line=lambda line, **markup: lines.append(line))
    plugins = SimpleNamespace(get_plugin=lambda name: reporter)
    session: Any = SimpleNamespace(
        exitstatus=exitstatus, config=SimpleNamespace(pluginmanager=plugins)
    )
    check = conftest.Completeness(thorough=thorough)
    check.passed = set(passed)
    check.pytest_sessionfinish(session)
    return int(session.exitstatus), lines


def test_the_thorough_tier_asks_for_every_rule_variant_and_channel_type() -> None:
    whole = expected(thorough=True)
    assert len(rules()) == 93
    assert {line.split()[0] for line in whole} == set(VARIANTS)
    assert len(VARIANTS) == 17
    for rule in rules():
        assert any(f" {rule} " in line for line in whole), rule
    channel_types = {line.split()[2] for line in whole}
    assert channel_types == {
        *("tcp", "unix", "stdio", "native-tcp", "native-unix"),
        *("twisted-tcp", "twisted-unix", "anyio-tcp", "anyio-unix", "trio-tcp", "memory"),
    }


def test_the_quick_tier_asks_for_every_rule_on_every_variant_and_on_every_channel_type() -> None:
    quick, whole = expected(thorough=False), expected(thorough=True)
    assert quick < whole
    for variants in FRAMEWORKS.values():
        of = {line for line in whole if line.split()[0] in variants}
        here = {line for line in quick if line.split()[0] in variants}
        on_variants = {tuple(line.split()[:2]) for line in of}
        assert {tuple(line.split()[:2]) for line in here} == on_variants
        assert len(on_variants) == len(variants) * len(rules())
        on_types = {tuple(line.split()[1:]) for line in of}
        assert {tuple(line.split()[1:]) for line in here} == on_types
        # And every type of channel is tried on every variant, with one rule or another.
        assert {line.split()[0] + line.split()[2] for line in here} == {
            line.split()[0] + line.split()[2] for line in of
        }


def test_what_is_left_to_the_thorough_tier_is_there() -> None:
    for test in THOROUGH:
        file, _, name = test.partition("::")
        assert f"\ndef {name}(" in (TESTS.parent / file).read_text() if name else True, test
        assert (TESTS.parent / file).is_file(), test


def test_what_the_quick_tier_leaves_out() -> None:
    def name(line: str) -> str:
        variant, rule, channel_type = line.split()
        chapter, number = rule.lower().split("-")
        return f"tests/contract/{variant}::test_{chapter}_{number}_words[{channel_type}]"

    quick = expected(thorough=False)
    for line in expected(thorough=True):
        assert is_thorough(name(line)) is (line not in quick), line
    assert not is_thorough("tests/core/test_completeness.py::test_what_the_quick_tier_leaves_out")
    assert not is_thorough("tests/mutants/test_mutants.py::test_every_rule_has_a_mutant")
    assert is_thorough("tests/mutants/test_mutants.py::test_a_mutant_is_caught[EVT-01-anything]")


@pytest.mark.parametrize(
    "test",
    [
        "tests/contract/test_new.py::TestNew::test_evt_05_words[tcp]",
        "tests/contract/test_anyio.py::TestTrio::test_evt_05_words[new-tcp]",
        "tests/contract/test_anyio.py::TestTrio::test_evt_99_words[tcp]",
    ],
)
def test_what_no_tier_knows_yet_is_run_by_both(test: str) -> None:
    assert not is_thorough(test)


@TIERS
def test_a_whole_run_passes(conftest: ModuleType, thorough: bool) -> None:
    assert finish(conftest, expected(thorough=thorough), thorough=thorough) == (0, [])


@TIERS
@pytest.mark.parametrize("status", [0, int(pytest.ExitCode.NO_TESTS_COLLECTED)])
def test_an_empty_run_fails(conftest: ModuleType, status: int, thorough: bool) -> None:
    failed, lines = finish(conftest, (), status, thorough=thorough)
    assert failed == pytest.ExitCode.TESTS_FAILED
    assert "the contract was not run whole" in lines[-1]


def test_a_quick_run_is_no_thorough_one(conftest: ModuleType) -> None:
    failed, _ = finish(conftest, expected(thorough=False))
    assert failed == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    "line",
    [
        "test_anyio.py::TestTrio EVT-05 anyio-unix",
        "test_hosts.py::TestAsyncioRun EVT-05 native-tcp",
        "test_hosts.py::TestEpollReactorRun ERR-05 tcp",
    ],
)
def test_one_that_is_missing_fails_and_is_named(conftest: ModuleType, line: str) -> None:
    failed, lines = finish(conftest, expected(thorough=True) - {line})
    assert failed == pytest.ExitCode.TESTS_FAILED
    assert line in lines[-1]


def test_each_of_a_quick_run_is_missed(conftest: ModuleType) -> None:
    whole = expected(thorough=False)
    for line in whole:
        failed, lines = finish(conftest, whole - {line}, thorough=False)
        assert failed == pytest.ExitCode.TESTS_FAILED
        assert line in lines[-1]


def test_reports_are_understood(conftest: ModuleType) -> None:
    check = conftest.Completeness(thorough=True)
    node = "tests/contract/test_anyio.py::TestTrio::test_evt_05_both_halves_end[anyio-unix]"
    check.pytest_runtest_logreport(SimpleNamespace(nodeid=node, when="setup", passed=True))
    assert not check.passed
    check.pytest_runtest_logreport(SimpleNamespace(nodeid=node, when="call", passed=True))
    assert check.passed == {"test_anyio.py::TestTrio EVT-05 anyio-unix"}


def test_what_is_left_out_is_told(conftest: ModuleType) -> None:
    """By each worker to the process that reports, and there to people."""
    names = ["tests/core/test_one.py::test_one", "tests/runners/test_runners.py::test_one"]
    items = [SimpleNamespace(nodeid=name) for name in names]
    deselected: list[Any] = []
    hook = SimpleNamespace(pytest_deselected=lambda items: deselected.extend(items))
    output: dict[str, int] = {}
    worker = conftest.QuickTier()
    config: Any = SimpleNamespace(hook=hook, workeroutput=output)
    worker.pytest_collection_modifyitems(config, items)
    assert [item.nodeid for item in items] == names[:1]
    assert [item.nodeid for item in deselected] == names[1:]
    worker.pytest_sessionfinish(SimpleNamespace(config=config))
    reporting = conftest.QuickTier()
    reporting.pytest_testnodedown(SimpleNamespace(workeroutput=output))
    reporting.pytest_testnodedown(SimpleNamespace())
    lines: list[str] = []
    reporting.pytest_terminal_summary(SimpleNamespace(write_line=lines.append))
    assert lines == ["1 more with --thorough"]


@pytest.mark.parametrize(("words", "told"), [("a_title", False), ("a_title or seen_now", True)])
def test_what_was_not_asked_for_is_not_told(words: str, told: bool) -> None:
    chosen = ["tests/scorecard/test_scorecard.py", "-k", words]
    options = ["-n0", "-q", "--collect-only", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *chosen],
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ("\n1 more with --thorough\n" in done.stdout) is told, done.stdout
    assert told or "more with" not in done.stdout
