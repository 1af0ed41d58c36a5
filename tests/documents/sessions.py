"""Does in a shell what a session in a document shows, and compares what it prints."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from documents.blocks import example
from documents.deployment import WITH_COMMANDS

__all__ = ["free_port", "lines_of", "play"]

LIMIT = 30.0
"""Seconds that any line may take to come."""


def lines_of(page: str, name: str) -> list[tuple[str, list[str]]]:
    """Each command of a session, with the lines that are printed until the next one."""
    steps: list[tuple[str, list[str]]] = []
    for line in example(page, name, "session").splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def play(page: str, name: str, folder: Path, replaced: Mapping[str, str] | None = None) -> None:
    """Give the session's commands to bash, one after the other.

    The next command is given when as many lines have come as the page shows. What runs in the
    background prints too, so the order of the lines between two commands does not count. Neither do
    the ports and processes that the system chose, nor parts of a second.

    :param folder: where the commands run.
    :param replaced: what stands for something else here, such as a port.
    """
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=WITH_COMMANDS,
        bufsize=0,
        start_new_session=True,
    )
    assert shell.stdin is not None
    assert shell.stdout is not None
    try:
        read = _Lines(shell.stdout.fileno())
        for command, expected in lines_of(page, name):
            for before, after in (replaced or {}).items():
                command = command.replace(before, after)
            shell.stdin.write(command.encode() + b"\n")
            came = read.take(len(expected))
            assert sorted(map(_alike, came)) == sorted(map(_alike, expected)), command
        shell.stdin.close()
        assert read.take(None) == []
        shell.wait(LIMIT)
    finally:
        # All of its background jobs too.
        try:
            os.killpg(shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        shell.stdout.close()
        shell.wait()


class _Lines:
    """The lines that come from a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._rest = b""

    def take(self, number: int | None) -> list[str]:
        """The next lines; None: all up to the end."""
        deadline = time.monotonic() + LIMIT
        found: list[str] = []
        while number is None or len(found) < number:
            line, newline, rest = self._rest.partition(b"\n")
            if newline:
                found.append(line.decode())
                self._rest = rest
                continue
            assert select.select([self._fd], [], [], max(0, deadline - time.monotonic()))[0], (
                found,
                self._rest,
            )
            data = os.read(self._fd, 65536)
            if not data:
                assert number is None, (found, self._rest)
                return [*found, self._rest.decode()] if self._rest else found
            self._rest += data
        return found


def _alike(line: str) -> str:
    line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", line)
    line = re.sub(r"\b(PID|Child) \d+", r"\1 NUMBER", line)
    return re.sub(r"\d+\.\d{3} s$", "SOME s", line)


@contextmanager
def free_port() -> Iterator[int]:
    """A port of 127.0.0.1 that nobody else gets, and on which a server can listen."""
    with socket.socket() as sock:
        # Bound by two that both set this, and listened on by one of them.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
