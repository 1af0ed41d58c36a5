"""What the documents promise about the code is checked against the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from halfclose.testing import ContractSuite

ROOT = Path(__file__).parents[2]


def contract() -> dict[str, str]:
    """The rules of docs/contract.md, by id, each as one line."""
    text = (ROOT / "docs" / "contract.md").read_text()
    found = re.findall(r"^- ([A-Z]{3,4}-\d\d) (.+?)(?=^- |^#|\Z)", text, re.MULTILINE | re.DOTALL)
    return {identifier: " ".join(rule.split()) for identifier, rule in found}


def suite_rules() -> dict[str, str]:
    """The suite's rules, by id, each with its test's docstring as one line."""
    rules = ContractSuite.rules()
    return {identifier: " ".join(rule.text.split()) for identifier, rule in rules.items()}


def test_every_rule_has_its_test_and_no_other() -> None:
    assert sorted(suite_rules()) == sorted(contract())


@pytest.mark.parametrize("identifier", sorted(contract()))
def test_docstring_quotes_the_rule_and_says_where_to_look(identifier: str) -> None:
    docstring = suite_rules()[identifier]
    assert docstring.startswith(contract()[identifier])
    assert "Where to look:" in docstring


def test_diagram_is_made_from_the_table() -> None:
    spec = importlib.util.spec_from_file_location("lifecycle_diagram", ROOT / "docs/lifecycle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.diagram() in (ROOT / "docs" / "architecture.md").read_text()
