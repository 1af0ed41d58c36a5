"""A subclass can take no rule away, but declare one broken, and then it is checked all the same."""

from __future__ import annotations

from typing import Any

import pytest
from halfclose.testing import ContractSuite

KNOWN = pytest.mark.xfail(strict=True, reason="known to be broken")
NAME = "test_evt_05_both_halves_end"


def original() -> Any:
    return getattr(ContractSuite, NAME)


def derive(**members: Any) -> Any:
    return type("TestMine", (ContractSuite,), {"backend": "anyio", **members})


def quiet(self: Any, channel_type: Any) -> None:
    """An override that checks nothing."""


@pytest.mark.parametrize(
    "replaced",
    [
        None,
        quiet,
        property(lambda self: None),
        pytest.mark.skip(reason="not now")(lambda self, channel_type: None),
        pytest.mark.skipif(True, reason="not here")(lambda self, channel_type: None),
        pytest.mark.xfail(reason="not strict")(lambda self, channel_type: None),
        pytest.mark.xfail(strict=False, reason="not strict")(lambda self, channel_type: None),
        pytest.mark.xfail(strict=True)(lambda self, channel_type: None),
        pytest.mark.xfail(strict=True, reason="")(lambda self, channel_type: None),
        pytest.mark.xfail(strict=True, reason="never run", run=False)(
            lambda self, channel_type: None
        ),
        pytest.mark.xfail(False, strict=True, reason="not now")(lambda self, channel_type: None),
        pytest.mark.xfail(condition=False, strict=True, reason="x")(
            lambda self, channel_type: None
        ),
        pytest.mark.skip(reason="both")(KNOWN(lambda self, channel_type: None)),
    ],
)
def test_a_rule_cannot_be_taken_away(replaced: Any) -> None:
    with pytest.raises(TypeError, match=r"TestMine\.test_evt_05.* takes rule EVT-05 away.*xfail"):
        derive(**{NAME: replaced})


def test_nor_by_a_base_of_another_kind() -> None:
    class Mixin:
        def test_evt_05_both_halves_end(self, channel_type: Any) -> None:
            """Checks nothing."""

    with pytest.raises(TypeError, match="takes rule EVT-05 away"):
        type("TestMine", (Mixin, ContractSuite), {"backend": "anyio"})


@pytest.mark.parametrize(
    "name", ["hold_to", "channel_types_of", "rules", "pytest_generate_tests", "_let_debug"]
)
def test_nor_can_what_runs_the_rules_be_replaced(name: str) -> None:
    with pytest.raises(TypeError, match=rf"TestMine\.{name} would replace the suite's own"):
        derive(**{name: lambda *args: None})


def test_one_that_is_declared_broken_is_marked_in_that_class_only() -> None:
    mine = derive(**{NAME: KNOWN(original())})
    assert [mark.name for mark in getattr(mine, NAME).pytestmark] == ["xfail"]
    assert not getattr(original(), "pytestmark", [])
    assert getattr(mine, NAME).__doc__ == original().__doc__
    other = derive()
    assert getattr(other, NAME) is original()


SUITE = """
import pytest
from halfclose.testing import ContractSuite

class TestMine(ContractSuite):
    backend = "anyio"
    {member}
"""


def run_pytest(tmp_path: Any, member: str, *arguments: str) -> tuple[int, str]:
    """pytest on a subclass with that *member*, as its author would run it."""
    import subprocess
    import sys

    (tmp_path / "test_mine.py").write_text(SUITE.format(member=member))
    # pytest-twisted, where it is installed, runs a reactor in pytest's own process.
    without = ("-p", "no:cacheprovider", "-p", "no:twisted")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *without, "-q", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


MARKED = f'{NAME} = pytest.mark.xfail(strict=True, reason="known")(ContractSuite.{NAME})'


def test_one_that_is_kept_after_all_fails_the_run(tmp_path: Any) -> None:
    status, output = run_pytest(tmp_path, MARKED, "-k", "evt_05")
    assert status == pytest.ExitCode.TESTS_FAILED, output
    assert "[XPASS(strict)] known" in output
    assert "7 failed" in output


def test_one_that_is_taken_away_fails_the_run(tmp_path: Any) -> None:
    status, output = run_pytest(tmp_path, f"{NAME} = None", "-k", "evt_01")
    assert status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "takes rule EVT-05 away" in output


def test_the_one_subclass_runs_every_kind(tmp_path: Any) -> None:
    status, output = run_pytest(tmp_path, "", "-k", "evt_01 or vrb_01")
    assert status == 0, output
    assert "14 passed" in output


def test_an_unknown_backend_is_told_in_a_line(tmp_path: Any) -> None:
    status, output = run_pytest(tmp_path, 'backend = "nosuch"', "-k", "evt_01")
    assert status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "no backend 'nosuch' is installed" in output
    assert "Traceback" not in output


def test_a_debugger_is_let_in(tmp_path: Any) -> None:
    # A breakpoint works in pytest's own process only.
    member = "\n    ".join(
        [
            "@pytest.fixture(autouse=True)",
            "def here(self, monkeypatch):",
            "    import os",
            "    from halfclose.testing.judging.trial import Trial",
            "    hold, pid = Trial.hold, os.getpid()",
            "    def watched(trial):",
            '        assert os.getpid() == pid, "another process"',
            "        hold(trial)",
            '    monkeypatch.setattr(Trial, "hold", watched)',
        ]
    )
    status, output = run_pytest(tmp_path, member, "-k", "evt_01", "--pdb")
    assert status == 0, output
    status, output = run_pytest(tmp_path, member, "-k", "evt_01")
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "another process" in output


@pytest.mark.parametrize(
    "member",
    [
        'pytestmark = pytest.mark.skip(reason="not now")',
        'pytestmark = pytest.mark.skipif(True, reason="not here")',
        'pytestmark = pytest.mark.xfail(reason="not strict")',
    ],
)
def test_a_mark_on_the_class_takes_no_rule_away(tmp_path: Any, member: str) -> None:
    status, output = run_pytest(tmp_path, member, "-k", "evt_01")
    assert status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "takes rules of the contract away" in output


@pytest.mark.parametrize("scheme", ["Memory", "TCP", ""])
def test_a_kind_on_which_no_rule_can_be_seen_is_refused(tmp_path: Any, scheme: str) -> None:
    channel_type = f'type("Mine", (PollerTCP,), {{"name": "mine", "scheme": {scheme!r}}})()'
    member = f"from halfclose.testing import PollerTCP\n    channel_types = ({channel_type},)"
    status, output = run_pytest(tmp_path, member, "-k", "evt_01")
    assert status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "a scheme one of tcp, unix, stdio, memory" in output


def test_without_assertions_nothing_is_proved(tmp_path: Any) -> None:
    import subprocess
    import sys

    (tmp_path / "test_mine.py").write_text(SUITE.format(member=""))
    for command in (
        ["pytest", "-p", "no:cacheprovider", "-q", "-k", "evt_01"],
        ["halfclose.cli", "contract", "anyio", "--only", "EVT-01"],
    ):
        done = subprocess.run(
            [sys.executable, "-O", "-m", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode not in (0, pytest.ExitCode.NO_TESTS_COLLECTED)
        said = done.stdout + done.stderr
        assert "the suite is made of assertions" in said, said
