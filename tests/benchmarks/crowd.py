"""Processes that want the server's core too, so that the generator is the faster one."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from .running_server import python

__all__ = ["Crowd"]

_SIZE = 3
"""Each wants the core as much as the server does, which is left a quarter of it."""

# It ends by itself should its parent be killed.
_SPIN = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
parent = os.getppid()
print(flush=True)
while os.getppid() == parent:
    for _ in range(100_000):
        pass
"""


class Crowd:
    """A context manager: the processes live as long as the block, and rest outside of `let_in`.

    :param core: the server's; None, where there is only one for everything: there is no crowd.
    """

    def __init__(self, core: int | None) -> None:
        self._core = core
        self._stack = ExitStack()
        self._spinning: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Crowd:
        for _ in range(0 if self._core is None else _SIZE):
            spin = python("-c", _SPIN, str(self._core))
            process = self._stack.enter_context(subprocess.Popen(spin, stdout=subprocess.PIPE))
            self._stack.callback(process.kill)
            self._spinning.append(process)
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGSTOP)
        return self

    def __exit__(self, *raised: object) -> None:
        self._spinning.clear()
        self._stack.close()

    @contextmanager
    def let_in(self) -> Iterator[None]:
        """Inside the block they spin."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._spinning:
            process.send_signal(number)
