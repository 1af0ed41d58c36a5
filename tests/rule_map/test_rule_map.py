"""Each rule is named by the code that keeps it, and docs/contract.md links to the lines."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from rule_map import mentions as looking
from rule_map.contract import PAGE, ROOT, anchor, chapters, statements
from rule_map.mentions import mentions
from rule_map.page import page, unkept


def test_every_rule_is_named_where_it_is_kept() -> None:
    assert unkept() == []


def test_the_links_are_made_from_the_code() -> None:
    assert PAGE.read_text() == page(), "make them anew: cd tests && python -m rule_map"


def sections() -> dict[str, str]:
    """What stands below the heading of each rule, by its id."""
    found = re.split(r"^### (\S+)\n", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def line_at(link: str) -> str:
    """The line that a link of the page leads to."""
    path, _, line = link.partition("#L")
    return (PAGE.parent / path).read_text().splitlines()[int(line) - 1]


@pytest.mark.parametrize("rule", statements())
def test_each_rule_has_its_three_links(rule: str) -> None:
    line = re.search(
        r"^Test: (.+) · Code: (.+) · Scorecard: (.+?)(?: · See: (.+))?$",
        sections()[rule],
        re.MULTILINE,
    )
    assert line is not None
    test, code, scorecard, others = (
        re.findall(r"\[`?([^\]`]+)`?\]\(([^)]+)\)", part) for part in line.groups("")
    )
    ((name, link),) = test
    assert f"def {name}(" in line_at(link)
    assert name.startswith(f"test_{rule.lower().replace('-', '_')}_")
    assert code
    for _, link in code:
        assert rule in line_at(link), link
    assert scorecard == [(rule, f"scorecard.md#{rule.lower()}")]
    assert f"\n### {rule}\n" in (ROOT / "docs" / "scorecard.md").read_text()
    for other, link in others:
        assert other in statements()
        assert other in statements()[rule]
        assert link == f"#{other.lower()}"


def test_the_chapters_lead_to_their_rules() -> None:
    headings = {anchor(line) for line in re.findall(r"^#+ (.+)$", PAGE.read_text(), re.MULTILINE)}
    rows = re.findall(r"^\| \[(\w+)\]\(#(\S+)\) \| (.+) \| (\d+): (.+) \|$", PAGE.read_text(), re.M)
    assert [name for name, *_ in rows] == [chapter.name for chapter in chapters()]
    for (_, link, about, count, rules), chapter in zip(rows, chapters(), strict=True):
        assert link in headings
        assert about == chapter.about
        linked = re.findall(r"\(#(\S+)\)", rules)
        assert int(count) == len(linked)
        assert linked == [rule.lower() for rule in chapter.rules]
    assert sum(len(chapter.rules) for chapter in chapters()) == len(statements())


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
