"""``halfclose explore``."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
from cli.support import halfclose_, start, wait_until
from cli.terminal import Terminal
from cli.test_contract import broken_ones, children
from halfclose.cli import main
from halfclose.installing import install_command

SCRIPT = "tcp; a on read: write 5, lose; a: write 100, lwc; wait; b: write 7, lose"


def test_nothing_found() -> None:
    result = halfclose_(
        "explore", "memory", "anyio+trio", "memory", "--seconds", "3", "--seed", "7"
    )
    assert (result.status, result.err) == (0, "")
    lines = result.out.decode().splitlines()
    told = r": [1-9]\d* scripts in \d+\.\d s, seed 7: none broke a rule\."
    for line, name in zip(lines, ("memory", "anyio+trio"), strict=True):
        assert re.fullmatch(re.escape(name) + told, line)


def test_no_verdict_about_nothing() -> None:
    result = halfclose_("explore", "memory", "--seconds", "1e-9")
    assert result.status == 1
    assert "memory: 0 scripts in " in result.out.decode()
    assert "which proves nothing: give it more with --seconds" in result.out.decode()


def test_found_and_replayed() -> None:
    asked = "explore", "leaving+descriptor", "--seconds", "20"
    # To shorten it can take a while, in which the bar says that it goes on.
    with (
        Terminal() as terminal,
        start(*asked, env=broken_ones(), stderr=terminal.program) as command,
    ):
        terminal.rest()
        result = command.finish()
    assert result.status == 1
    lines = result.out.decode().splitlines()
    found = re.fullmatch(r"([A-Z]{3,4}-\d\d): .+ \(leaving\+descriptor, tcp\)", lines[0])
    assert found is not None
    assert re.fullmatch(
        r"leaving\+descriptor: \d+ scripts in \d+\.\d s, seed \d+: "
        r"this is the shortest that breaks a rule\.",
        lines[-1],
    )
    assert lines[-3].startswith("Again: ")
    program, *replay = shlex.split(lines[-3].removeprefix("Again: "))
    assert program == "halfclose"
    again = halfclose_(*replay, env=broken_ones())
    assert (again.status, again.err) == (1, "")
    assert again.out.decode().startswith(f"{found[1]}: ")
    assert lines[-3] in again.out.decode().splitlines()


def test_replayed_where_it_passes() -> None:
    result = halfclose_("explore", "anyio+trio", "twisted+epoll", "--replay", SCRIPT)
    assert result == (
        0,
        b"anyio+trio, tcp: the contract was kept\ntwisted+epoll, tcp: the contract was kept\n",
        "",
    )


def test_one_does_not_load() -> None:
    asked = (
        "explore",
        "loading+raises",
        "anyio+trio",
        "loading+no-channel types",
        "--replay",
        SCRIPT,
    )
    result = halfclose_(*asked, env=broken_ones())
    assert (result.status, result.out) == (1, b"anyio+trio, tcp: the contract was kept\n")
    raises, no_channel_types = result.err.splitlines()
    assert raises.startswith("halfclose: backend 'loading+raises' does not load: ")
    assert no_channel_types.startswith("halfclose: backend 'loading+no-channel types' ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which backend? Name one or more; there are: anyio, "),
        (["anyio+trio", "nope"], "no backend 'nope' is installed; there are: "),
        (["anyio+trio", "--seconds", "0"], "'0' is no number of seconds, more than 0"),
        (["anyio+trio", "--seconds", "soon"], "'soon' is no number of seconds"),
        (["anyio+trio", "--seed", "-1"], "'-1' is no whole number from 0 to "),
        (["anyio+trio", "--replay", ""], "a script begins with a type of channel"),
        (["anyio+trio", "--replay", "tcp; a: fly"], "there is no verb 'fly'"),
        (["anyio+trio", "--replay", "memory"], "there is no type of channel 'memory'"),
    ],
)
def test_bad_arguments(arguments: list[str], said: str) -> None:
    result = halfclose_("explore", *arguments)
    assert said in result.problem
    assert (result.status, result.out) == (2, b"")


def test_without_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    assert main(["explore", "anyio+trio"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"halfclose: the suite needs hypothesis: {install_command('halfclose[testing]')}\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_a_terminal(number: signal.Signals) -> None:
    asked = "explore", "memory", "--seconds", "86400"
    with Terminal() as terminal, start(*asked, stderr=terminal.program) as command:
        terminal.wait_for(r"/86400 s .*memory, [1-9]\d* scripts")
        wait_until(lambda: bool(children(command)))
        left = children(command)
        command.send(number)
        said = terminal.rest()
        result = command.finish()
    assert "Traceback" not in said
    assert (result.status, result.out) == (-number, b"memory: interrupted\n"), said
    assert not [pid for pid in left if Path(f"/proc/{pid}").exists()]
