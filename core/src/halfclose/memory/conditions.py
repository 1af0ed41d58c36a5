"""What one direction of a connection is like: its buffer, its pace, its faults."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, repeat
from random import Random
from typing import TypeAlias

__all__ = ["BUFFER", "Chunks", "Conditions", "any_sizes", "sizes", "whole_number"]

BUFFER = 64 * 1024
"""Bytes of each direction that are sent and not read, at most; as in a kernel."""

Chunks: TypeAlias = "int | Sequence[int] | Callable[[], int]"
"""Sizes of what one read gives at most: one size, several that are repeated, or a function that
is asked for each read."""


@dataclass
class Conditions:
    """One direction, from who sends to who reads.

    :param buffer: bytes that may be sent and not read; a send that finds it full takes nothing.
    :param chunks: gives the size that the next read has at most; None: it takes all there is.
    :param latency: seconds that everything takes on its way.
    :param end_delay: seconds that an end of stream takes longer.
    :param reset_after: once so many bytes have arrived, the connection breaks for both ends, and
        no further byte arrives.
    :param reset_error: the errno that they are told then.
    :param stalled: nothing can be read, though it is there, unless the connection breaks.
    """

    buffer: int = BUFFER
    chunks: Iterator[int] | None = None
    latency: float = 0.0
    end_delay: float = 0.0
    reset_after: int | None = None
    reset_error: int = errno.ECONNRESET
    stalled: bool = False


def sizes(chunks: Chunks | None) -> Iterator[int] | None:
    """An iterator over *chunks*.

    :raises ValueError: a size is not 1 or more, or there is none.
    :raises TypeError: it is none of `Chunks`.
    """
    if chunks is None:
        return None
    if callable(chunks):
        # No generator, which would be over once the function has raised.
        return iter(lambda: _size(chunks()), 0)
    if not isinstance(chunks, Sequence):
        return repeat(_size(chunks))
    if not chunks:
        raise ValueError("chunks: no size is given")
    return cycle([_size(size) for size in chunks])


def _size(size: int) -> int:
    return whole_number("a chunk's size", size, least=1)


def whole_number(what: str, number: int, least: int) -> int:
    """*number*, if it can be a number of bytes or the like.

    :raises TypeError: it is not whole.
    :raises ValueError: it is less than *least*.
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} is a whole number, not {number!r}")
    if number < least:
        raise ValueError(f"{what} is {least} or more, not {number!r}")
    return number


def any_sizes(random: Random) -> Callable[[], int]:
    """Draws sizes from one byte to a whole buffer, the small ones as often as the big ones."""
    return lambda: random.randint(1, 1 << random.randrange(17))
