"""Wheels, and environments with nothing in them but what was installed from them.

Made by uv, or where there is none by the standard library's venv and its pip.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from environment import inherited

__all__ = ["Environment", "build", "run", "uv"]

LIMIT = 600.0
"""Seconds that one command may take, a download included."""


def run(
    *command: str | Path, cwd: Path | None = None, limit: float = LIMIT
) -> subprocess.CompletedProcess[str]:
    """Run *command*, which inherits nothing that could lead back to this interpreter's packages.

    :param cwd: the folder to run it in.
    :param limit: seconds after which it is killed.
    :raises subprocess.TimeoutExpired: it was.
    """
    environment = {
        name: value
        for name, value in inherited().items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        timeout=limit,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _must(*command: str | Path, cwd: Path | None = None) -> str:
    done = run(*command, cwd=cwd)
    if done.returncode:
        shown = " ".join(str(part) for part in command)
        # What failed is told at the end; before it may be all that a compiler has said.
        told = "\n".join([*done.stdout.splitlines()[-60:], *done.stderr.splitlines()[-60:]])
        raise AssertionError(f"{shown}: exit {done.returncode}\n{told}")
    return done.stdout


def uv() -> list[str]:
    """The command uv, as a list; empty where there is none."""
    path = os.environ.get("UV") or shutil.which("uv")
    if path:
        return [path]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else []


def build(source: Path, folder: Path, *, kind: str = "wheel") -> Path:
    """The distribution that is built from *source* into *folder*.

    :param source: a project's folder, or a source distribution.
    :param kind: "wheel" or "sdist"; without uv, "wheel" only.
    """
    before = set(folder.glob("*")) if folder.exists() else set()
    if uv():
        _must(*uv(), "build", f"--{kind}", "--quiet", "--out-dir", folder, source)
    else:
        assert kind == "wheel", "only uv builds source distributions here"
        builder = Environment(folder / "builder")
        _must(builder.python, "-m", "pip", "wheel", "--no-deps", "-w", folder, source)
        shutil.rmtree(folder / "builder")
    ending = ".whl" if kind == "wheel" else ".tar.gz"
    (made,) = (path for path in set(folder.glob("*")) - before if path.name.endswith(ending))
    return made


class Environment:
    """A fresh virtual environment.

    :param folder: where; it is made.
    :param python: the path of the interpreter; by default this one. Another one takes uv.
    :param seed: whether pip is there, as in an environment that Python itself has made.
    """

    def __init__(self, folder: Path, python: str = sys.executable, *, seed: bool = False) -> None:
        self.folder = folder
        if uv():
            options = ["--seed"] if seed else []
            _must(*uv(), "venv", "--quiet", "--no-project", *options, "--python", python, folder)
        else:
            _must(python, "-m", "venv", folder)

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def install(self, *requirements: str | Path, options: Sequence[str] = ()) -> None:
        """Install *requirements*, and what they need.

        :param requirements: names, or wheels; a wheel's extras follow it as in "a.whl[extra]".
        :param options: of uv pip install.
        """
        if uv():
            installer: list[str | Path] = [*uv(), "pip", "install", "--quiet", *options]
            installer += ["--python", self.python]
        else:
            assert not options, f"only uv has {options}"
            installer = [self.python, "-m", "pip", "install", "--quiet"]
        _must(*installer, *requirements, cwd=self.folder)

    def command(self, name: str) -> Path:
        """The path of an installed command."""
        return self.folder / "bin" / name
