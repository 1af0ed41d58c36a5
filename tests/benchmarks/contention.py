"""CPU contention: processes that want the server's core too, so that the generator is the faster
one."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from .running_server import BenchmarkError, python

__all__ = ["Contention"]

_COMPETITORS = 3
"""Each wants the core as much as the server does, which is left a quarter of it."""

# Should its parent be killed, a process that rests is killed too (PR_SET_PDEATHSIG).
_SPIN = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.sched_setaffinity(0, {int(sys.argv[1])})
print(flush=True)
while True:
    pass
"""


class Contention:
    """A context manager: the processes live as long as the block, and rest outside of `applied`.

    :param core: the server's; None, where there is only one for everything: nobody competes there.
    """

    def __init__(self, core: int | None) -> None:
        self._core = core
        self.processes: list[subprocess.Popen[bytes]] = []
        """Those that live."""

    def __enter__(self) -> Contention:
        with ExitStack() as stack:
            self.processes = [
                self._begin(stack) for _ in range(0 if self._core is None else _COMPETITORS)
            ]
            self._stack = stack.pop_all()
        return self

    def _begin(self, stack: ExitStack) -> subprocess.Popen[bytes]:
        spin = python("-c", _SPIN, str(self._core))
        # In a group of its own, since a shell that goes on with ours would wake it.
        process = subprocess.Popen(spin, stdout=subprocess.PIPE, start_new_session=True)
        stack.enter_context(process)
        stack.callback(process.kill)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise BenchmarkError("a competing process did not start")
        process.send_signal(signal.SIGSTOP)
        return process

    def __exit__(self, *raised: object) -> None:
        self.processes = []
        self._stack.close()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block they spin."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        for process in self.processes:
            if process.poll() is not None:
                raise BenchmarkError("a competing process has gone")
            process.send_signal(number)
