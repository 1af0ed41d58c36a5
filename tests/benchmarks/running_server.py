"""A server's process, as its parent sees it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from .catalogue import Server

__all__ = ["BenchmarkError", "RunningServer", "python"]

HERE = Path(__file__).parents[1]
"""The folder from which ``python -m benchmarks`` is to be run."""

PATIENCE = 30.0
"""Seconds that a server has for an answer."""


class BenchmarkError(Exception):
    """A server did not do what it was to do; says what it wrote to stderr."""


def python(*arguments: str) -> list[str]:
    """A command that runs this Python with *arguments*."""
    return [sys.executable, *arguments]


class RunningServer:
    """A context manager: the process ends with the block.

    :param service: what it serves: ``echo``, ``bulk-echo``, ``discard``, ``source``, ``reply``;
        ours also ``fresh-source``, ``pieces`` and ``close-all``.
    :param core: the processor core that it runs on.
    :param under: a command to run it under.
    :raises BenchmarkError: it did not begin to listen.
    """

    def __init__(
        self, server: Server, service: str, core: int | None, under: Sequence[str] = ()
    ) -> None:
        where = [] if core is None else ["--core", str(core)]
        command = python("-m", "benchmarks.servers", *where, "serve", server.name, service)
        self.server = server
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._line = b""
        self._process = subprocess.Popen(
            [*under, *command],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        try:
            self.port = int(self._answer()["port"])
        except BaseException:
            self.close()
            raise

    def cpu(self) -> float:
        """Seconds of processor time that it has used, in all its threads."""
        return self._ask("cpu")["cpu"]

    def memory(self) -> float:
        """Bytes of memory that it holds for itself, after a garbage collection."""
        return self._ask("memory")["memory"]

    def _ask(self, question: str) -> dict[str, float]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(question.encode() + b"\n")
        except OSError:
            raise self._failure("is gone") from None
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        # Not select(2): beside thousands of connections the descriptor's number is high.
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self._line:
            if not poll.poll(1000 * max(0.0, deadline - time.monotonic())):
                raise self._failure("does not answer")
            data = os.read(fd, 4096)
            if not data:
                raise self._failure("ended")
            self._line += data
        line, _, self._line = self._line.partition(b"\n")
        found: dict[str, float] = json.loads(line)
        return found

    def _failure(self, what: str) -> BenchmarkError:
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return BenchmarkError(" ".join([f"{self.server.name} {what}", *last]))

    def close(self) -> None:
        """End the process. Idempotent."""
        if self._process.returncode is None:
            for pipe in (self._process.stdin, self._process.stdout):
                assert pipe is not None
                pipe.close()
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._errors.close()

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
