"""The bytes that each end sends: every position is known, so that each piece can be checked."""

from __future__ import annotations

import random

__all__ = ["contents"]

_PERIOD = 65521
"""A prime: no size that anything buffers by is a multiple of it."""

_blocks: dict[str, bytes] = {}


def contents(end: str, offset: int, size: int) -> bytes:
    """*size* bytes of what *end* sends, from *offset* on."""
    start = offset % _PERIOD
    block = _blocks.get(end, b"")
    if len(block) < start + size:
        once = random.Random(end).randbytes(_PERIOD)
        block = _blocks[end] = once * ((start + size) // _PERIOD + 1)
    return block[start : start + size]
