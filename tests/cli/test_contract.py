"""``halfclose contract``."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cli.support import LIMIT, VARIANTS, Command, Result, halfclose_, start, wait_until
from cli.terminal import COLUMNS, Terminal
from halfclose.cli import main
from halfclose.cli.failures import excerpt, print_failures
from halfclose.cli.proof import Proof, Tried
from halfclose.cli.proof_table import print_table
from halfclose.install_hints import install_command
from halfclose.testing import PollerTCP, PollerUnix
from halfclose.testing.channels.channel_types import load_channel_types
from halfclose.testing.judging.case import Case
from halfclose.testing.judging.verdict import Verdict
from halfclose.testing.tools.harness import Rule
from installing import finding
from rich.console import Console

THIRD_PARTY = Path(__file__).parents[1] / "third_party"


@pytest.fixture(autouse=True)
def _not_under_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    # By it the suite would take the command's process for pytest's own.
    monkeypatch.delenv("PYTEST_VERSION", raising=False)


def broken_ones() -> dict[str, str]:
    """The environment in which the backends of tests/third_party/broken are installed."""
    return finding(THIRD_PARTY / "src", THIRD_PARTY / "broken")


def _contract(*arguments: str, **env: str) -> Result:
    # Of a backend that is broken, a rule waits for what never comes.
    return halfclose_("contract", *arguments, limit=4 * LIMIT, env={**broken_ones(), **env})


def _told(result: Result) -> Any:
    return json.loads(result.out)


def test_kept() -> None:
    result = _contract("anyio+trio", "--only", "evt-05, PIP-02", "anyio+trio", "--only", "EVT-02")
    assert (result.status, result.err) == (0, "")
    lines = result.out.decode().splitlines()
    assert lines[:2] == ["       anyio", "Rule   +trio"]
    assert [line[:12] for line in lines[2:6]] == [
        "EVT-02 ✓ 8  ",
        "EVT-05 ✓ 8  ",
        "",
        "PIP-02 ✓ 1  ",
    ]
    assert "Both halves end, in either order or at once" in lines[3]
    assert lines[6:8] == ["", "✓ N: kept on all N types of channel. ✗ M/N: broken on M of N."]
    assert re.fullmatch(r"Kept: 3 rules in 17 cases on 1 backend; \d+\.\d s\.", lines[-1])
    assert len(lines) == 10


def test_every_variant_side_by_side() -> None:
    """In one table, of no more than eighty columns."""
    names = [*VARIANTS, "memory"]
    channel_types = [str(len(load_channel_types(name))) for name in names]
    cases = sum(map(int, channel_types))
    asked = "contract", *names, "--only", "evt-05"
    with (
        Terminal() as screen,
        Terminal() as bar,
        start(*asked, stdout=screen.program, stderr=bar.program) as command,
    ):
        bar.wait_for(f" {cases}/{cases} ")
        text = screen.rest()
        assert command.finish().status == 0
    lines = [line.rstrip("\r") for line in text.split("\n")]
    frameworks, variants, row = lines[:3]
    assert frameworks.split() == [name.partition("+")[0] for name in VARIANTS]
    assert variants.split() == [
        "Rule",
        *("+" + name.partition("+")[2] for name in VARIANTS),
        "memory",
    ]
    assert row.split() == [
        "EVT-05",
        *(word for channel_type in channel_types for word in ("✓", channel_type)),
    ]
    assert max(map(len, lines)) <= COLUMNS


def test_broken() -> None:
    result = _contract("lying+drains-on", "lying+can_half_close-on", "--only", "EVT-02,EVT-04")
    assert (result.status, result.err) == (1, "")
    text = result.out.decode()
    lines = text.splitlines()
    assert lines[2].startswith("EVT-02 ✓ 1")
    assert lines[3].split()[:5] == ["EVT-04", "✓", "1", "✗", "1/1"]
    failure = text.partition(
        "\nEVT-04 loseWriteConnection leads to exactly one writeConnectionLost"
    )[2]
    assert "  Where to look: ``Channel.end_write`` may return True" in failure
    seen = "assert ['connectionMade', 'writeConnectionLost', 'readConnectionLost', "
    assert f"\n  lying+can_half_close-on, native-tcp: {seen}" in failure
    assert "in test_evt_04_" in failure
    assert "      seen: <Recorder connectionMade, " in failure
    assert lines[-1].startswith("Broken: 1 of 2 rules, in 1 of 4 cases, on 1 of 2 backends; ")


def test_a_whole_report() -> None:
    asked = "lying+can_half_close-on", "--only", "EVT-04"
    short, whole = _contract(*asked), _contract(*asked, "--verbose")
    assert short.status == whole.status == 1
    assert b"in hold" not in short.out
    assert b"in hold" in whole.out


def test_json() -> None:
    result = _contract("lying+can_half_close-on", "anyio+trio", "--only", "EVT-04,PIP-02", "--json")
    assert (result.status, result.err) == (1, "")
    told = _told(result)
    assert list(told) == ["kept", "complete", "seconds", "backends", "rules", "verdicts"]
    assert (told["kept"], told["complete"]) == (False, True)
    assert told["seconds"] > 0
    anyio = [channel_type.name for channel_type in load_channel_types("anyio+trio")]
    assert len(anyio) == 8
    assert told["backends"] == [
        {
            "name": "lying+can_half_close-on",
            "loads": True,
            "error": None,
            "channel_types": ["native-tcp"],
            "cases": 1,
            "broken": 1,
        },
        {
            "name": "anyio+trio",
            "loads": True,
            "error": None,
            "channel_types": anyio,
            "cases": 9,
            "broken": 0,
        },
    ]
    assert list(told["rules"]) == ["EVT-04", "PIP-02"]
    statement = told["rules"]["EVT-04"]["statement"]
    assert statement.startswith("loseWriteConnection leads to exactly one writeConnectionLost. It")
    assert told["rules"]["EVT-04"]["where"].startswith("``Channel.end_write`` may return True")
    first, *others = told["verdicts"]
    assert 0 <= first.pop("seconds") <= told["seconds"]
    assert first.pop("what").startswith("assert ['connectionMade', 'writeConnectionLost', ")
    assert "in test_evt_04_" in first.pop("report")
    assert first == {
        "rule": "EVT-04",
        "backend": "lying+can_half_close-on",
        "channel_type": "native-tcp",
        "host": "halfclose.run",
        "passed": False,
    }
    # However many run at once, and whichever ends first.
    assert [(each["rule"], each["channel_type"]) for each in others] == [
        *(("EVT-04", channel_type) for channel_type in anyio),
        ("PIP-02", "stdio"),
    ]
    assert {(each["passed"], each["what"], each["report"]) for each in others} == {(True, "", "")}


def test_under_hosts_too() -> None:
    result = _contract("anyio+trio", "memory", "--only", "EVT-04,PIP-02", "--hosts", "--json")
    assert (result.status, result.err) == (0, "")
    told = _told(result)
    by_channel_type = ["tcp", "native-tcp"]
    found = [
        (each["rule"], each["channel_type"])
        for each in told["verdicts"]
        if each["host"] == "trio.run"
    ]
    assert found == [("EVT-04", channel_type) for channel_type in by_channel_type]
    assert {each["host"] for each in told["verdicts"]} == {"halfclose.run", "trio.run"}
    assert [each["cases"] for each in told["backends"]] == [11, 2]


def test_one_does_not_load() -> None:
    asked = "loading+raises", "anyio+trio", "loading+no-channel-types", "--only", "EVT-01"
    result = _contract(*asked)
    assert result.status == 1
    raises, no_channel_types = result.err.splitlines()
    assert raises.startswith("halfclose: backend 'loading+raises' does not load: ")
    assert no_channel_types.startswith("halfclose: backend 'loading+no-channel-types' ")
    lines = result.out.decode().splitlines()
    assert lines[2].startswith("EVT-01 ✓ 8")
    assert lines[-1].startswith("Kept: 1 rule in 8 cases on 1 backend (2 not loaded); ")
    told = _told(_contract(*asked, "--json"))
    assert (told["kept"], told["complete"]) == (False, True)
    assert told["backends"][0] == {
        "name": "loading+raises",
        "loads": False,
        "error": raises.removeprefix("halfclose: "),
        "channel_types": [],
        "cases": 0,
        "broken": 0,
    }
    assert [each["loads"] for each in told["backends"]] == [False, True, False]


def test_none_loads() -> None:
    result = _contract("loading+raises")
    assert (result.status, result.out) == (1, b"")
    assert "does not load" in result.problem


def test_what_hangs_is_told_where() -> None:
    result = _contract("hanging+in-callback", "--only", "EVT-01,EVT-02", "--time-limit", "2")
    assert (result.status, result.err) == (1, "")
    text = result.out.decode()
    assert "hanging+in-callback, tcp, unix, stdio: not even one connection works" in text
    assert "did not end within 2 s" in text
    assert "line " in text.partition("did not end within 2 s")[2]
    assert "      (reported above, at EVT-01)\n" in text


def test_what_is_left_behind_is_named() -> None:
    result = _contract("leaving+thread", "--only", "EVT-01")
    assert (result.status, result.err) == (1, "")
    assert "left behind: thread the example's" in result.out.decode()


def test_standard_input_that_is_closed() -> None:
    """What a case opens must not get its number."""
    asked = "contract", "anyio+asyncio", "--only", "EVT-01"
    result = halfclose_(*asked, stdin=None, preexec_fn=lambda: os.close(0))
    assert (result.status, result.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "which backend? Name one or more; there are: anyio, anyio+asyncio, "),
        ("anyio+trio nope", "no backend 'nope' is installed; there are: anyio, anyio+asyncio, "),
        ("anyio+tiro", "Did you mean anyio+trio"),
        ("anyio+trio --only EVT-99", "the contract has no rule 'EVT-99'; "),
        (
            "anyio+trio --only evt-05,evt5",
            "'EVT5'; its chapters are END, ERR, EVT, FLU, LOOP, PIP, ",
        ),
        ("anyio+trio --only evt5", "Did you mean EVT or "),
        ("anyio+trio --only ENDS", "Did you mean END"),
        ("loading+raises --only EVT-99", "the contract has no rule 'EVT-99'; "),
        ("anyio+trio --only ,", "there is nothing before or after a comma"),
        ("anyio+trio --only", "--only"),
        ("lying+drains-on --only PIP-02,pip-03", "of lying+drains-on can PIP-02, pip-03 be seen"),
        ("anyio+trio --jobs 0", "is no whole number from 1 to 1000"),
        ("anyio+trio --jobs many", "'many'"),
        ("anyio+trio --time-limit 0", "'0' is no number of seconds, more than 0"),
        ("anyio+trio --time-limit -1", "'-1' is no number of seconds"),
        ("anyio+trio --time-limit nan", "'nan' is no number of seconds"),
        ("anyio+trio --time-limit inf", "'inf' is no number of seconds"),
        ("anyio+trio --time-limit 1e9", "'1e9' is no number of seconds"),
        ("anyio+trio --time-limit soon", "'soon' is no number of seconds"),
    ],
)
@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["table", "json"])
def test_bad_arguments(arguments: str, said: str, as_json: list[str]) -> None:
    result = _contract(*as_json, *arguments.split())
    assert said in result.problem
    assert (result.status, result.out) == (2, b"")


@pytest.mark.parametrize("missing", [["pytest"], ["hypothesis"], ["pytest", "hypothesis"]])
def test_without_its_extra(
    missing: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["contract", "anyio+trio"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"halfclose: the suite needs {' and '.join(missing)}: "
        f"{install_command('halfclose[testing]')}\n"
    )


# -- at a terminal -----------------------------------------------------------------------------


def test_a_bar_tells_how_far_it_is() -> None:
    asked = "contract", "anyio+trio", "--only", "EVT-01"
    with Terminal() as terminal, start(*asked, stderr=terminal.program) as command:
        terminal.wait_for(r"0/8 ")
        terminal.wait_for(r"8/8 .*anyio\+trio EVT-01")
        text = terminal.rest()
        result = command.finish()
    assert result.status == 0
    # The bar is gone at the end, and was never in the output.
    assert terminal.raw.endswith(b"\x1b[2K")
    assert "Rule" not in text
    assert re.match(rb"       anyio\nRule   \+trio\nEVT-01 .* 8 ", result.out)
    assert b"\x1b" not in result.out


@pytest.mark.parametrize("columns", [40, COLUMNS])
def test_the_bar_counts_what_is_broken(columns: int) -> None:
    asked = "contract", "lying+can_half_close-on", "--only", "EVT-04"
    with (
        Terminal(columns) as terminal,
        start(
            *asked, env=broken_ones(), stdout=terminal.program, stderr=terminal.program
        ) as command,
    ):
        terminal.wait_for(r"1/1 .*1 broken")
        text = terminal.rest()
        assert command.finish().status == 1
    assert "EVT-04 ✗ 1/1" in text
    assert "Broken: 1 of 1 rule" in text


# -- signals -----------------------------------------------------------------------------------


def children(command: Command) -> list[int]:
    pid = command.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _interrupted(number: signal.Signals, *arguments: str) -> Result:
    """Stop a run whose first rule was kept on its three channel types and whose second one
    hangs."""
    # One after another, so that nothing comes after the one that hangs.
    options = "--jobs", "1", "--time-limit", "600", *arguments
    asked = "hanging+in-resolve", "--only", "ERR-01,ERR-10", *options
    with (
        Terminal() as terminal,
        start("contract", *asked, env=broken_ones(), stderr=terminal.program) as command,
    ):
        terminal.wait_for(r"3/5 .*ERR-01")
        wait_until(lambda: bool(children(command)))
        left = children(command)
        command.send(number)
        said = terminal.rest()
        result = command.finish()
    assert "Traceback" not in said
    # The cursor, which the bar hides, is back.
    assert terminal.raw.rindex(b"\x1b[?25h") > terminal.raw.rindex(b"\x1b[?25l")
    assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]
    return result


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: signal.Signals) -> None:
    result = _interrupted(number)
    assert result.status == -number
    lines = result.out.decode().splitlines()
    assert lines[2].startswith("ERR-01 ✓ 3")
    assert lines[3].startswith("ERR-10 ? 0/2")
    assert lines[-1].startswith("Interrupted: 3 of 5 cases were judged, 0 failed; ")


def test_interrupted_json() -> None:
    result = _interrupted(signal.SIGINT, "--json")
    assert result.status == -signal.SIGINT
    told = _told(result)
    assert (told["kept"], told["complete"]) == (False, False)
    assert told["backends"][0]["cases"] == 5
    assert [(each["rule"], each["passed"]) for each in told["verdicts"]] == [("ERR-01", True)] * 3


# -- how it looks ------------------------------------------------------------------------------


def test_without_unicode() -> None:
    result = _contract(
        *("lying+can_half_close-on", "--only", "EVT-02,EVT-04"), PYTHONIOENCODING="ascii"
    )
    assert result.status == 1
    assert b"EVT-02 + 1 " in result.out
    assert b"EVT-04 - 1/1 " in result.out
    assert b"+ N: kept on all N types of channel. - M/N: broken on M of N." in result.out


def _rule(identifier: str) -> Rule:
    def test() -> None:
        """A statement of more words than there are columns for them on a screen.

        Where to look: here.
        """

    return Rule(identifier, test, ("tcp", "unix"), {}, ())


def _verdict(
    rule: str, backend: str, channel_type: str, *, passed: bool = True, **seen: str
) -> Verdict:
    return Verdict(rule, backend, channel_type, passed, 0.1, _rule(rule).text, **seen)


def _proof(*names: str) -> Proof:
    """Two rules on two types of channel: the first is kept, the second kept on one only."""
    proof = Proof([])
    for name in names:
        rules = [_rule("EVT-01"), _rule("VRB-01")]
        cases = [
            Case(None, name, channel_type, rule)
            for rule in rules
            for channel_type in (PollerTCP(), PollerUnix())
        ]
        verdicts = [
            _verdict("VRB-01", name, "unix", passed=False, what="was seen"),
            _verdict("EVT-01", name, "unix"),
            _verdict("EVT-01", name, "tcp"),
        ]
        tried = Tried(name, cases, verdicts=verdicts)
        tried.sort()
        proof.backends.append(tried)
    return proof


def _printed(proof: Proof, width: int) -> list[str]:
    out = StringIO()
    print_table(Console(file=out, width=width), proof)
    return out.getvalue().splitlines()


def test_verdicts_are_in_order() -> None:
    proof = _proof("b", "a")
    assert [(each.backend, each.rule, each.channel_type) for each in proof.verdicts] == [
        ("b", "EVT-01", "tcp"),
        ("b", "EVT-01", "unix"),
        ("b", "VRB-01", "unix"),
        ("a", "EVT-01", "tcp"),
        ("a", "EVT-01", "unix"),
        ("a", "VRB-01", "unix"),
    ]
    assert [(each.backend, each.rule) for each in proof.broken] == [
        ("b", "VRB-01"),
        ("a", "VRB-01"),
    ]
    assert not proof.complete
    assert not proof.kept


def test_the_table_is_as_wide_as_the_screen() -> None:
    assert _printed(_proof("one", "two+fast"), 50)[:5] == [
        "             two",
        "Rule   one   +fast",
        "EVT-01 ✓ 2   ✓ 2   A statement of more words ...",
        "",
        "VRB-01 ✗ 1/2 ✗ 1/2 A statement of more words ...",
    ]
    assert _printed(_proof("one", "two+fast"), 30)[2] == "EVT-01 ✓ 2   ✓ 2"
    # As narrow as it can be, and narrower.
    assert _printed(_proof("one", "two+fast"), 18)[1] == "Rule   one   +fast"
    assert _printed(_proof("one", "two+fast"), 17)[:10] == [
        "Rule   one",
        "EVT-01 ✓ 2",
        "",
        "VRB-01 ✗ 1/2",
        "",
        "       two",
        "Rule   +fast",
        "EVT-01 ✓ 2",
        "",
        "VRB-01 ✗ 1/2",
    ]
    assert _printed(_proof("one"), 5)[1] == "EVT-01 ✓ 2"


def _failures(*broken: Verdict, whole: bool = False) -> list[str]:
    out = StringIO()
    print_failures(Console(file=out, width=50), broken, whole=whole)
    return out.getvalue().splitlines()


def test_what_looks_the_same_is_told_once() -> None:
    broken = [
        _verdict("EVT-01", "a", "tcp", passed=False, what="nothing", report="report 1"),
        _verdict("EVT-01", "a", "unix", passed=False, what="nothing", report="report 2"),
        _verdict("EVT-01", "b", "tcp", passed=False, what="nothing", report="report 3"),
        _verdict("EVT-02", "a", "tcp", passed=False, what="nothing", report="report 1"),
    ]
    rule = ["A statement of more words than there are", "  columns for them on a screen."]
    where = "  Where to look: here."
    assert _failures(*broken) == [
        *("", f"EVT-01 {rule[0]}", rule[1], where),
        *("", "  a, tcp, unix: nothing", "      report 1"),
        *("", "  b, tcp: nothing", "      report 3"),
        *("", f"EVT-02 {rule[0]}", rule[1], where),
        *("", "  a, tcp: nothing", "      (reported above, at EVT-01)"),
    ]
    assert _failures(*broken, whole=True) == [
        *("", f"EVT-01 {rule[0]}", rule[1], where),
        *("", "  a, tcp: nothing", "      report 1"),
        *("", "  a, unix: nothing", "      report 2"),
        *("", "  b, tcp: nothing", "      report 3"),
        *("", f"EVT-02 {rule[0]}", rule[1], where),
        *("", "  a, tcp: nothing", "      report 1"),
    ]


def test_excerpt() -> None:
    frames = ['  File "a", line 1, in one', "    one()", '  File "b", line 2, in two', "    two()"]
    traceback = ["Traceback (most recent call last):", *frames, "Error: it"]
    assert excerpt([*traceback, "", *traceback]) == [traceback[0], *traceback[3:]] * 2
    assert excerpt([f"line {number}" for number in range(16)]) == [
        *(f"line {number}" for number in range(15)),
        "... and 1 more lines: --verbose",
    ]
    # Where it hangs: the most recent call comes first here.
    hung = ["Current thread 0x1 (most recent call first):", '  File "a", line 1 in one']
    assert excerpt(hung) == hung
