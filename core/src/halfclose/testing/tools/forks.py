"""Forks children of the process under test, and waits for them."""

from __future__ import annotations

import faulthandler
import os
import signal
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import IO, Any, NoReturn

from ...backend import Backend
from ...interfaces import PullProducer
from ...lifecycle import State
from ..channels.peers import LIMIT
from .reactions import raises
from .recorder import Recorder

__all__ = ["Children", "check_foreign"]


class Children:
    """Children that are forked while connections are open and a loop runs."""

    def __init__(self) -> None:
        self._running: list[tuple[int, IO[bytes]]] = []

    def fork(self, life: Callable[[], object]) -> None:
        """Fork a child that calls *life* and then returns from here too, in the copied loop."""
        where = tempfile.TemporaryFile()  # noqa: SIM115 - closed by status
        with warnings.catch_warnings():
            # Python warns of a fork in a process with threads. The raw peers' threads do not
            # matter: the child neither runs them nor waits for them.
            warnings.simplefilter("ignore", DeprecationWarning)
            number = os.fork()
        if number:
            self._running.append((number, where))
        else:
            # SIGUSR1 makes the child write where it is, and then kills it (chain=True).
            faulthandler.register(signal.SIGUSR1, file=where, all_threads=True, chain=True)
            life()

    def status(self) -> int:
        """Wait until the oldest child ends, and give its exit status.

        :raises AssertionError: it does not end within `LIMIT` seconds; the message has the
            traceback of the child.
        """
        number, where = self._running.pop(0)
        with where:
            status = _end_of(number, LIMIT)
            if status is not None:
                return status
            os.kill(number, signal.SIGUSR1)
            if _end_of(number, _SAYING) is None:
                os.kill(number, signal.SIGKILL)
                os.waitpid(number, 0)
            where.seek(0)
            said = where.read().decode(errors="replace")
            raise AssertionError(f"a child did not end within {LIMIT} s\n{said}")


_SAYING = LIMIT
"""Seconds that a hanging child has to write its traceback. Usually that takes no time."""


def _end_of(number: int, seconds: float) -> int | None:
    """The exit status of the child with the id *number*; None: it does not end in *seconds*."""
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(number, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        time.sleep(0.001)


class _Nothing(PullProducer):
    """A producer that ends the child with a status of its own if it is asked for data there."""

    def resumeProducing(self) -> NoReturn:
        os._exit(98)

    def stopProducing(self) -> None:
        pass


def check_foreign(backend: Backend, transport: Any) -> NoReturn:
    """Check, in a child, that the parent's connection is out of reach and nothing can be begun.

    This ends the child, with status 0 if all is right.

    :raises AssertionError: something is not.
    """
    assert transport.state is State.CLOSED, transport.state
    for verb in ("pauseProducing", "resumeProducing", "loseWriteConnection"):
        getattr(transport, verb)()
    transport.write(b"from the child")
    assert transport.droppedBytes == len(b"from the child")
    transport.registerProducer(_Nothing(), False)
    for verb in ("loseConnection", "abortConnection", "stopProducing"):
        getattr(transport, verb)()
    for begin in (
        lambda: backend.connect("tcp:127.0.0.1:9", Recorder).send(None),
        lambda: backend.listen("tcp:127.0.0.1:0", Recorder).send(None),
        lambda: backend.start_soon(backend.sleep, 0.0),
        lambda: backend.call_later(0.0, print),
    ):
        with raises(RuntimeError) as caught:
            begin()
        assert f"process {os.getppid()}" in str(caught.value), caught.value
    os._exit(0)
