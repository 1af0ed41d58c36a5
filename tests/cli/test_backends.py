"""``halfclose backends``."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import halfclose.plugins
import installing
import pytest
from cli.support import ECHO, Result, halfclose_, start
from cli.terminal import Terminal
from halfclose.cli import main
from halfclose.install_hints import install_command
from installing import finding


def _plugin(
    folder: Path,
    name: str,
    source: str,
    *,
    distribution: str = "third-party",
    group: str = "halfclose",
) -> None:
    """An installed distribution that offers a plugin of that *name* by a module of *source*."""
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    installing.distribution(folder, distribution, {name: module}, version="1.2", group=group)


def _rows(result: Result) -> dict[str, dict[str, Any]]:
    assert result.status == 0
    assert result.err == ""
    return {row["name"]: row for row in json.loads(result.out)}


def test_json() -> None:
    rows = _rows(halfclose_("backends", "--json"))
    assert set(rows) == set(halfclose.available_backends())
    assert rows["anyio+trio"] == {
        "name": "anyio+trio",
        "distribution": "halfclose-anyio",
        "version": halfclose.available_backends()["anyio+trio"].version,
        "entry_point": "halfclose_anyio.plugin",
        "loads": True,
        "error": None,
    }
    assert all(row["loads"] for row in rows.values())


def test_table() -> None:
    result = halfclose_("backends")
    lines = result.out.decode().splitlines()
    assert (result.status, result.err) == (0, "")
    assert lines[0].split() == ["Backend", "Version", "From", "Entry", "point", "Loads"]
    assert lines[1].split()[0] == "anyio"
    assert len(lines) == 1 + len(halfclose.available_backends())


@pytest.mark.parametrize("columns", [24, 40, 60, 80])
def test_no_name_is_broken_on_a_narrow_screen(columns: int) -> None:
    with (
        Terminal(columns) as terminal,
        start("backends", stdout=terminal.program, env={"TERM": "xterm", "COLUMNS": ""}) as command,
    ):
        lines = terminal.rest().splitlines()
        assert command.finish().status == 0
    assert max(map(len, lines)) <= max(columns, 26)
    for info in halfclose.available_backends().values():
        (line,) = (number for number, each in enumerate(lines) if each.split()[0] == info.name)
        said = " ".join(lines[line : line + 1 if columns == 80 else line + 3])
        assert {info.distribution, info.version, info.entry_point} <= set(said.split())
        assert ("yes" if columns == 80 else f"{info.name}  loads ") in said


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            "class Bad(Exception):\n    def __str__(self):\n        raise TypeError\nraise Bad",
            "failed: Bad: its message cannot be made (TypeError)",
        ),
        ("import no_such_framework", "No module named 'no_such_framework'"),
        ("raise ValueError('two\\nlines')", "two lines"),
        ("", "its plugin offers none"),
        (
            "from halfclose import BackendSpec, hookimpl\n"
            "@hookimpl\n"
            "def halfclose_backends():\n"
            "    return [BackendSpec('third+party', 'no_such_module:B', install='pip install it')]",
            "No module named 'no_such_module'; to install what is missing: "
            + install_command("it"),
        ),
    ],
)
def test_broken_plugin(tmp_path: Path, source: str, why: str) -> None:
    _plugin(tmp_path, "third+party", source)
    env = finding(tmp_path)
    rows = _rows(halfclose_("backends", "--json", env=env))
    broken = rows.pop("third+party")
    assert (broken["loads"], broken["version"]) == (False, "1.2")
    assert (broken["distribution"], broken["entry_point"]) == ("third-party", "third_party")
    assert why in broken["error"]
    assert set(rows) == set(halfclose.available_backends())
    assert all(row["loads"] for row in rows.values())
    # The reason stays on one line, and the others go on working.
    table = halfclose_("backends", env=env)
    assert table.status == 0
    assert broken["error"] in table.out.decode().splitlines()
    used = halfclose_("run", ECHO, "stdio:", "--backend", "anyio+asyncio", env=env, data=b"hi")
    assert (used.status, used.out) == (0, b"hi")
    asked = halfclose_("run", ECHO, "stdio:", "--backend", "third+party", env=env)
    assert asked.status == 2
    assert asked.problem == f"halfclose: {broken['error']}"


def test_broken_plugin_without_a_backend(tmp_path: Path) -> None:
    """A program goes on without its hooks, so somebody has to say that they are missing."""
    source = "raise ValueError('two\\nlines')"
    _plugin(tmp_path, "metrics", source, distribution="metrics", group="halfclose.plugins")
    env = finding(tmp_path)
    why = "plugin 'metrics' does not load: entry point 'metrics' of distribution metrics failed: "
    table = halfclose_("backends", env=env)
    assert (table.status, table.err) == (0, "")
    assert f"{why}ValueError: two lines" in table.out.decode().splitlines()
    assert "metrics" not in _rows(halfclose_("backends", "--json", env=env))
    used = halfclose_("run", ECHO, "stdio:", env=env, data=b"hi")
    assert (used.status, used.out) == (0, b"hi")
    assert used.err.count(why) == 1


def test_a_name_takes_over_no_terminal(tmp_path: Path) -> None:
    _plugin(tmp_path, "\x1b[31mred", "raise ValueError")
    env = finding(tmp_path)
    table = halfclose_("backends", env=env).out
    assert b"\n\\x1b[31mred  " in table
    assert b"\x1b" not in table
    assert "\x1b[31mred" in _rows(halfclose_("backends", "--json", env=env))


def test_two_plugins_of_one_name(tmp_path: Path) -> None:
    _plugin(tmp_path, "same", "", distribution="first")
    _plugin(tmp_path, "same", "", distribution="second")
    row = _rows(halfclose_("backends", "--json", env=finding(tmp_path)))["same"]
    assert not row["loads"]
    assert "first" in row["error"]
    assert "second" in row["error"]


def test_interrupted_while_loading(tmp_path: Path) -> None:
    _plugin(tmp_path, "slow", "raise KeyboardInterrupt")
    result = halfclose_("backends", env=finding(tmp_path))
    assert result.status == -signal.SIGINT
    assert "Traceback" not in result.err


def test_none_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(halfclose.plugins, "installed_plugins", lambda *group: ())
    assert main(["backends"]) == 0
    assert install_command("halfclose-anyio") in capsys.readouterr().out
    assert main(["backends", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["demo"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert install_command("halfclose-anyio") in said.err
