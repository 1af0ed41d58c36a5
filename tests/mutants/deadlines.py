"""Deadlines that do not notice what moves, or that are nobody's."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from halfclose.connection import Connection
from halfclose.deadline import Deadline
from halfclose.reasons import ConnectionLost
from mutants.patching import Patch
from mutants.wrapping import around, inside, loop_of

__all__ = ["arm", "made", "no_progress_inside", "queues_never_shrink"]


def no_progress_inside(patch: Patch, *names: str) -> None:
    """Have nothing that a connection does inside its methods of these names be progress."""
    within = inside(patch, *names)

    def touch(real: Any, deadline: Deadline) -> None:
        if not within:
            real()

    around(patch, Deadline, "touch", touch)


def queues_never_shrink(patch: Patch) -> None:
    """Have no deadline notice that a send queue gets shorter."""

    def make(
        real: Any, deadline: Deadline, backend: Any, seconds: float, expired: Any, remaining: Any
    ) -> None:
        # It is asked all the same: who lingers also looks whether it is time to give up.
        real(backend, seconds, expired, lambda: 0 * remaining())

    around(patch, Deadline, "__init__", make)


def made(patch: Patch, within: Collection[Connection]) -> list[tuple[Deadline, Connection]]:
    """The deadlines that were made inside a method of a connection; *within* is `inside` of it."""
    found: list[tuple[Deadline, Connection]] = []

    def make(real: Any, deadline: Deadline, *args: object) -> None:
        real(*args)
        found.extend((deadline, connection) for connection in within)

    around(patch, Deadline, "__init__", make)
    return found


def arm(connection: Connection, seconds: float, reason: Callable[[], ConnectionLost]) -> None:
    """Have *connection* end by *reason* after *seconds* in which its send queue stays as it is."""
    Deadline(loop_of(connection), seconds, lambda: connection.abandon(reason()), connection.waiting)
