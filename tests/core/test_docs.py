"""What the documents promise about the code is checked against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from halfclose.testing import ContractSuite
from rule_map.contract import statements

ROOT = Path(__file__).parents[2]


def suite_rules() -> dict[str, str]:
    """The suite's rules, by id, each with its test's docstring as one line."""
    rules = ContractSuite.rules()
    return {identifier: " ".join(rule.text.split()) for identifier, rule in rules.items()}


def test_every_rule_has_its_test_and_no_other() -> None:
    assert sorted(suite_rules()) == sorted(statements())


@pytest.mark.parametrize("identifier", sorted(statements()))
def test_docstring_quotes_the_rule_and_says_where_to_look(identifier: str) -> None:
    rule, _, where = suite_rules()[identifier].partition(" Where to look: ")
    assert rule == statements()[identifier]
    assert where


def test_rules_are_in_words() -> None:
    """The contract spells out what it speaks of; these were its abbreviations once."""
    for identifier, rule in statements().items():
        assert not re.search(r"\b(lwc|rcl|wcl|FIN|RST|EOF|HUP)\b", rule), identifier
