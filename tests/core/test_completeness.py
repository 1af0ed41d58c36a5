"""The check that a whole run ran the whole contract can fail, and knows what it asks for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

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


def finish(conftest: ModuleType, passed: set[str], exitstatus: int = 0) -> tuple[int, list[str]]:
    lines: list[str] = []
    reporter = SimpleNamespace(write_line=lambda line, **markup: lines.append(line))
    plugins = SimpleNamespace(get_plugin=lambda name: reporter)
    session: Any = SimpleNamespace(
        exitstatus=exitstatus, config=SimpleNamespace(pluginmanager=plugins)
    )
    check = conftest.Completeness()
    check.passed = passed
    check.pytest_sessionfinish(session)
    return int(session.exitstatus), lines


def test_every_rule_variant_and_kind_is_asked_for(conftest: ModuleType) -> None:
    expected = conftest.expected()
    assert len(conftest.rules()) == 93
    assert {line.split()[0] for line in expected} == set(conftest.VARIANTS)
    assert len(conftest.VARIANTS) == 17
    for rule in conftest.rules():
        assert any(f" {rule} " in line for line in expected), rule
    kinds = {line.split()[2] for line in expected}
    assert kinds == {
        *("tcp", "unix", "stdio", "native-tcp", "native-unix"),
        *("twisted-tcp", "twisted-unix", "anyio-tcp", "anyio-unix", "trio-tcp", "memory"),
    }


def test_a_whole_run_passes(conftest: ModuleType) -> None:
    assert finish(conftest, conftest.expected()) == (0, [])


@pytest.mark.parametrize("status", [0, int(pytest.ExitCode.NO_TESTS_COLLECTED)])
def test_an_empty_run_fails(conftest: ModuleType, status: int) -> None:
    failed, lines = finish(conftest, set(), status)
    assert failed == pytest.ExitCode.TESTS_FAILED
    assert "the contract was not run whole" in lines[-1]


@pytest.mark.parametrize(
    "line",
    [
        "test_anyio.py::TestTrio EVT-05 anyio-unix",
        "test_hosts.py::TestAsyncioRun EVT-05 native-tcp",
        "test_hosts.py::TestEpollReactorRun ERR-05 tcp",
    ],
)
def test_one_that_is_missing_fails_and_is_named(conftest: ModuleType, line: str) -> None:
    failed, lines = finish(conftest, conftest.expected() - {line})
    assert failed == pytest.ExitCode.TESTS_FAILED
    assert line in lines[-1]


def test_reports_are_understood(conftest: ModuleType) -> None:
    check = conftest.Completeness()
    node = "tests/contract/test_anyio.py::TestTrio::test_evt_05_both_halves_end[anyio-unix]"
    check.pytest_runtest_logreport(SimpleNamespace(nodeid=node, when="setup", passed=True))
    assert not check.passed
    check.pytest_runtest_logreport(SimpleNamespace(nodeid=node, when="call", passed=True))
    assert check.passed == {"test_anyio.py::TestTrio EVT-05 anyio-unix"}
