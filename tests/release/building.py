"""Builds the wheels and source distributions of a commit: the same bytes, wherever it is done.

They are made of what the commit has, in a folder of its own, so nothing of the work tree gets in.
Times are that of the commit (SOURCE_DATE_EPOCH), and hatchling writes no owner, no mode that a
umask has changed, and no order that a file system has chosen.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

from release.repository import git, repository
from wheels.building import PROJECTS, ROOT
from wheels.environments import run, uv

__all__ = ["build", "built_twice", "export", "sums"]


def export(commit: str, folder: Path) -> Path:
    """The files of *commit*, in a new *folder*."""
    command = ["git", "archive", "--format=tar", commit]
    archive = subprocess.run(command, cwd=repository(), capture_output=True, check=True).stdout
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


def build(commit: str, folder: Path, *, umask: int = 0o022, zone: str = "UTC") -> list[Path]:
    """The wheels and source distributions of *commit*, made in *folder*.

    :param umask: with which they are built.
    :param zone: the time zone in which they are built.
    """
    before = os.umask(umask)
    try:
        source = export(commit, folder / "source")
        committed = git("show", "-s", "--format=%ct", commit, root=repository())
        times = [f"SOURCE_DATE_EPOCH={committed}", f"TZ={zone}"]
        made = folder / "made"
        for project in PROJECTS.values():
            # The wheel is built from the source distribution, as an installer would do it.
            options = ["--quiet", "--out-dir", str(made), str(source / project.relative_to(ROOT))]
            done = run("env", *times, *uv(), "build", *options)
            assert done.returncode == 0, done.stderr
    finally:
        os.umask(before)
    return sorted(path for path in made.iterdir() if path.suffix in (".whl", ".gz"))


def built_twice(commit: str, folder: Path) -> list[Path]:
    """The same, after building them once more elsewhere and finding the same bytes.

    :raises AssertionError: some differ.
    """
    ours = build(commit, folder / "one")
    theirs = build(commit, folder / "an other one", umask=0o077, zone="Asia/Kathmandu")
    assert sums(ours) == sums(theirs), f"not the same bytes:\n{sums(ours)}\n{sums(theirs)}"
    return ours


def sums(files: list[Path]) -> str:
    """The sums of *files*, as ``sha256sum --check`` reads them."""
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files
    )
