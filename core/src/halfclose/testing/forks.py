"""Forked children of the process under test."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

from ..backend import Backend
from ..interfaces import PullProducer
from ..lifecycle import State
from .reactions import raises
from .recorder import Recorder

__all__ = ["Children", "check_foreign"]


class Children:
    """Children that are forked in the midst of things."""

    def __init__(self) -> None:
        self._numbers: list[int] = []

    def fork(self, life: Callable[[], object]) -> None:
        """Fork a child that does *life* and then goes on as if nothing had been forked."""
        with warnings.catch_warnings():
            # The raw peers have threads, none of which the child runs or waits for.
            warnings.simplefilter("ignore", DeprecationWarning)
            number = os.fork()
        if number:
            self._numbers.append(number)
        else:
            life()

    def status(self) -> int:
        """Wait for the end of the oldest child, and give its exit status."""
        return os.waitstatus_to_exitcode(os.waitpid(self._numbers.pop(0), 0)[1])


class _Nothing(PullProducer):
    """Gives nothing, and may never be asked in a child."""

    def resumeProducing(self) -> NoReturn:
        os._exit(98)

    def stopProducing(self) -> None:
        pass


def check_foreign(backend: Backend, transport: Any) -> NoReturn:
    """In a child: its parent's connection is out of reach, and nothing can be begun.

    Ends the child, with status 0 if that is so.
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
