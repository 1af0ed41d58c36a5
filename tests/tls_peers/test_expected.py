"""The table of what peers do: what is recorded agrees with it, and what it must not give up."""

from __future__ import annotations

from .catalogue import ALL, NONE, cells
from .expected import EXPECTED
from .results import load


def test_the_record_is_what_is_expected() -> None:
    """The pages' tables are made from the record."""
    assert load().seen == EXPECTED


def test_every_conversation_is_in_the_table() -> None:
    there = {(name, *rest) for name, sides in EXPECTED.items() for rest in _keys(sides)}
    assert {(cell.peer.name, cell.side, cell.version) for cell in cells()} == there


def _keys(sides: object) -> list[tuple[str, str]]:
    assert isinstance(sides, dict)
    return [(side, version) for side, versions in sides.items() for version in versions]


def test_those_that_can_half_close_do_it_with_us_in_both_directions_and_versions() -> None:
    for name in ("Go", "GnuTLS", "Java", "Node, allowHalfOpen"):
        for side in ("server", "client"):
            for version, seen in EXPECTED[name][side].items():
                cannot = name == "Java" and version == "1.2"
                assert seen[:2] == (NONE if cannot else ALL, ALL), (name, side, version)
