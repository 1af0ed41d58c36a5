"""What keeps a release from being made, and the version that stands in one place."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import halfclose
import halfclose_anyio
import halfclose_twisted
import pytest
from release.checks import problems, requirement, unknown, version_of
from wheels.building import ROOT

PYPROJECTS = sorted([ROOT / "core/pyproject.toml", *ROOT.glob("backends/*/pyproject.toml")])


def test_the_version_stands_in_one_place() -> None:
    version = version_of(ROOT)
    assert halfclose.__version__ == version
    assert halfclose_anyio.__version__ == halfclose_twisted.__version__ == version
    for name in ("halfclose", "halfclose-anyio", "halfclose-twisted"):
        assert importlib.metadata.version(name) == version
    for path in PYPROJECTS:
        assert "version" in tomllib.loads(path.read_text())["project"]["dynamic"]
        assert version not in path.read_text()
    for path in (ROOT / "backends").rglob("*.py"):
        assert f'"{version}"' not in path.read_text(), path


@pytest.mark.parametrize("package", ["halfclose_anyio", "halfclose_twisted"])
def test_nobody_pays_for_a_version_that_nobody_asks_for(package: str) -> None:
    code = f"import {package}, sys; print('importlib.metadata' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.parametrize("package", [halfclose_anyio, halfclose_twisted])
def test_without_metadata_there_is_no_version(
    package: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a frozen program, which goes on without."""

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert getattr(package, "__version__", "unknown") == "unknown"


def test_every_distribution_says_the_same_of_itself() -> None:
    told = [tomllib.loads(path.read_text())["project"] for path in PYPROJECTS]
    same = ("license", "license-files", "authors", "requires-python", "readme")
    assert all([each[key] for key in same] == [told[0][key] for key in same] for each in told)
    for path in PYPROJECTS:
        assert (path.parent / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_no_extra_names_what_no_index_has() -> None:
    """Such an extra fails in a checkout."""
    for path in PYPROJECTS:
        extras = tomllib.loads(path.read_text())["project"]["optional-dependencies"]
        for needs in extras.values():
            assert not [need for need in needs if need.startswith("halfclose")], path


@pytest.mark.parametrize(
    ("version", "asked"),
    [
        ("0.1.0", "halfclose>=0.1,<0.2"),
        ("0.12.3", "halfclose>=0.12,<0.13"),
        ("1.4.2", "halfclose>=1.4,<2"),
    ],
)
def test_what_the_backends_ask_for(version: str, asked: str) -> None:
    assert requirement(version) == asked


# -- of a repository that is ready, and of ones that are not -----------------------------------


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """A repository of which version 0.2.0 can be released."""
    root = tmp_path / "repository"
    for name in ("core", "backends/anyio", "backends/twisted"):
        (root / name).mkdir(parents=True)
        shutil.copy(ROOT / name / "pyproject.toml", root / name)
    (root / "core/src/halfclose").mkdir(parents=True)
    (root / "core/src/halfclose/__init__.py").write_text('__version__ = "0.2.0"\n')
    for path in root.glob("**/pyproject.toml"):
        text = path.read_text().replace(requirement(version_of(ROOT)), requirement("0.2.0"))
        text = text.replace('authors" }', 'authors", email = "them@example.org" }')
        path.write_text(text + '\n[project.urls]\nSource = "https://example.org"\n')
    parts = "## [Unreleased]\n\n## [0.2.0] - 2030-01-31\n- Something.\n"
    (root / "CHANGELOG.md").write_text(f"# Changelog\n\n{parts}")
    _git(root, "init", "-q")
    _commit(root)
    return root


def _git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True)


def _commit(root: Path) -> None:
    _git(root, "add", "-A")
    _git(root, "commit", "-q", "-m", "x", "--allow-empty")


def _write(root: Path, name: str, before: str, after: str) -> None:
    text = (root / name).read_text()
    assert before in text
    (root / name).write_text(text.replace(before, after))
    _commit(root)


def test_ready(ready: Path) -> None:
    assert list(problems(ready)) == []
    assert list(unknown(ready)) == []


def test_changes_in_no_commit(ready: Path) -> None:
    (ready / "new").touch()
    assert list(problems(ready)) == ["the work tree has changes that are in no commit"]


def test_released_already(ready: Path) -> None:
    _git(ready, "tag", "v0.2.0")
    assert list(problems(ready)) == ["there is a tag v0.2.0 already"]


@pytest.mark.parametrize("version", ["0.2.0.dev1", "0.2rc1", "2", "next"])
def test_no_version_of_a_release(ready: Path, version: str) -> None:
    _write(ready, "core/src/halfclose/__init__.py", "0.2.0", version)
    assert list(problems(ready)) == [f"the version {version} is none of a release"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[0.2.0]", "[0.3.0]", "CHANGELOG.md has no part [0.2.0]"),
        (" - 2030-01-31", "", "in CHANGELOG.md, the part [0.2.0] has no date"),
        ("## [Unreleased]", "", "CHANGELOG.md does not begin with a part [Unreleased]"),
    ],
)
def test_changelog(ready: Path, before: str, after: str, said: str) -> None:
    _write(ready, "CHANGELOG.md", before, after)
    assert list(problems(ready)) == [said]


def test_a_backend_that_asks_for_another_core(ready: Path) -> None:
    _write(ready, "backends/anyio/pyproject.toml", ">=0.2,<0.3", ">=0.1,<0.3")
    assert list(problems(ready)) == [
        "backends/anyio/pyproject.toml does not ask for halfclose>=0.2,<0.3"
    ]


def test_what_only_the_publisher_knows(ready: Path) -> None:
    _write(ready, "core/pyproject.toml", "[project.urls]\nSource", "[tool.x]\nSource")
    _write(ready, "backends/twisted/pyproject.toml", ', email = "them@example.org"', "")
    assert list(unknown(ready)) == [
        "backends/twisted/pyproject.toml has no address of an author",
        "core/pyproject.toml has no project.urls",
    ]
