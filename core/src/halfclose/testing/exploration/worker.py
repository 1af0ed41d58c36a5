"""A process of its own that performs scripts: one that hangs or dies costs that script only."""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import pickle
import select
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, Any

from ..channels.channel_types import ChannelType
from .channel_types import channel_type_of
from .performing import Outcome, perform
from .reference import compare
from .script import End, Script

__all__ = ["LIMIT", "Worker"]

LIMIT = 3.0
"""Seconds without any event after which what must come does not come."""

_PATIENCE = 10.0
"""Seconds, beside those of the script, after which the process is ended."""

_LINES = 40
"""How many lines are told of where it was."""


class Worker:
    """Performs scripts on one backend, in a forked process; a context manager.

    The process is begun when it is first needed, and again after it has ended.

    :param backend: the backend's name.
    :param channel_types: its types of channel.
    """

    def __init__(self, backend: str, channel_types: tuple[ChannelType, ...]) -> None:
        self.backend = backend
        self.channel_types = channel_types
        self._process: _Process | None = None

    def perform(self, script: Script, limit: float = LIMIT) -> Outcome:
        """What comes of *script*.

        :param limit: seconds that may go by without any event while one is due.
        :raises ScriptError: see `kind_of`.
        """
        channel_type_of(self.channel_types, script)
        if self._process is None:
            self._process = _Process(self._serve)
        try:
            # Several waits can each take that long, and none of them fail.
            outcome: Outcome = self._process.ask((script, limit), 4 * limit + _PATIENCE)
        except (EOFError, TimeoutError) as error:
            said = self._process.end()
            self._process = None
            return Outcome(f"EVT-06: both: the process {error}", tuple(said[-_LINES:]))
        return outcome

    def _serve(self) -> Callable[[tuple[Script, float]], Outcome]:
        """In the process: what answers its requests."""
        warm: set[str] = set()

        def answer(request: tuple[Script, float]) -> Outcome:
            script, limit = request
            channel_type = channel_type_of(self.channel_types, script)
            try:
                if channel_type.name not in warm:
                    # The framework opens what it keeps for good, such as a reactor's waker.
                    perform(
                        self.backend, channel_type, Script(channel_type.name, End("raw")), limit
                    )
                    warm.add(channel_type.name)
                return compare(
                    channel_type, script, perform(self.backend, channel_type, script, limit)
                )
            except Exception as error:
                lines = traceback.format_exc().splitlines()
                return Outcome(f"ERR-12: both: the run raised {error!r}", tuple(lines))

        return answer

    def close(self) -> None:
        """End the process. Idempotent."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Process:
    """A fork of this process that answers requests.

    :param begin: called in it; gives what answers.
    """

    def __init__(self, begin: Callable[[], Callable[[Any], Any]]) -> None:
        read_requests, write_requests = os.pipe()
        read_answers, write_answers = os.pipe()
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end
        with warnings.catch_warnings():
            # A test runner has threads of its own; the process runs none of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            os.close(write_requests)
            os.close(read_answers)
            _live(begin, read_requests, write_answers, self._output)
        os.close(read_requests)
        os.close(write_answers)
        self._requests = os.fdopen(write_requests, "wb")
        self._answers = os.fdopen(read_answers, "rb")

    def ask(self, request: Any, limit: float) -> Any:
        """The answer.

        :raises TimeoutError: there is none within *limit* seconds.
        :raises EOFError: the process has died; says of what.
        """
        try:
            pickle.dump((request, limit), self._requests)
            self._requests.flush()
            if not select.select([self._answers], [], [], limit)[0]:
                raise TimeoutError("hung, and was ended")
            return pickle.load(self._answers)
        except (EOFError, BrokenPipeError):
            _, status = os.waitpid(self._pid, 0)
            self._pid = 0
            raise EOFError(f"died with status {os.waitstatus_to_exitcode(status)}") from None

    def end(self) -> list[str]:
        """End the process; give what it printed, and where it was if it hung."""
        with suppress(BrokenPipeError):
            self._requests.close()
        if self._pid:
            # It ends by itself where it waits for a request, and says where it is elsewhere.
            os.kill(self._pid, signal.SIGALRM)
            os.waitpid(self._pid, 0)
        self._answers.close()
        self._output.seek(0)
        said = self._output.read().decode(errors="replace").splitlines()
        self._output.close()
        return said


def _live(
    begin: Callable[[], Callable[[Any], Any]], requests: int, answers: int, output: IO[bytes]
) -> None:
    """The process's whole life."""
    try:
        _settle_in(output)
        answer = begin()
        with os.fdopen(requests, "rb") as reading, os.fdopen(answers, "wb") as writing:
            while True:
                try:
                    request, limit = pickle.load(reading)
                except EOFError:
                    return
                # Should the parent be killed meanwhile, this process must not stay.
                signal.alarm(int(limit) + 2)
                pickle.dump(answer(request), writing)
                writing.flush()
                signal.alarm(0)
    except BaseException:
        traceback.print_exc()
    finally:
        # What the parent would do at its own end is not for us to do.
        os._exit(1)


def _settle_in(output: IO[bytes]) -> None:
    """Leave what belongs to the parent alone, and have a hang say where it is."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard, source in enumerate((null, output.fileno(), output.fileno())):
        os.dup2(source, standard)
    os.close(null)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.register(signal.SIGALRM, file=output, all_threads=True, chain=True)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    gc.freeze()
