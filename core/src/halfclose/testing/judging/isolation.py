"""A process of its own for each case, so that nothing it does, or never ends, hurts the next.

A backend that hangs cannot be asked to stop, and one that crashes takes its process along. So
each case runs in a fork of this process, which has imported everything already, and is killed
when its time is up.
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
"""Before a result, how long it is."""

_LINES = 30
"""How many lines of what a process printed are shown, of the first and of the last."""

_SHOWN = 1 << 16
"""Bytes, of the first and of the last, that are read of what a process printed."""

_DUMP = 5.0
"""Seconds that a process which hangs is given to say where."""

_HELD = {signal.SIGINT, signal.SIGTERM}


@dataclass(frozen=True)
class Died:
    """A process that ended without a result.

    :param what: how, in one line.
    :param output: what it printed, of which the middle may be left out; where it was, if it hung.
    """

    what: str
    output: str


class Child(Generic[T]):
    """*function* in a fork of this process.

    :param function: gives something that can be pickled, or raises.
    :param limit: seconds after which the process is killed.
    :param about: what it writes when it is killed, beside where it is.
    """

    def __init__(
        self, function: Callable[[], T], limit: float, about: Callable[[], str] = str
    ) -> None:
        self.deadline = time.monotonic() + limit
        self._limit = limit
        self._received = bytearray()
        self._result, writing = os.pipe()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by take or kill
        with warnings.catch_warnings():
            # A test runner has threads of its own; the child runs none of them, and uses
            # none of their locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            os.close(self._result)
            _live(function, writing, self._output.fileno(), limit, about)
        # Both do, for whoever comes first.
        with suppress(PermissionError):
            os.setpgid(self._pid, self._pid)
        os.close(writing)

    def fileno(self) -> int:
        """Readable when there is something to `take`."""
        return self._result

    def take(self) -> T | Died | None:
        """The result, or how it died; None if it is not over yet. Called again until it is."""
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
        """Whether more is to come in time."""
        while True:
            left = max(0.0, self.deadline - time.monotonic())
            if not _wait_for([self], 0.0):
                return left > 0
            piece = os.read(self._result, 1 << 16)
            if not piece or self._is_whole(piece):
                return False

    def _is_whole(self, piece: bytes) -> bool:
        """Whether the result is here with *piece*; who else may hold the pipe does not matter."""
        self._received += piece
        head = self._received[: _LENGTH.size]
        return len(head) == _LENGTH.size and (
            len(self._received) >= _LENGTH.size + _LENGTH.unpack(head)[0]
        )

    def _hung(self) -> Died:
        os.kill(self._pid, signal.SIGUSR1)
        # Its end of the pipe is closed when it has said where it is.
        _wait_for([self], _DUMP)
        self._reap()
        died = Died(f"it did not end within {self._limit:g} s", self._said())
        self._output.close()
        return died

    def _said(self) -> str:
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(0)
        said = self._output.read(_SHOWN)
        if size > 2 * _SHOWN:
            self._output.seek(size - _SHOWN)
            said += b"\n...\n"
        said += self._output.read(_SHOWN)
        lines = said.decode(errors="replace").rstrip().splitlines()
        # Below the fork there are only copies of the parent's own frames.
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
        os.close(self._result)
        # It may have left its group, and the group may have others.
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                kill(self._pid, signal.SIGKILL)
        return os.waitpid(self._pid, 0)[1]

    def kill(self) -> None:
        """End it now, whatever it does."""
        self._reap()
        self._output.close()


def _how(status: int, said: str) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        last = said.rpartition("\n")[2]
        return f"ended with status {code}" + (f": {last}" if last else " and without a word")
    return f"was ended by {signal.Signals(-code).name}"


def _live(
    function: Callable[[], Any], writing: int, output: int, limit: float, about: Callable[[], str]
) -> None:
    """The child's whole life."""
    status = 1
    # What the parent has not collected yet is the parent's to finalize, once.
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
        # Should the parent be killed, this process must not stay.
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
        # Threads that were left, and what the parent would do at its own end, end here.
        os._exit(status)


def _wait_for(children: Iterable[Child[Any]], seconds: float) -> bool:
    """Wait until one of *children* has something to take; False if none has within *seconds*."""
    poll = select.poll()
    for child in children:
        poll.register(child, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


@contextmanager
def _held() -> Iterator[None]:
    """Keep SIGINT and SIGTERM until we know of every process that there is, and its handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass(frozen=True)
class Work(Generic[K, T]):
    """What a process is to do; see `Child` for *function* and *about*.

    :param key: tells the results apart.
    """

    key: K
    function: Callable[[], T]
    about: Callable[[], str] = str


def each(work: Iterable[Work[K, T]], jobs: int, limit: float) -> Iterator[tuple[K, T | Died]]:
    """Do every work in a process of its own, *jobs* at once, and give each result as it comes.

    Closing the generator kills what still runs.

    :param limit: seconds for each.
    :raises ValueError: *limit* is not more than 0 and finite.
    """
    if not 0 < limit < math.inf:
        raise ValueError(f"the time limit is a number of seconds, more than 0, not {limit!r}")
    waiting = iter(work)
    # Where it is ignored, nobody learns how a process ended.
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
