"""Steps that the jobs take."""

from __future__ import annotations

import tempfile
from pathlib import Path

from wheels.environments import Environment, run

__all__ = ["check_absent", "check_contract", "check_imported", "say", "told"]


def say(*command: str | Path, cwd: Path | None = None) -> str:
    """What *command* prints, run in *cwd*, or else in a folder far from every source."""
    with tempfile.TemporaryDirectory() as away:
        done = run(*command, cwd=cwd or Path(away))
    if done.returncode:
        shown = " ".join(str(part) for part in command)
        raise AssertionError(f"{shown}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def told(problem: str) -> str:
    """The first command that one line of the command's tells to type."""
    return problem.strip().rpartition(": ")[2].partition(" or ")[0]


def check_imported(environment: Environment, *modules: str) -> None:
    """Each of *modules* is imported from where it was installed."""
    code = "import importlib, sys; print(importlib.import_module(sys.argv[1]).__file__)"
    for module in modules:
        file = say(environment.python, "-c", code, module).strip()
        assert Path(file).is_relative_to(environment.folder), f"{file} is not what was installed"
        assert "site-packages" in file, file


def check_absent(environment: Environment, *modules: str) -> None:
    """None of *modules* is there."""
    code = "import importlib.util as u, sys; print(*filter(u.find_spec, sys.argv[1:]))"
    found = say(environment.python, "-c", code, *modules).strip()
    assert not found, f"there is {found}"


def check_contract(environment: Environment, *backends: str, only: tuple[str, ...] = ()) -> None:
    """Each of *backends* keeps the rules *only*, or all of them."""
    chosen = [part for rule in only for part in ("--only", rule)]
    say(environment.command("halfclose"), "contract", *backends, *chosen)
