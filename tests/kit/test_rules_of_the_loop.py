"""What a loop promises is looked at first, and once: it does not depend on the type of channel."""

from __future__ import annotations

from typing import Any

import pytest
from halfclose.testing import ContractSuite, NativeTCP
from halfclose.testing.judging.runner import plan

LOOP = [name for name in ContractSuite.rules() if name.startswith("LOOP-")]


def suite(**members: Any) -> Any:
    return type("TestMine", (ContractSuite,), members)


def test_it_comes_first() -> None:
    """What else is broken follows from it, and is told after it."""
    assert LOOP
    assert list(ContractSuite.rules())[: len(LOOP)] == sorted(LOOP)
    planned = [case.rule.identifier for case in plan("memory")]
    assert planned[: len(LOOP)] == sorted(LOOP)


def test_no_rule_beside_it_is_tried_once() -> None:
    assert [name for name, rule in ContractSuite.rules().items() if rule.once] == sorted(LOOP)


@pytest.mark.parametrize(
    ("members", "channel_type"),
    [
        ({"backend": "anyio+asyncio"}, "tcp"),
        ({"backend": "anyio+asyncio", "host": "asyncio.run"}, "tcp"),
        ({"backend": "twisted+epoll"}, "tcp"),
        ({"backend": "memory"}, "memory"),
        (
            {
                "backend": "anyio+asyncio",
                "channel_types": (type("Mine", (NativeTCP,), {"name": "mine"})(),),
            },
            "tcp",
        ),
    ],
)
def test_it_is_tried_on_the_first_kind_of_channel(
    members: dict[str, Any], channel_type: str
) -> None:
    mine = suite(**members)
    for name in LOOP:
        assert [one.name for one in mine.channel_types_of(ContractSuite.rules()[name])] == [
            channel_type
        ]


def test_each_is_planned_once_for_a_backend_and_under_each_host() -> None:
    cases = plan("anyio+asyncio", ["LOOP"], hosts=True)
    assert len(cases) == len({(case.rule.identifier, case.host.name) for case in cases})
    assert {case.host.name for case in cases} == {"halfclose.run", "asyncio.run"}
