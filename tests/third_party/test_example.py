"""A third party's distribution: with core's wheel alone beside it, it keeps the whole contract."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from documents.blocks import example as block
from rule_map.contract import statements
from wheels.environments import Environment, build, run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

CHANNEL_TYPES = {"tcp", "unix", "stdio", "native-tcp", "native-unix"}


def environment(folder: Path) -> Environment:
    """Nothing but the wheel of core, that of the example, what these need, and a quick pytest."""
    core = build(ROOT / "core", folder / "core")
    # Built from a copy, so that it is no part of this workspace.
    source = folder / "source"
    for name in ("src", "tests"):
        shutil.copytree(HERE / name, source / name)
    shutil.copy(HERE / "pyproject.toml", source)
    example = build(source, folder / "example")
    made = Environment(folder / "environment")
    made.install(f"halfclose[cli,testing] @ {core.as_uri()}", example, "pytest-xdist")
    return made


def test_the_example_keeps_the_contract(tmp_path: Path) -> None:
    clean = environment(tmp_path)
    # Outside of every source tree: what is imported is what was installed.
    away = tmp_path / "away"
    shutil.copytree(HERE / "tests", away)
    there = run(clean.python, "-c", LOOK, cwd=away)
    assert there.returncode == 0, there.stderr
    files, foreign = json.loads(there.stdout)
    assert all(Path(file).is_relative_to(clean.folder) for file in files), files
    assert foreign == []

    listed = run(clean.command("halfclose"), "backends", "--json", cwd=away)
    assert listed.returncode == 0, listed.stderr
    origins = {found["name"]: found["distribution"] for found in json.loads(listed.stdout)}
    assert origins == {"memory": "halfclose", "example": "example-loop"}

    suite = run(clean.python, "-W", "error", "-m", "pytest", "-q", "-n2", cwd=away)
    assert suite.returncode == 0, suite.stdout + suite.stderr
    assert " passed" in suite.stdout
    assert "skipped" not in suite.stdout

    # What the document shows, for a program to read.
    shown = block("docs/how-to/writing-a-backend.md", "contract", "session").split()
    assert shown[:2] == ["$", "halfclose"]
    proof = run(clean.command("halfclose"), *shown[2:], "--json", cwd=away)
    assert proof.returncode == 0, proof.stdout + proof.stderr
    told = json.loads(proof.stdout)
    assert told["kept"]
    assert told["complete"]
    assert {verdict["channel_type"] for verdict in told["verdicts"]} == CHANNEL_TYPES
    assert (
        set(told["rules"]) == {verdict["rule"] for verdict in told["verdicts"]} == set(statements())
    )


LOOK = """
import halfclose, importlib.util, json, example_loop
names = ("twisted", "anyio", "trio", "uvloop")
foreign = [name for name in names if importlib.util.find_spec(name)]
print(json.dumps([[halfclose.__file__, example_loop.__file__], foreign]))
"""
