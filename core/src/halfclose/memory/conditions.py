"""The conditions of one direction of a connection: its buffer, its speed, its faults."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, repeat
from random import Random
from typing import TypeAlias

__all__ = ["BUFFER", "Chunks", "Conditions", "any_sizes", "sizes", "whole_number"]

BUFFER = 64 * 1024
"""Bytes of each direction that can be sent and not read yet, as much as in a kernel's buffer."""

Chunks: TypeAlias = "int | Sequence[int] | Callable[[], int]"
"""How many bytes one read gives at most: one size, several sizes that are used in turn, or a
function that is called before each read."""


@dataclass
class Conditions:
    """The conditions of one direction, from the sender to the reader.

    :param buffer: bytes that may be sent and not read yet. If it is full, a send takes nothing.
    :param chunks: gives the most bytes for each read; None: a read gives all that has arrived.
    :param latency: seconds that bytes, ends of stream and resets take to arrive.
    :param end_delay: seconds that an end of stream takes in addition.
    :param reset_after: the number of bytes after whose arrival the connection breaks for both ends.
        No further byte arrives. None: it does not break.
    :param reset_error: the errno that both ends are told when it breaks.
    :param stalled: whether nothing can be read, although bytes have arrived. If the connection
        breaks, they can be read.
    """

    buffer: int = BUFFER
    chunks: Iterator[int] | None = None
    latency: float = 0.0
    end_delay: float = 0.0
    reset_after: int | None = None
    reset_error: int = errno.ECONNRESET
    stalled: bool = False


def sizes(chunks: Chunks | None) -> Iterator[int] | None:
    """An endless iterator over the sizes that *chunks* gives; None for None.

    :raises ValueError: a size is less than 1, or *chunks* is empty.
    :raises TypeError: *chunks* is none of `Chunks`.
    """
    if chunks is None:
        return None
    if callable(chunks):
        # No generator, since it would give nothing more after the function has raised once.
        return iter(lambda: _size(chunks()), 0)
    if not isinstance(chunks, Sequence):
        return repeat(_size(chunks))
    if not chunks:
        raise ValueError("chunks: no size is given")
    return cycle([_size(size) for size in chunks])


def _size(size: int) -> int:
    return whole_number("a chunk's size", size, least=1)


def whole_number(what: str, number: int, least: int) -> int:
    """*number*, if it is a whole number that is not too small.

    :param what: what the messages call the number.
    :raises TypeError: *number* is not whole.
    :raises ValueError: *number* is less than *least*.
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} is a whole number, not {number!r}")
    if number < least:
        raise ValueError(f"{what} is {least} or more, not {number!r}")
    return number


def any_sizes(random: Random) -> Callable[[], int]:
    """A function that draws sizes from one byte to a whole buffer.

    It first draws the size's number of bits, so that small sizes are as frequent as big ones.
    """
    return lambda: random.randint(1, 1 << random.randrange(17))
