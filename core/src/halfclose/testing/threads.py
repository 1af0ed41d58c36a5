"""Blocking calls of the test, beside the event loop that is being tested."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from ..backend import Backend

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(backend: Backend, function: Callable[..., T], *args: object) -> T:
    """Run the blocking *function* in a thread of its own; what it raises is raised here."""
    done = backend.create_event()
    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(function(*args))
        except BaseException as error:
            failure.append(error)
        try:
            backend.call_soon_threadsafe(done.set)
        except RuntimeError:
            # The loop is gone: the rule has failed meanwhile, and nobody waits.
            pass

    thread = threading.Thread(target=work, name="halfclose raw peer")
    thread.start()
    await done.wait()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]
