"""Examples of the how-to pages, as modules and as programs, and what their tests share."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.support import LIMIT
from documents.blocks import example
from warm import POSSIBLE, Fork, fork

__all__ = ["LIMIT", "SOME", "line_of", "module", "program", "program_of", "read_to_end"]

SOME = ("anyio+asyncio", "anyio+trio", "twisted+epoll")
"""The backends on which the pages' examples run."""


def module(page: str, name: str) -> Any:
    """The example *name* of docs/how-to/*page*, as if a program had imported it."""
    made = types.ModuleType(f"{page.removesuffix('.md').replace('-', '_')}_{name}")
    # Dataclasses look up the module of their class.
    sys.modules[made.__name__] = made
    source = example(f"docs/how-to/{page}", name)
    exec(compile(source, f"{page}: {name}", "exec"), made.__dict__)
    return made


@contextmanager
def program(
    page: str, name: str, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes] | Fork]:
    """The example *name* of docs/how-to/*page*, run by ``python FILE *arguments``."""
    with program_of(example(f"docs/how-to/{page}", name), *arguments, env=env) as running:
        yield running


@contextmanager
def program_of(
    source: str, *arguments: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes] | Fork]:
    """A program with that *source*, gone at the end of the block."""
    full = {key: value for key, value in os.environ.items() if key != "HALFCLOSE_BACKEND"}
    full.update(env or {})
    pipes = (subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE)
    running: subprocess.Popen[bytes] | Fork
    if POSSIBLE:
        running = fork(arguments, full, str(Path.cwd()), pipes, source)
    else:
        running = subprocess.Popen(
            [sys.executable, "-c", source, *arguments],
            env=full,
            stdin=pipes[0],
            stdout=pipes[1],
            stderr=pipes[2],
            bufsize=0,
        )
    with running:
        try:
            yield running
        finally:
            running.kill()


def line_of(running: subprocess.Popen[bytes] | Fork) -> str:
    """The next line that the program prints."""
    assert running.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        piece = running.stdout.read(1)
        if not piece:
            assert running.stderr is not None
            raise AssertionError(f"it ended: {running.stderr.read()!r}")
        line += piece
    return line.decode().rstrip("\n")


def read_to_end(sock: socket.socket) -> tuple[bytes, str]:
    """What a plain socket still receives, and how that ends: "eof" or "reset"."""
    received = bytearray()
    try:
        while data := sock.recv(65536):
            received += data
    except ConnectionResetError:
        return bytes(received), "reset"
    return bytes(received), "eof"
