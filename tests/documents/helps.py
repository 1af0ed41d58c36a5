"""What ``halfclose --help`` and the ``--help`` of each command print, on 80 columns."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from unittest import mock

from halfclose.cli.commands import cli, run_command

__all__ = ["help_of", "helps"]


def help_of(*words: str) -> str:
    """What ``halfclose WORDS --help`` prints."""
    printed = io.StringIO()
    with mock.patch.dict("os.environ", {"COLUMNS": "80"}), redirect_stdout(printed):
        assert run_command([*words, "--help"]) == 0
    return printed.getvalue()


def helps() -> str:
    """The help of each command, under a heading of its own."""
    parts = [f"```text\n{help_of()}```"]
    parts += [f"## halfclose {name}\n\n```text\n{help_of(name)}```" for name in cli.commands]
    return "\n\n".join(parts)
