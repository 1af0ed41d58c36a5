"""What every server and the load generator agree on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

__all__ = ["AHEAD", "BACKLOG", "HOST", "PIECE", "READ_SIZE", "Ready", "Turns", "write_in_pieces"]

HOST = "127.0.0.1"

BACKLOG = 1024

READ_SIZE = 64 * 1024
"""Bytes asked for by servers that have to name a number."""

PIECE = bytes(64 * 1024)
"""What the service ``source`` writes at a time."""

AHEAD = 8 << 20
"""Bytes that the service ``pieces`` writes ahead of its pieces: the kernel takes no more than
these, so that every piece has to wait."""

Ready = Callable[[int], None]
"""Called with the port, once the server listens."""

Turns = Iterable[int]
"""Gives a number for each exchange that is to be done next."""


def write_in_pieces(size: int) -> Iterator[bytes | memoryview]:
    """*size* bytes, cut as `PIECE` is."""
    view = memoryview(PIECE)
    while size > 0:
        piece = PIECE if size >= len(PIECE) else view[:size]
        yield piece
        size -= len(piece)
