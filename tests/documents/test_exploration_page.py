"""What docs/how-to/exploration.md shows, done as it stands there; and the words of its scripts."""

from __future__ import annotations

import re
import shlex

import pytest
from cli.support import halfclose_
from documents.blocks import ROOT, example
from documents.sessions import Folder, steps
from halfclose import Connection
from halfclose.testing.exploration import parse_script, replay
from halfclose.testing.exploration.script import VERBS

PAGE = "docs/how-to/exploration.md"
TEXT = (ROOT / PAGE).read_text()

FEW = """
from hypothesis import settings

settings.register_profile("few", max_examples=5, derandomize=True, deadline=None)
"""
"""A profile that takes no time, for what is to be seen to run."""


def test_from_a_shell() -> None:
    [(command, [shown])] = steps(PAGE, "shell")
    assert command.endswith(" --seconds 60")
    # A busy machine may perform no script at all in half a second.
    for seconds in ("0.5", "5", "50"):
        program, *arguments = shlex.split(f"{command.removesuffix('60')}{seconds} --seed 1")
        assert program == "halfclose"
        result = halfclose_(*arguments)
        if b"proves nothing" not in result.out:
            break
    assert result.status == 0
    numbers = re.compile(r"\d+(\.\d+)?")
    assert numbers.sub("N", result.out.decode()) == numbers.sub("N", f"{shown}\n")


def test_it_performs_scripts(folder: Folder) -> None:
    folder.save("test_exploration.py", example(PAGE, "suite"))
    folder.save("conftest.py", FEW)
    result = folder.output("pytest -q --hypothesis-profile=few -k 'exploration[tcp]'")
    assert "1 passed" in result


def test_the_long_profile_is_there_and_finds_the_tests(folder: Folder) -> None:
    """They are collected only, since they take hours."""
    folder.save("test_exploration.py", example(PAGE, "suite"))
    folder.save("conftest.py", example(PAGE, "conftest"))
    [(command, shown)] = steps(PAGE, "long")
    result = folder.output(f"{command} -q --collect-only")
    assert "test_exploration.py::TestExploration::test_exploration[tcp]\n" in result
    assert shown == []


def test_what_it_shows_of_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = example(PAGE, "report", "session")
    command = shown.rstrip().rpartition("Again: ")[2]
    program, explore, backend, option, script = shlex.split(command)
    assert (program, explore, option) == ("halfclose", "explore", "--replay")
    monkeypatch.setattr(Connection, "_pump_soon", lambda self: self._pump())
    # Which end hears first that it is connected is left to the system.
    assert sorted(str(replay(backend, script)).splitlines()) == sorted(shown.splitlines())


def test_every_part_of_a_script_is_one() -> None:
    cells = re.findall(r"^\| (`.+?`) \| ", TEXT, re.MULTILINE)
    parts = [part for cell in cells for part in re.findall(r"`(.+?)`", cell)]
    assert parts[0] == "tcp"
    assert len(parts) == 14
    for part in parts[1:]:
        assert part in str(parse_script(f"tcp; {part}; wait")), part


def test_every_verb_is_named() -> None:
    of_verbs = TEXT.partition("The verbs are")[2].partition("At the end of every script")[0]
    words = {text.split()[0] for text in re.findall(r"`([a-z]+(?: \d+)*)`", of_verbs)}
    assert words >= set(VERBS)
