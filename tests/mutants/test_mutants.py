"""Every mistake is caught by the rule that it breaks; without it, the same case passes."""

from __future__ import annotations

import pytest
from halfclose.testing import ContractSuite
from mutants.chapters import MUTANTS
from mutants.judging import TIME_LIMIT, case_of, judge
from mutants.mutant import Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    finding = judge(mutant)
    if not finding.catches(mutant):
        pytest.fail(finding.told(mutant), pytrace=False)


_ONE_OF_EACH = {(one.rule, one.backend, one.channel_type): one for one in MUTANTS}


@pytest.mark.parametrize("mutant", _ONE_OF_EACH.values(), ids=map(" ".join, _ONE_OF_EACH))
def test_without_a_mutant_all_is_well(mutant: Mutant) -> None:
    verdict = case_of(mutant).judge(TIME_LIMIT)
    assert verdict.passed, str(verdict)


def test_every_rule_has_a_mutant() -> None:
    assert {mutant.rule for mutant in MUTANTS} == set(ContractSuite.rules())


def test_every_mutant_is_told_from_the_others() -> None:
    names = [str(mutant) for mutant in MUTANTS]
    assert sorted(names) == sorted(set(names))
    assert all(mutant.description for mutant in MUTANTS)
