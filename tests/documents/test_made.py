"""The parts of pages that are made from the code are what the code makes now."""

from __future__ import annotations

import re
import subprocess
import sys

import halfclose
import pytest
from documents.blocks import ROOT
from documents.errors import errors, every_error
from documents.helps import help_of
from documents.made import MADE, anew
from halfclose.cli.report import FAILED, USAGE
from halfclose.discovery import ENVIRONMENT

REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("page", MADE)
def test_the_page_is_made_from_the_code(page: str) -> None:
    assert (ROOT / page).read_text() == anew(page), "write it anew: cd tests && python -m documents"


def test_every_error_has_its_row() -> None:
    """And its entry below; those that no module exports would be found too."""
    told = re.findall(r"^\| `(?:halfclose\.memory\.)?(\w+)`", errors(), re.MULTILINE)
    assert told == [cls.__name__ for cls in every_error()]
    of_the_sources = {
        name
        for path in (ROOT / "core/src").rglob("*.py")
        for name, bases in re.findall(r"^class (\w+)\((.*)\):$", path.read_text(), re.MULTILINE)
        if set(bases.split(", ")) & set(told)
    }
    assert of_the_sources <= set(told)
    entries = re.findall(
        r"autoexception:: halfclose\.(\w+)$", (REFERENCE / "errors.md").read_text(), re.MULTILINE
    )
    assert entries == [name for name in told if hasattr(halfclose, name)]


def test_the_help_is_what_the_command_prints() -> None:
    """In a process of its own too, with a terminal of 80 columns."""
    result = subprocess.run(
        [sys.executable, "-m", "halfclose", "run", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"COLUMNS": "80"},
    )
    assert result.stdout == help_of("run")


def test_the_exit_statuses() -> None:
    page = (REFERENCE / "command.md").read_text()
    assert re.findall(r"^\| ([0-9]+) \|", page, re.MULTILINE) == ["0", str(FAILED), str(USAGE)]


def test_the_environment_variable() -> None:
    assert f"`{ENVIRONMENT}`" in (REFERENCE / "options.md").read_text()
