"""Each rule is named by the code that keeps it, and docs/rules.md says where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from rule_map import mentions as looking
from rule_map.mentions import mentions
from rule_map.page import PAGE, page, unkept


def test_every_rule_is_named_where_it_is_kept() -> None:
    assert unkept() == []


def test_the_page_is_made_from_the_code() -> None:
    assert PAGE.read_text() == page(), "write it anew: cd tests && python -m rule_map"


def test_a_mention_belongs_to_the_innermost_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "one.py"
    source.write_text(
        '"""About EVT-01."""\n'
        "class A:\n"
        "    def f(self):\n"
        '        """As PIP-04 and\n'
        '        LOOP-02 say."""\n'
        "        def g(): pass  # END-03, END-03\n"
        "        EVT_05 = 1\n"
    )
    monkeypatch.setattr(looking, "ROOT", tmp_path)
    assert [(one.path, one.owner, one.line, one.rule) for one in mentions(source)] == [
        ("one.py", "", 1, "EVT-01"),
        ("one.py", "A.f", 4, "PIP-04"),
        ("one.py", "A.f", 5, "LOOP-02"),
        ("one.py", "A.f.g", 6, "END-03"),
    ]


def run(*identifiers: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rule_map", *identifiers],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_prints_the_lines() -> None:
    result = run("EVT-12")
    assert result.returncode == 0, result.stderr
    first = result.stdout.splitlines()[0]
    path, line, _ = first.split(":", 2)
    assert "EVT-12" in (Path(__file__).parents[2] / path).read_text().splitlines()[int(line) - 1]


def test_an_unknown_rule_is_told() -> None:
    result = run("EVT-99")
    assert result.returncode == 1
    assert "no line of the library names 'EVT-99'" in result.stderr
