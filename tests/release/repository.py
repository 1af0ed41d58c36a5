"""The repository that packages are made of."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from wheels.building import ROOT
from wheels.environments import run

__all__ = ["git", "repository"]

_NOBODY = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
_UNSIGNED = ("-c", "commit.gpgsign=false")


def git(*arguments: str, root: Path = ROOT) -> str:
    """What git says, in the repository at *root*."""
    done = run("git", *arguments, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@functools.cache
def repository() -> Path:
    """This checkout; if it is none, as where the sources came in an archive, a copy that is one.

    git also refuses a checkout that belongs to another user.
    """
    if run("git", "rev-parse", "--verify", "HEAD", cwd=ROOT).returncode == 0:
        return ROOT
    folder = tempfile.mkdtemp(prefix="halfclose-")
    atexit.register(shutil.rmtree, folder)
    copy = Path(folder) / "copy"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", ".uv", "dist"))
    git("init", "--quiet", root=copy)
    git("add", "--all", root=copy)
    git(*_NOBODY, *_UNSIGNED, "commit", "--quiet", "--message", "As it came", root=copy)
    return copy
