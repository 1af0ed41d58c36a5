"""Runs each case in a process of its own, so that no case can harm the next.

A backend that hangs cannot be asked to stop, and a backend that crashes ends its process. So each
case runs in a fork of this process, and the fork is killed when its time is up. A fork is quick,
because this process has imported everything already.
"""

from __future__ import annotations

import faulthandler
import gc
import math
import os
import pickle
import select
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any, Generic, TypeVar

__all__ = ["Child", "Died", "Work", "each"]

K = TypeVar("K")
T = TypeVar("T")

_LENGTH = struct.Struct("!Q")
"""The number of bytes of a result, which is sent before it."""

_LINES = 30
"""How many lines are shown of the beginning of a process's output, and as many of its end."""

_SHOWN = 1 << 16
"""How many bytes are read of the beginning of that output, and as many of its end."""

_DUMP = 5.0
"""Seconds that a hanging process has to print its traceback before it is killed."""

_HELD = {signal.SIGINT, signal.SIGTERM}
"""Signals that wait while a process is started or taken; see `_held`."""


@dataclass(frozen=True)
class Died:
    """A process that ended without a result.

    :param what: how it ended, in one line.
    :param output: what it printed, perhaps without the middle. If it hung, this includes the
        traceback of each of its threads.
    """

    what: str
    output: str


class Child(Generic[T]):
    """A fork of this process that calls *function* and sends its result back.

    :param function: returns something that can be pickled, or raises.
    :param limit: seconds after which the process is killed.
    :param about: gives a text that the process prints, beside its traceback, before it is killed.
    """

    def __init__(
        self, function: Callable[[], T], limit: float, about: Callable[[], str] = str
    ) -> None:
        self.deadline: float = time.monotonic() + limit
        self._limit = limit
        self._received = bytearray()
        self._result, writing = os.pipe()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by take or kill
        with warnings.catch_warnings():
            # Python warns of a fork in a process with threads, which a test runner may have. The
            # child runs none of those threads, and uses none of their locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            os.close(self._result)
            _live(function, writing, self._output.fileno(), limit, about)
        # Parent and child both set the group, since either may be the first to need it.
        with suppress(PermissionError):
            os.setpgid(self._pid, self._pid)
        os.close(writing)

    def fileno(self) -> int:
        """The descriptor that becomes readable when there is something to `take`."""
        return self._result

    def take(self) -> T | Died | None:
        """Read what the process has sent, and kill the process if its time is up.

        :returns: the result, or how the process died; None: it is not over, so call this again.
        """
        if self._take_some():
            return None
        if not self._is_whole(b"") and time.monotonic() >= self.deadline:
            return self._hung()
        status = self._reap()
        try:
            value: T = pickle.loads(self._received[_LENGTH.size :])
            return value
        except Exception:
            said = self._said()
            return Died(f"its process {_how(status, said)}", said)
        finally:
            self._output.close()

    def _take_some(self) -> bool:
        """Read what is there; return whether more of the result may still come in time."""
        while True:
            left = max(0.0, self.deadline - time.monotonic())
            if not _wait_for([self], 0.0):
                return left > 0
            piece = os.read(self._result, 1 << 16)
            if not piece or self._is_whole(piece):
                return False

    def _is_whole(self, piece: bytes) -> bool:
        """Add *piece* to what was received; return whether the result is complete.

        The length tells, and not the end of the pipe: another process may hold the pipe open.
        """
        self._received += piece
        head = self._received[: _LENGTH.size]
        return len(head) == _LENGTH.size and (
            len(self._received) >= _LENGTH.size + _LENGTH.unpack(head)[0]
        )

    def _hung(self) -> Died:
        """Have the process print where it hangs, and kill it."""
        os.kill(self._pid, signal.SIGUSR1)
        # The child closes its end of the pipe when it has printed.
        _wait_for([self], _DUMP)
        self._reap()
        died = Died(f"it did not end within {self._limit:g} s", self._said())
        self._output.close()
        return died

    def _said(self) -> str:
        """What the process printed, shortened, without the frames of the parent."""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(0)
        said = self._output.read(_SHOWN)
        if size > 2 * _SHOWN:
            self._output.seek(size - _SHOWN)
            said += b"\n...\n"
        said += self._output.read(_SHOWN)
        lines = said.decode(errors="replace").rstrip().splitlines()
        # The child's stack begins with copies of the parent's frames, which explain nothing.
        below = [
            n
            for n, line in enumerate(lines)
            if line.endswith(f" in {_live.__name__}") and ", in " not in line
        ]
        for n in reversed(below):
            rest = takewhile(lambda line: line.startswith("  File"), lines[n:])
            del lines[n : n + len(list(rest))]
        if len(lines) > 2 * _LINES:
            lines[_LINES:-_LINES] = ["..."]
        return "\n".join(lines)

    def _reap(self) -> int:
        """Kill the process with its children, and give its wait status."""
        os.close(self._result)
        # Both: the process may have left its group, and its children may be in the group.
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                kill(self._pid, signal.SIGKILL)
        return os.waitpid(self._pid, 0)[1]

    def kill(self) -> None:
        """Kill the process at once and drop its result."""
        self._reap()
        self._output.close()


def _how(status: int, said: str) -> str:
    """How a process ended, in words, with the last line that it printed."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        last = said.rpartition("\n")[2]
        return f"ended with status {code}" + (f": {last}" if last else " and without a word")
    return f"was ended by {signal.Signals(-code).name}"


def _live(
    function: Callable[[], Any], writing: int, output: int, limit: float, about: Callable[[], str]
) -> None:
    """Run *function* in the child, send the result to *writing*, and end the process."""
    status = 1
    # Garbage that the parent has not collected yet is the parent's to finalize, not the child's.
    gc.freeze()
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        # If the parent is killed, the alarm ends this process.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(limit + 2 * _DUMP) + 1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)

        def tell(number: int, frame: Any) -> None:
            print(about(), flush=True)
            os.close(writing)

        signal.signal(signal.SIGUSR1, tell)
        faulthandler.enable(output)
        faulthandler.register(signal.SIGUSR1, file=output, all_threads=True, chain=True)
        result = pickle.dumps(function())
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(_LENGTH.pack(len(result)) + result)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        # Not sys.exit: that would wait for threads and call the parent's exit handlers.
        os._exit(status)


def _wait_for(children: Iterable[Child[Any]], seconds: float) -> bool:
    """Wait until one of *children* has something to take; return False if *seconds* pass first."""
    poll = select.poll()
    for child in children:
        poll.register(child, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


@contextmanager
def _held() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the end of the block.

    Else an exception of their handlers could come between a fork and the line that notes the new
    process, which nobody would kill then.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class Work(Generic[K, T]):
    """The work of one process; see `Child` for *function* and *about*.

    :param key: is given with the result, so that the caller knows whose result it is.
    """

    key: K
    function: Callable[[], T]
    about: Callable[[], str] = str


def each(work: Iterable[Work[K, T]], jobs: int, limit: float) -> Iterator[tuple[K, T | Died]]:
    """Do each work in a process of its own, and yield each key and result as it comes.

    Closing the generator kills the processes that still run.

    :param jobs: how many processes run at once.
    :param limit: seconds after which a process is killed.
    :raises ValueError: *limit* is 0, negative or infinite.
    """
    if not 0 < limit < math.inf:
        raise ValueError(f"the time limit is a number of seconds, more than 0, not {limit!r}")
    waiting = iter(work)
    # While SIGCHLD is ignored, the system does not tell how a process ended.
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    running: dict[Child[T], K] = {}
    try:
        while True:
            for one in islice(waiting, jobs - len(running)):
                with _held():
                    running[Child(one.function, limit, one.about)] = one.key
            if not running:
                return
            soonest = min(child.deadline for child in running)
            _wait_for(running, soonest - time.monotonic())
            for child in list(running):
                with _held():
                    result = child.take()
                    if result is None:
                        continue
                    key = running.pop(child)
                yield key, result
    finally:
        with _held():
            for child in running:
                child.kill()
        if before is not None:
            signal.signal(signal.SIGCHLD, before)
