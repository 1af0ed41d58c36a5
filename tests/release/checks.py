"""What has to be so before a release: each thing that is not is told, in a sentence."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from release.repository import git

__all__ = ["problems", "requirement", "unknown", "version_of"]

_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)


def version_of(root: Path) -> str:
    """The version of all three distributions, from the one file that has it."""
    found = _VERSION.findall((root / "core/src/halfclose/__init__.py").read_text())
    assert len(found) == 1, found
    return str(found[0])


def requirement(version: str) -> str:
    """What the backends of *version* ask for of core: all versions that keep its interface."""
    major, minor = (int(part) for part in version.split(".")[:2])
    above = f"{major + 1}" if major else f"0.{minor + 1}"
    return f"halfclose>={major}.{minor},<{above}"


def problems(root: Path) -> Iterator[str]:
    """What is not as it should be in the repository at *root*."""
    version = version_of(root)
    if git("status", "--porcelain", root=root):
        yield "the work tree has changes that are in no commit"
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"the version {version} is none of a release"
        return  # All else is asked of a version.
    if git("tag", "--list", f"v{version}", root=root):
        yield f"there is a tag v{version} already"
    for path in sorted(root.glob("backends/*/pyproject.toml")):
        if requirement(version) not in tomllib.loads(path.read_text())["project"]["dependencies"]:
            yield f"{path.relative_to(root)} does not ask for {requirement(version)}"
    text = (root / "CHANGELOG.md").read_text()
    parts = re.findall(r"^## \[(.+?)\](.*)$", text, re.MULTILINE)
    day = dict(parts).get(version)
    if day is None:
        yield f"CHANGELOG.md has no part [{version}]"
    elif not re.fullmatch(r" - \d{4}-\d\d-\d\d", day):
        yield f"in CHANGELOG.md, the part [{version}] has no date"
    if not parts or parts[0][0] != "Unreleased":
        yield "CHANGELOG.md does not begin with a part [Unreleased]"


def unknown(root: Path) -> Iterator[str]:
    """What only whoever publishes knows, and what is missing of it."""
    for path in sorted([root / "core/pyproject.toml", *root.glob("backends/*/pyproject.toml")]):
        project = tomllib.loads(path.read_text())["project"]
        if not project.get("urls"):
            yield f"{path.relative_to(root)} has no project.urls"
        if not any("email" in author for author in project["authors"]):
            yield f"{path.relative_to(root)} has no address of an author"
