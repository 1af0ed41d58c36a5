"""What a peer is: a program that speaks TLS, and how a conversation with it begins."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environment import environment

from .setting import QUESTION, Part, Setting, Side

__all__ = ["Peer", "program"]


@dataclass(frozen=True)
class Peer:
    """A peer.

    :param name: how it is called on the page and in the table.
    :param needs: the programs that it takes to run it, by name or path.
    :param package: what Debian has them in.
    :param start: starts it, and gives how many bytes its user will have got.
    :param tell_version: the command that prints its version.
    :param does: which parts it can have, on each side.
    :param http: whether it speaks HTTP, and so does not end its half after a question.
    :param question: what it is asked.
    """

    name: str
    needs: tuple[str, ...]
    package: str
    start: Callable[[Setting], Future[int]]
    tell_version: tuple[str, ...]
    does: tuple[tuple[Side, Part], ...] = (
        ("server", "answers"),
        ("server", "asks"),
        ("client", "answers"),
        ("client", "asks"),
    )
    http: bool = False
    question: bytes = QUESTION

    @property
    def missing(self) -> str | None:
        """What there is to say if it cannot run here."""
        for needed in self.needs:
            if shutil.which(needed, path=_PATH) is None and not Path(needed).is_file():
                return f"{self.name} is not here: {needed} is missing (Debian: {self.package})"
        return None

    def version(self) -> str:
        """The version, as it says it itself: the first number with a point in it."""
        told = subprocess.run(
            self.tell_version, capture_output=True, text=True, env=_environment(), check=True
        )
        found = re.search(r"\d+(\.\d+)+", told.stdout + told.stderr)
        assert found is not None, told
        return found[0]


_PATH = environment()["PATH"] + ":/usr/sbin:/sbin"
"""Where servers are too."""


def _environment() -> dict[str, str]:
    return environment({"PATH": _PATH})


def program(setting: Setting, *arguments: object, **popen: Any) -> subprocess.Popen[bytes]:
    """A program of a peer, which is killed when the conversation is over.

    What it says on stderr goes into the file ``said`` of its folder.
    """
    said = setting.stack.enter_context((setting.folder / "said").open("ab"))
    process = subprocess.Popen(
        [str(each) for each in arguments],
        stdin=popen.pop("stdin", subprocess.DEVNULL),
        stdout=popen.pop("stdout", subprocess.DEVNULL),
        stderr=said,
        cwd=setting.folder,
        env=_environment(),
        **popen,
    )
    setting.stack.enter_context(process)
    setting.stack.callback(process.kill)
    return process
