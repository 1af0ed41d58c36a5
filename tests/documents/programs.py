"""Examples of the pages, as modules and as programs, and the backends on which they run."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import warm
from cli.support import Command, running
from documents.blocks import example
from environment import environment

__all__ = ["SOME", "module", "program", "program_of"]

SOME = ("anyio+asyncio", "anyio+trio", "twisted+epoll")
"""The backends on which the pages' examples run."""


def module(page: str, name: str) -> Any:
    """The example *name* of *page*, as if a program had imported it."""
    made = types.ModuleType(f"{Path(page).stem.replace('-', '_')}_{name}")
    # Dataclasses look up the module of their class.
    sys.modules[made.__name__] = made
    exec(compile(example(page, name), f"{page}: {name}", "exec"), made.__dict__)
    return made


@contextmanager
def program(
    page: str,
    name: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Command]:
    """The example *name* of *page*, run by ``python FILE *arguments``."""
    with program_of(example(page, name), *arguments, env=env, cwd=cwd) as command:
        yield command


@contextmanager
def program_of(
    source: str, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Command]:
    """A program with that *source*, in the folder *cwd*, gone at the end of the block."""
    pipes = (subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE)
    folder = str(cwd or Path.cwd())
    with running(warm.python(source, arguments, environment(env), folder, pipes)) as command:
        yield command
