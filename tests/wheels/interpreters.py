"""Finds interpreters of other versions."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from wheels.environments import run, uv

__all__ = ["find"]


def find(version: str) -> Path | None:
    """An interpreter of that *version*, such as "3.14"; None if there is none on this machine."""
    for path in _candidates(version):
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = run(path, "-c", code)
        if done.returncode == 0 and done.stdout.strip() == version:
            return path
    return None


def _candidates(version: str) -> Iterator[Path]:
    """This one, that of the shell, pyenv's, and uv's own, where there are such files."""
    yield Path(sys.executable)
    found = shutil.which(f"python{version}")
    if found is not None:
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    # One that pyenv has, and does not show to the shell.
    yield from sorted(pyenv.glob(f"versions/{version}*/bin/python"))
    if uv():
        managed = run(*uv(), "python", "find", "--managed-python", "--no-python-downloads", version)
        if managed.returncode == 0:
            yield Path(managed.stdout.strip())
