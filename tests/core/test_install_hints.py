"""What is told to be typed, wherever halfclose came from."""

from __future__ import annotations

import json
import shlex
import sys
import sysconfig
from collections.abc import Callable
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from halfclose import install_hints
from halfclose.install_hints import install_command, is_known, localized

Came = Callable[..., None]


@pytest.fixture
def came(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Came:
    """Say where distributions came from: by name, what PEP 610 has of it."""
    monkeypatch.setattr(install_hints, "_pip", lambda: ["pip", "install"])

    def say(**directly: dict[str, Any] | None) -> None:
        class Found(Distribution):
            def __init__(self, name: str) -> None:
                self._direct = directly[name]

            def read_text(self, filename: str) -> str | None:
                assert filename == "direct_url.json"
                return None if self._direct is None else json.dumps(self._direct)

            def locate_file(self, path: Any) -> Path:
                return tmp_path

        def distribution(name: str) -> Distribution:
            key = name.replace("-", "_")
            if key not in directly:
                raise PackageNotFoundError(name)
            return Found(key)

        monkeypatch.setattr(install_hints, "distribution", distribution)

    return say


def checkout(folder: Path) -> Path:
    for place, name in (("core", "halfclose"), ("backends/one", "halfclose_one")):
        (folder / place).mkdir(parents=True)
        text = f'[build-system]\nrequires = []\n[project]\nversion = "1"\nname = "{name}"\n'
        (folder / place / "pyproject.toml").write_text(text)
    return folder


def test_from_an_index(came: Came) -> None:
    came(halfclose=None)
    assert install_command("halfclose[cli]", "x>=1") == "pip install 'halfclose[cli]' 'x>=1'"
    assert is_known("halfclose-anything")


def test_from_a_checkout(came: Came, tmp_path: Path) -> None:
    here = checkout(tmp_path / "a b")
    came(halfclose={"url": (here / "core").as_uri(), "dir_info": {}})
    assert install_command("halfclose[cli]") == f"pip install '{here}/core[cli]'"
    assert localized("pip install 'halfclose-one[x]'") == (f"pip install '{here}/backends/one[x]'")
    assert localized("pip install other") == "pip install other"
    assert is_known("halfclose-one")
    assert not is_known("halfclose-two")


def test_one_that_is_edited_stays_so(came: Came, tmp_path: Path) -> None:
    here = checkout(tmp_path)
    came(halfclose={"url": (here / "core").as_uri(), "dir_info": {"editable": True}})
    assert install_command("halfclose[cli]") == f"pip install -e '{here}/core[cli]'"


def test_from_a_folder_of_wheels(came: Came, tmp_path: Path) -> None:
    for name in ("halfclose", "halfclose_one"):
        (tmp_path / f"{name}-1-py3-none-any.whl").touch()
    wheel = tmp_path / "halfclose-1-py3-none-any.whl"
    came(halfclose={"url": wheel.as_uri(), "archive_info": {}})
    assert install_command("halfclose[cli]", "halfclose-one") == (
        f"pip install --find-links {tmp_path} 'halfclose[cli]' halfclose-one"
    )
    assert not is_known("halfclose-two")


@pytest.mark.parametrize(
    "direct",
    [
        {"url": "file:///no/such/folder", "dir_info": {}},
        {"url": "https://example.org/halfclose.zip", "archive_info": {}},
        {"url": 7},
        ["url"],
    ],
)
def test_from_where_nothing_is_any_more(came: Came, direct: Any) -> None:
    came(halfclose=direct)
    assert install_command("halfclose[cli]") == "pip install 'halfclose[cli]'"


@pytest.mark.parametrize("command", ["conda install x", "pip install 'x", "", "see the manual"])
def test_another_command_is_left_as_it_is(command: str) -> None:
    assert localized(command) == command


@pytest.mark.parametrize("managed", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_pip_of_this_interpreter(
    managed: bool, own: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the system manages it (PEP 668), but not in an environment of one's own."""
    monkeypatch.setattr(install_hints, "find_spec", lambda name: True)
    monkeypatch.setattr(sys, "base_prefix", "/elsewhere" if own else sys.prefix)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    if managed:
        (tmp_path / "EXTERNALLY-MANAGED").touch()
    words = install_command("x").split()
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    assert ("--break-system-packages" in words) == (managed and not own)


def uv_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "uv").write_text("#!/bin/sh\n")
    (folder / "uv").chmod(0o755)
    return folder / "uv"


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment as uv makes them, and no uv in the PATH."""
    monkeypatch.setattr(install_hints, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("UV", raising=False)


@pytest.mark.usefixtures("no_pip")
def test_without_pip_and_with_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By a name that a shell finds it by, be it in the PATH, or where the README puts it."""
    here = checkout(tmp_path / "a b")
    came = {"url": (here / "core").as_uri(), "dir_info": {}}
    monkeypatch.setattr(install_hints, "_direct_url", lambda found: came)

    def told() -> list[str]:
        words = shlex.split(install_command("x"))
        assert words[1:] == ["pip", "install", "--python", sys.executable, "x"]
        return words[:1]

    ours = uv_in(here / ".uv" / "bin")
    assert told() == [str(ours)]
    monkeypatch.setenv("UV", "/no/such/uv")
    assert told() == [str(ours)]
    running = uv_in(tmp_path / "elsewhere")
    monkeypatch.setenv("UV", str(running))
    assert told() == [str(running)]
    monkeypatch.setenv("PATH", str(running.parent))
    assert told() == ["uv"]


def test_without_pip_and_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python brings pip along, and does not always unpack it."""
    monkeypatch.setattr(install_hints, "_uv", lambda: None)
    monkeypatch.setattr(install_hints, "find_spec", lambda name: name == "ensurepip" or None)
    monkeypatch.setattr(sys, "base_prefix", "/elsewhere")
    python = sys.executable
    assert install_command("x") == f"{python} -m ensurepip && {python} -m pip install x"
