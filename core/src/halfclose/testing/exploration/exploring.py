"""To search a backend for scripts that break the contract, and to perform one again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from random import SystemRandom

from hypothesis import settings

from .channel_types import explorable
from .parsing import parse_script
from .report import Report
from .search import Search
from .worker import Worker

__all__ = ["explore", "replay"]

_BATCH = 50
"""Examples on one type of channel before the next has its turn."""


def explore(
    backend: str,
    seconds: float,
    seed: int | None = None,
    performed: Callable[[], object] = lambda: None,
) -> Report | None:
    """Search the backend of that name for a script that breaks the contract, on each of its channel
    types of channel in turn.

    :param seconds: how long to search; to shorten what is found takes up to a minute more.
    :param seed: what the scripts are drawn from; None: anything.
    :param performed: called after each script that was performed.
    :returns: the first failure, shortened; None if there was none.
    :raises BackendNotFound: see `halfclose.load_backend`.
    :raises BackendLoadError: likewise.
    """
    channel_types = explorable(backend)
    first = SystemRandom().randrange(1 << 32) if seed is None else seed
    end = time.monotonic() + seconds
    # The profile that is loaded may be derandomized, and would draw the same ones each time.
    chosen = settings(max_examples=_BATCH, database=None, derandomize=False)
    with Worker(backend, channel_types) as worker:
        for number in count(first):
            for channel_type in channel_types:
                if time.monotonic() >= end:
                    return None
                found = Search(worker, channel_type, performed).run(chosen, number, end)
                if found is not None:
                    return found
    return None


def replay(backend: str, script_text: str, channel_type: str | None = None) -> Report:
    """Perform a script once more.

    :param backend: the backend's name.
    :param script_text: what a report's `Report.script` is, as text.
    :param channel_type: a type of channel in place of the script's own.
    :raises ScriptError: the text is no script, or it cannot be performed on that kind.
    :raises BackendNotFound: see `halfclose.load_backend`.
    :raises BackendLoadError: likewise.
    """
    script = parse_script(script_text)
    if channel_type is not None:
        script = replace(script, channel_type=channel_type)
    with Worker(backend, explorable(backend)) as worker:
        outcome = worker.perform(script)
    return Report(backend, script, outcome.broken, outcome.trace)
