"""What a service for continuous integration sets does not reach the programs that tests start."""

from __future__ import annotations

import pytest
from environment import environment

SET_BY_SERVICES = {
    "CI": "true",
    "BUILD_NUMBER": "7",
    "COLUMNS": "200",
    "FORCE_COLOR": "1",
    "GITHUB_ACTIONS": "true",
    "HALFCLOSE_BACKEND": "nothing",
    "PYTEST_ADDOPTS": "-vv",
}


def test_a_program_has_what_it_needs_and_nothing_that_changes_its_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = {"HOME": "/home/somebody", "LC_ALL": "C.UTF-8", "PIP_NO_INPUT": "1", "TMPDIR": "/tmp"}
    for name, text in {**SET_BY_SERVICES, **needed}.items():
        monkeypatch.setenv(name, text)
    found = environment({"HALFCLOSE_FORMAT": "json"})
    assert not found.keys() & SET_BY_SERVICES.keys()
    assert needed.items() <= found.items()
    assert found["HALFCLOSE_FORMAT"] == "json"
