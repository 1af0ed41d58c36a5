"""What the load generator saw of one round."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Round", "Stopwatch", "undisturbed"]


@dataclass(frozen=True)
class Round:
    """One round.

    :param count: how many messages, connections or bytes.
    :param seconds: how long they took.
    :param cpu: seconds of the generator's processor time in them.
    :param trips: nanoseconds of each round trip, where they were taken one by one.
    """

    count: int
    seconds: float
    cpu: float
    trips: tuple[int, ...] = ()


class Stopwatch:
    """Runs from the moment that it is made."""

    def __init__(self) -> None:
        self._cpu = time.process_time()
        self._begun = time.perf_counter()

    def stop(self, count: int, trips: tuple[int, ...] = ()) -> Round:
        """The round that ends now."""
        seconds = time.perf_counter() - self._begun
        return Round(count, seconds, time.process_time() - self._cpu, trips)


@contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage collection of the generator's own inside the block."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
