"""The bytes that each end sends. They are the same in each run, so that each piece that arrives can
be checked by its position in the stream."""

from __future__ import annotations

import random

__all__ = ["contents"]

_PERIOD = 65521
"""Bytes after which the contents repeat. It is a prime, so that no buffer's size is a multiple of
it, and a buffer that is lost or sent twice does not go unseen."""

_blocks: dict[str, bytes] = {}


def contents(end: str, offset: int, size: int) -> bytes:
    """The *size* bytes that *end* sends from position *offset* of its stream on."""
    start = offset % _PERIOD
    block = _blocks.get(end, b"")
    if len(block) < start + size:
        once = random.Random(end).randbytes(_PERIOD)
        block = _blocks[end] = once * ((start + size) // _PERIOD + 1)
    return block[start : start + size]
