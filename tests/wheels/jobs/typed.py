"""A user's project is clean by mypy and pyright, and what the wheels export is typed.

basedpyright is pyright, in a wheel that brings node along.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from wheels.building import Wheels
from wheels.environments import Environment, run
from wheels.names import ANYIO, CORE, TWISTED
from wheels.steps import say

__all__ = ["types"]

USER = Path(__file__).parents[1] / "user"

PYRIGHT = ("-m", "basedpyright")


def types(wheels: Wheels) -> None:
    """``mypy --strict`` and pyright, strict, find nothing in `USER`, which runs."""
    made = wheels.environment("types", CORE, TWISTED, ANYIO)
    project = Path(shutil.copytree(USER, wheels.folder / "user"))
    say(sys.executable, "-m", "mypy", "--python-executable", made.python, ".", cwd=project)
    say(sys.executable, *PYRIGHT, "--pythonpath", made.python, ".", cwd=project)
    for program in ("program", "inside"):
        assert "b'HELLO'" in say(made.python, f"{program}.py", cwd=project)
    assert "'Upper': 1" in say(
        made.python, "-c", "import plugin; print(plugin.counted())", cwd=project
    )
    for package in ("halfclose", "halfclose_twisted", "halfclose_anyio"):
        _check_exports(package, made)


def _check_exports(package: str, made: Environment) -> None:
    """Every type that *package* exports is one that every type checker sees alike."""
    path = f"PATH={made.folder}/bin:/usr/bin:/bin"
    options = "--verifytypes", package, "--ignoreexternal", "--outputjson"
    command = "env", f"VIRTUAL_ENV={made.folder}", path, sys.executable, *PYRIGHT, *options
    found = json.loads(run(*command, cwd=made.folder).stdout)["typeCompleteness"]
    unclear = [symbol for symbol in found["symbols"] if not symbol["isTypeKnown"]]
    said = [
        f"{symbol['name']}: {told['message'].splitlines()[0]}"
        for symbol in unclear
        for told in symbol["diagnostics"]
    ]
    assert found["symbols"], found
    assert not said, "\n".join([f"{package}: {found['completenessScore']:.1%} typed", *said])
