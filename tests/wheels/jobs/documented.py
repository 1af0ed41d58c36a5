"""What the documents say to type in a checkout to install halfclose."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

from wheels.building import ROOT, Wheels
from wheels.environments import Environment
from wheels.steps import say

__all__ = ["checkout", "copied", "typed"]

GET_UV = re.compile(r"^(python3 -m pip install \S.* --target \.uv uv) &&", re.MULTILINE)
INSTALL = re.compile(r"<!-- (install[ \w]*): begin -->\n```sh\n(.+?)\n```", re.DOTALL)

SYSTEM = Path("/usr/bin/python3")
"""The system's own Python. On Debian, no package may be installed there (PEP 668)."""


def copied(folder: Path) -> Path:
    """A copy of this checkout in *folder*, without what is made in one."""
    skipped = shutil.ignore_patterns(".*", "__pycache__", "tests", "uv.lock")
    return Path(shutil.copytree(ROOT, folder, ignore=skipped))


def typed(command: str, cwd: Path, *, before: str = "") -> str:
    """What *command* prints for somebody who types it into a shell.

    :param before: a folder that comes before all others in the PATH. By default that of the
        interpreter below this one, since uv's environments have no pip.
    """
    path = f"{before or f'{sys.base_prefix}/bin'}:{os.environ['PATH']}"
    return say("env", "-u", "UV", f"PATH={path}", "bash", "-c", command, cwd=cwd)


def checkout(wheels: Wheels) -> None:
    """Each way to install gives a command that works.

    Where there is one, by the system's Python. Its pip refuses to install into the system.
    """
    source = copied(wheels.folder / "checkout")
    readme = (source / "README.md").read_text()
    others = (source / "docs/how-to/installing.md").read_text()
    commands = dict(INSTALL.findall(readme + others))
    assert set(commands) == {"install", "install elsewhere"}, commands
    system = str(SYSTEM.parent) if say(SYSTEM, "-m", "pip", "--version") else ""
    for way, command in commands.items():
        place = wheels.folder / way.replace(" ", "-")
        shutil.rmtree(source / ".uv", ignore_errors=True)
        if command.startswith("pip "):
            # Into an environment of one's own, which is active.
            Environment(place, seed=True)
            command = f". {shlex.quote(str(place))}/bin/activate && {command}"
        typed(
            f"{command} && PATH={shlex.quote(str(place))}/bin:$PATH && halfclose demo"
            " && halfclose contract anyio+trio --only EVT-01",
            source,
            before=system,
        )
