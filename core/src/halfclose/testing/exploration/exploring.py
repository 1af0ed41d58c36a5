"""Searches a backend for scripts that break the contract, and performs one of them again."""

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
"""Scripts that are performed on one type of channel before the next type has its turn."""


def explore(
    backend: str,
    seconds: float,
    seed: int | None = None,
    performed: Callable[[], object] = lambda: None,
) -> Report | None:
    """Search the backend named *backend* for a script that breaks the contract.

    Its types of channel, except standard input and output, are searched in turn.

    :param backend: the backend's name.
    :param seconds: how long to search; shortening a script that is found takes up to a minute more.
    :param seed: what the scripts are drawn from; None for other scripts each time.
    :param performed: called after each script that was performed.
    :returns: the first script that broke the contract, shortened; None if none did.
    :raises BackendNotFound: see `halfclose.load_backend`.
    :raises BackendLoadError: see there, too.
    """
    channel_types = explorable(backend)
    first = SystemRandom().randrange(1 << 32) if seed is None else seed
    end = time.monotonic() + seconds
    # The loaded profile may be derandomized, which would draw the same scripts in each batch.
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
    """Perform a script once.

    :param backend: the backend's name.
    :param script_text: the script as text, such as the `Report.script` of a report.
    :param channel_type: the name of the type of channel to perform it on; None for the script's.
    :returns: whether and how the script broke the contract.
    :raises ScriptError: the text is no script, or the script cannot be performed on that type of
        channel.
    :raises BackendNotFound: see `halfclose.load_backend`.
    :raises BackendLoadError: see there, too.
    """
    script = parse_script(script_text)
    if channel_type is not None:
        script = replace(script, channel_type=channel_type)
    with Worker(backend, explorable(backend)) as worker:
        outcome = worker.perform(script)
    return Report(backend, script, outcome.broken, outcome.trace)
