"""What the command says of a plugin whose scheme is broken: one line, and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.support import ECHO, halfclose_
from installing import install

PLUGIN = """
from halfclose import Endpoint, Scheme, hookimpl


class Broken(Endpoint):
    def __init__(self, scheme):
        self._scheme = scheme

    scheme = property(lambda self: self._scheme)

    def __str__(self):
        return f"{self._scheme}:"


class Raising(Scheme):
    def __init__(self, name):
        self.name = name
        self.examples = (f"{name}:",)
        self.one_connection = name == "one"

    def parse(self, rest):
        if self.name == "parsing":
            return {}[rest]
        return Broken(self.name)

    async def connect(self, backend, endpoint, timeout):
        raise RuntimeError("out of order")

    async def listen(self, backend, endpoint, options, accepted):
        raise RuntimeError("out of order")

    def cannot_connect(self, endpoint):
        if self.name == "asking":
            raise RuntimeError("no answer")

    def cannot_have_mode(self, endpoint):
        raise RuntimeError("no answer")

    def cannot_listen(self, endpoint):
        return self.cannot_connect(endpoint)


@hookimpl
def halfclose_endpoints():
    return [Raising(name) for name in ("parsing", "asking", "working", "one")]
"""


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment in which the plugin is an installed distribution."""
    (tmp_path / "broken.py").write_text(PLUGIN)
    return install(tmp_path, "broken", "broken")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ("connect parsing:x", 2, "endpoint 'parsing:x': plugin 'broken:broken' failed: KeyError: "),
        ("connect asking:", 1, "cannot connect to asking: RuntimeError: no answer"),
        ("connect working:", 1, "cannot connect to working: RuntimeError: out of order"),
        ("listen asking:", 1, "cannot listen on asking: RuntimeError: no answer"),
        ("listen working:", 1, "cannot listen on working: RuntimeError: out of order"),
        (f"run {ECHO} working:", 1, "cannot listen on working: RuntimeError: out of order"),
        (f"run {ECHO} one:", 1, "cannot connect to one: RuntimeError: out of order"),
        (
            f"run {ECHO} working: --unix-mode 600",
            1,
            "--unix-mode is not for working: RuntimeError: no answer",
        ),
    ],
)
def test_one_line(installed: dict[str, str], words: str, status: int, says: str) -> None:
    result = halfclose_(*words.split(), env=installed)
    assert result.status == status
    assert result.problem.startswith(f"halfclose: {says}")
