"""What an index asks of the wheels and source distributions, asked of them here.

They are read by twine, check-wheel-contents and pyroma, and compared with the repository.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from release.repository import git, repository
from wheels.building import PROJECTS, ROOT, Wheels, files_of, metadata_of
from wheels.steps import say

__all__ = ["index", "repository_files"]

UNKNOWN = {"AuthorEmail": "Author-email", "Url": "Project-URL"}
"""What pyroma asks for that is not known yet, by the field of the metadata that has it.

The authors have no address in common, and no site. Neither is made up: whoever publishes fills them
in, the release script asks for that, and then pyroma is asked about them too.
"""

LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)]*)\)")


def index(wheels: Wheels) -> None:
    """An index takes them, and shows their pages as they are meant."""
    built = [*wheels.paths.values(), *wheels.sdists.values()]
    say(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *built)
    say(sys.executable, "-m", "check_wheel_contents", *wheels.paths.values())
    for name in PROJECTS:
        _check_metadata(wheels.paths[name])
        _check_files(name, wheels)


def _check_metadata(wheel: Path) -> None:
    """pyroma gives full marks, and no link of the page leads nowhere."""
    metadata = metadata_of(wheel)
    skipped = [test for test, field in UNKNOWN.items() if metadata.get(field) is None]
    options = ["--skip-tests", ",".join(skipped)] if skipped else []
    # Of the source that the wheel was built from.
    source = PROJECTS[str(metadata["Name"])]
    said = say(sys.executable, "-m", "pyroma", "--min", "10", *options, "--directory", source)
    assert "Final rating: 10/10" in said, said
    page: Any = metadata.get_payload()
    dead = LINK.findall(page)
    assert not dead, f"{wheel.name}: an index has no {', '.join(dead)}"


def _check_files(name: str, wheels: Wheels) -> None:
    """Each has what the repository has of it, and what is made for it, and nothing else.

    The tests stay in the repository, since they are of all three together. The suite that the
    others need is part of core.
    """
    ours = repository_files(PROJECTS[name])
    sdist = set(files_of(wheels.sdists[name]))
    # hatchling reads what git ignores, also where it builds the wheel.
    assert sdist == ours | {"PKG-INFO", ".gitignore"}, sorted(sdist ^ ours)
    wheel = files_of(wheels.paths[name])
    info = {file for file in wheel if ".dist-info/" in file}
    source = {file.removeprefix("src/") for file in ours if file.startswith("src/")}
    assert set(wheel) - info == source, sorted((set(wheel) - info) ^ source)
    assert any(file.endswith("/py.typed") for file in source), name
    assert any(file.endswith("/licenses/LICENSE") for file in info), sorted(info)


def repository_files(project: Path) -> set[str]:
    """The files that git has of *project*, by their paths there."""
    listed = git("ls-files", "-z", "--", str(project.relative_to(ROOT)), root=repository())
    files = (ROOT / name for name in listed.split("\0") if name)
    return {str(file.relative_to(project)) for file in files if file.exists()}
