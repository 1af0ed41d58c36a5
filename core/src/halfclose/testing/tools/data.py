"""Bytes for the rules to send, and whether the same came."""

from __future__ import annotations

import random

__all__ = ["LAST_WORDS", "assert_same", "pattern"]

LAST_WORDS = b"the last words"

# Of prime length, so that no piece of a buffer's size comes twice in the same place.
_BLOCK = random.Random(0).randbytes(1_000_003)


def pattern(size: int) -> bytes:
    """*size* bytes in which a piece that was lost, doubled or moved shows."""
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


def assert_same(received: bytes, sent: bytes, case: str = "") -> None:
    """`==`, for more bytes than a report can show: it says where they differ.

    :param case: is put before what it says.
    """
    if received == sent:
        return
    # By halves: byte by byte takes seconds.
    place, beyond = 0, min(len(received), len(sent)) + 1
    while beyond - place > 1:
        middle = (place + beyond) // 2
        if received[place:middle] == sent[place:middle]:
            place = middle
        else:
            beyond = middle
    seen = f"{len(received)} bytes came and {len(sent)} were sent; they differ from byte {place} on"
    raise AssertionError(f"{case}: {seen}" if case else seen)
