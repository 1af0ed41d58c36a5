"""What is told to be typed, wherever halfclose came from, and by whatever installs there.

`tests/wheels` types it.
"""

from __future__ import annotations

import json
import shlex
import site
import sys
import sysconfig
from collections.abc import Callable, Sequence
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from halfclose import BackendNotFound, discovery, install_hints, origins
from halfclose.install_hints import install_command, is_installed, is_known, localized

Came = Callable[..., None]

CORE = (
    "pluggy>=1.0",
    "click>=8.0; extra == 'cli'",
    "rich>=12; extra == 'cli'",
    "pytest>=7.4; extra == 'testing'",
)
ANYIO = (
    "anyio>=4.16",
    "halfclose<0.2,>=0.1",
    "uvloop>=0.23; (sys_platform != 'win32') and extra == 'uvloop'",
)


class Found(Distribution):
    """An installed distribution: what it needs, and where it came from."""

    def __init__(self, needs: Sequence[str], direct: object, home: Path) -> None:
        self._needs, self._direct, self._home = needs, direct, home

    def read_text(self, filename: str) -> str | None:
        if filename == "direct_url.json":
            return None if self._direct is None else json.dumps(self._direct)
        if filename == "METADATA":
            return "".join(f"Requires-Dist: {need}\n" for need in self._needs)
        return None

    def locate_file(self, path: Any) -> Path:
        return self._home.joinpath(path)


@pytest.fixture
def came(monkeypatch: pytest.MonkeyPatch) -> Came:
    """Say what is installed: by name, what PEP 610 has of where it came from."""
    monkeypatch.setattr(install_hints, "_installer", lambda: ([], ["pip", "install"]))
    monkeypatch.setattr(install_hints, "_options", lambda *, pip: [])

    def say(needs: dict[str, Sequence[str]] | None = None, **directly: object) -> None:
        def distribution(name: str) -> Distribution:
            key = name.replace("-", "_")
            if key not in directly:
                raise PackageNotFoundError(name)
            return Found((needs or {}).get(key, ()), directly[key], Path())

        monkeypatch.setattr(origins, "distribution", distribution)

    return say


# -- what an installed distribution needs ------------------------------------------------------


def test_what_is_installed_says_itself_what_it_needs(came: Came) -> None:
    """So the command works wherever it came from, be it an index or a folder that is gone."""
    for direct in (None, {"url": "file:///gone/core", "dir_info": {}}):
        came({"halfclose": CORE, "halfclose_anyio": ANYIO}, halfclose=direct, halfclose_anyio=None)
        assert install_command("halfclose[cli]") == "pip install 'click>=8.0' 'rich>=12'"
        assert install_command("halfclose[cli,testing]") == (
            "pip install 'click>=8.0' 'rich>=12' 'pytest>=7.4'"
        )
        assert localized("pip install 'halfclose-anyio[uvloop]'") == "pip install 'uvloop>=0.23'"
        assert localized("pip install halfclose-anyio") == "pip install 'anyio>=4.16'"


@pytest.mark.parametrize(
    "needs", [(), ("x; python_version < '3.12' and extra == 'cli'",), ("x; extra == 'other'",)]
)
def test_what_only_pip_can_tell_is_left_to_pip(came: Came, needs: Sequence[str]) -> None:
    came({"theirs": needs}, halfclose=None, theirs=None)
    assert install_command("theirs[cli]") == "pip install 'theirs[cli]'"


# -- where the others are ----------------------------------------------------------------------


def checkout(folder: Path) -> Path:
    for place, name in (("core", "halfclose"), ("backends/one", "halfclose_one")):
        (folder / place).mkdir(parents=True)
        text = f'[build-system]\nrequires = []\n[project]\nversion = "1"\nname = "{name}"\n'
        (folder / place / "pyproject.toml").write_text(text)
    return folder


def test_from_an_index(came: Came) -> None:
    came(halfclose=None)
    assert install_command("halfclose-anyio", "x>=1") == "pip install halfclose-anyio 'x>=1'"
    assert is_known("halfclose-anything")
    assert origins.place() == ""


def test_from_a_checkout(came: Came, tmp_path: Path) -> None:
    here = checkout(tmp_path / "a b")
    came(halfclose={"url": (here / "core").as_uri(), "dir_info": {}})
    assert install_command("halfclose[cli]") == f"pip install '{here}/core[cli]'"
    assert localized("pip install 'halfclose-one[x]'") == f"pip install '{here}/backends/one[x]'"
    assert localized("pip install other") == "pip install other"
    assert is_known("halfclose-one")
    assert not is_installed("halfclose-one")
    assert not is_known("halfclose-two")


def test_on_the_path_of_a_checkout(came: Came) -> None:
    """Not installed at all."""
    came()
    root = Path(__file__).parents[2]
    assert install_command("halfclose[cli]") == shlex.join(["pip", "install", f"{root}/core[cli]"])
    assert install_command("halfclose-anyio").endswith("/backends/anyio")


def test_beside_one_that_is_edited(came: Came, tmp_path: Path) -> None:
    here = checkout(tmp_path)
    came(halfclose={"url": (here / "core").as_uri(), "dir_info": {"editable": True}})
    assert install_command("halfclose[cli]") == f"pip install -e '{here}/core[cli]'"
    assert install_command("halfclose-one") == f"pip install -e {here}/backends/one"


@pytest.mark.parametrize("ending", ["-py3-none-any.whl", ".tar.gz"])
def test_from_files(came: Came, tmp_path: Path, ending: str) -> None:
    """By their paths: an index may have others of these names. Those of the same version first."""
    for name in ("data", "halfclose-2", "halfclose_one-1", "halfclose_one-2", "halfclose_one-3"):
        (tmp_path / f"{name}{ending}").touch()
    came(halfclose={"url": (tmp_path / f"halfclose-2{ending}").as_uri(), "archive_info": {}})
    assert install_command("halfclose-one") == f"pip install {tmp_path}/halfclose_one-2{ending}"
    assert install_command("halfclose-one[x]") == (
        f"pip install '{tmp_path}/halfclose_one-2{ending}[x]'"
    )
    assert not is_known("halfclose-two")


def test_from_a_file_of_another_name(came: Came, tmp_path: Path) -> None:
    """As somebody may have saved it."""
    (tmp_path / "saved.tar.gz").touch()
    came(halfclose={"url": (tmp_path / "saved.tar.gz").as_uri(), "archive_info": {}})
    assert not is_known("halfclose-one")


@pytest.mark.parametrize("url", ["https://example.org/h.git", "file:///a%20b", "file:///a b"])
def test_from_a_repository(came: Came, url: str) -> None:
    """At the same commit."""
    vcs = {"vcs": "git", "commit_id": "c0ffee", "requested_revision": "main"}
    came(halfclose={"url": url, "vcs_info": vcs, "subdirectory": "core"})
    words = shlex.split(install_command("halfclose[cli]", "halfclose-anyio"))
    url = url.replace(" ", "%20")
    assert words == [
        *("pip", "install"),
        f"halfclose[cli] @ git+{url}@c0ffee#subdirectory=core",
        f"halfclose-anyio @ git+{url}@c0ffee#subdirectory=backends/anyio",
    ]
    assert not is_known("halfclose-two")


def test_from_an_archive_elsewhere(came: Came) -> None:
    url = "https://example.org/h.zip"
    came(halfclose={"url": url, "archive_info": {}, "subdirectory": "core"})
    words = shlex.split(install_command("halfclose-twisted[uvloop]"))
    assert words[2:] == [f"halfclose-twisted[uvloop] @ {url}#subdirectory=backends/twisted"]
    came(halfclose={"url": "https://example.org/halfclose-1-py3-none-any.whl", "archive_info": {}})
    assert not is_known("halfclose-twisted")


def test_from_where_nothing_is_any_more(came: Came) -> None:
    """No command is told that would ask an index for what is in none."""
    came(halfclose={"url": "file:///no/such/folder", "dir_info": {}})
    assert not is_known("halfclose-anyio")
    told = discovery.none_installed()
    assert " install " not in told
    assert told.endswith("halfclose came from, which is /no/such/folder")
    with pytest.raises(BackendNotFound) as caught:
        discovery.find_backend("other")
    assert " install " not in str(caught.value)


@pytest.mark.parametrize("direct", [{"url": 7}, {"url": "http://["}, ["url"], "url", {}])
def test_a_record_that_is_none(came: Came, direct: object) -> None:
    came(halfclose=direct)
    assert install_command("halfclose[cli]") == "pip install 'halfclose[cli]'"


@pytest.mark.parametrize("command", ["conda install x", "pip install 'x", "", "see the manual"])
def test_another_command_is_left_as_it_is(command: str) -> None:
    assert localized(command) == command


# -- the installer -----------------------------------------------------------------------------


@pytest.mark.parametrize("managed", [False, True])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("pip", [False, True])
def test_this_interpreter(
    pip: bool, managed: bool, own: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the system manages it (PEP 668), but not in an environment of one's own."""
    monkeypatch.setattr(install_hints, "find_spec", lambda name: name if pip else None)
    monkeypatch.setattr(install_hints, "_uv", lambda: "uv")
    monkeypatch.setattr(sys, "base_prefix", "/elsewhere" if own else sys.prefix)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(install_hints, "_sites", lambda: {_home()})
    if managed:
        (tmp_path / "EXTERNALLY-MANAGED").touch()
    words = install_command("x").split()
    by = [sys.executable, "-m", "pip", "install"]
    assert words[: 4 if pip else 5] == (
        by if pip else ["uv", "pip", "install", "--python", sys.executable]
    )
    assert ("--break-system-packages" in words) == (managed and not own)
    assert "--target" not in words


def _home() -> Path:
    ours = origins.installed("halfclose")
    assert ours is not None
    return Path(str(ours.locate_file(""))).resolve()


def test_in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pip install --target has put halfclose: what is missing goes beside it."""
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    monkeypatch.setattr(install_hints, "_sites", set)
    assert shlex.split(install_command("x"))[-3:] == ["--target", str(_home()), "x"]
    # There pip takes nothing for installed.
    words = shlex.split(install_command("halfclose-other"))
    core = str(Path(__file__).parents[2] / "core")
    assert words[words.index("--target") + 2 :] == ["-e", core, "halfclose-other"]


@pytest.mark.parametrize("pip", [False, True])
def test_in_the_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, pip: bool) -> None:
    """Root's pip would not choose it by itself, and uv does not know it."""
    monkeypatch.setattr(install_hints, "find_spec", lambda name: name if pip else None)
    monkeypatch.setattr(install_hints, "_uv", lambda: "uv")
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    monkeypatch.setattr(install_hints, "_sites", set)
    monkeypatch.setattr(site, "getusersitepackages", lambda: str(_home()))
    words = shlex.split(install_command("x"))
    assert ("--user" in words) == pip
    assert ("--target" in words) == (not pip)


def test_what_installers_choose_by_themselves() -> None:
    assert Path(sysconfig.get_path("purelib")).resolve() in install_hints._sites()


def uv_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "uv").write_text("#!/bin/sh\n")
    (folder / "uv").chmod(0o755)
    return folder / "uv"


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment as uv makes them, and no uv and no pip in the PATH."""
    monkeypatch.setattr(install_hints, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "base_prefix", "/elsewhere")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("UV", raising=False)


@pytest.mark.usefixtures("no_pip")
def test_without_pip_and_with_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By a name that a shell finds it by, be it in the PATH, or where the README puts it."""
    here = checkout(tmp_path / "a b")
    came = {"url": (here / "core").as_uri(), "dir_info": {}}
    monkeypatch.setattr(origins, "_direct_url", lambda found: came)

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


@pytest.mark.parametrize("path", [None, ""])
def test_an_interpreter_that_does_not_know_its_path(
    monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    """One that is embedded in another program."""
    monkeypatch.setattr(sys, "executable", path)
    monkeypatch.setattr(install_hints, "find_spec", lambda name: name)
    assert install_command("x").startswith("python3 -m pip install ")


@pytest.mark.usefixtures("no_pip")
def test_without_pip_and_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Python brings pip along, and does not always unpack it. Else another Python's serves."""
    monkeypatch.setattr(install_hints, "_uv", lambda: None)
    python = sys.executable
    assert install_command("x") == f"{python} -m pip install x"
    (tmp_path / "pip3").write_text("#!/bin/sh\n")
    (tmp_path / "pip3").chmod(0o755)
    assert install_command("x") == f"pip3 --python {python} install x"
    monkeypatch.setattr(install_hints, "find_spec", lambda name: name == "ensurepip" or None)
    assert install_command("x") == f"{python} -m ensurepip && {python} -m pip install x"
