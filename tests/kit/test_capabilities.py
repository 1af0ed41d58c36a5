"""A declaration that is not true fails its own rule, whichever way it lies."""

from __future__ import annotations

import dataclasses

import halfclose
import pytest
from halfclose.testing.judging.runner import check, plan

pytestmark = pytest.mark.usefixtures("broken")

CAUGHT_BY = {
    "can_half_close-off": "VRB-10",
    "can_half_close-on": "EVT-04",
    "can_reset-off": "ERR-06",
    "can_reset-on": "ERR-06",
    "keeps_input-off": "FLU-09",
    "keeps_input-on": "FLU-09",
    "bounds_input-off": "FLU-10",
    "bounds_input-on": "FLU-10",
    "tells_cause-off": "ERR-01",
    "tells_cause-on": "ERR-01",
    "drains-off": "END-02",
    "drains-on": "END-01",
    "descriptors-off": "ERR-09",
}


@pytest.mark.parametrize(("lie", "rule"), CAUGHT_BY.items())
def test_a_lie_is_caught(lie: str, rule: str) -> None:
    verdicts = list(check(plan(f"lying+{lie}", [rule]), jobs=1))
    assert verdicts
    caught = [verdict for verdict in verdicts if not verdict.passed]
    assert caught, f"{rule} did not see it"
    for verdict in caught:
        assert verdict.what, str(verdict)
        if lie.endswith("-off"):
            capability = lie.partition("-")[0]
            said = f"{capability} is declared off"
            assert said in verdict.what, verdict.what


@pytest.mark.parametrize("of", [halfclose.Capabilities, halfclose.BackendCapabilities])
def test_declarations_are_frozen_documented_and_on(of: type) -> None:
    declared = of()
    fields = dataclasses.fields(declared)
    assert fields
    for field in fields:
        assert getattr(declared, field.name) is True
        assert f":param {field.name}:" in (of.__doc__ or "")
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(declared, field.name, False)
    assert str(declared) == "all"
    first = fields[0].name
    assert str(dataclasses.replace(declared, **{first: False})) == f"all but {first}"


def test_both_ways_are_lied_about() -> None:
    for field in dataclasses.fields(halfclose.Capabilities):
        assert {f"{field.name}-off", f"{field.name}-on"} <= set(CAUGHT_BY)
