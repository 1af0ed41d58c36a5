"""Bytes for the rules to send, and a check that the same bytes came."""

from __future__ import annotations

import random

__all__ = ["LAST_WORDS", "assert_same", "pattern"]

LAST_WORDS = b"the last words"

# The length is prime, so that two pieces of a buffer's size are never the same.
_BLOCK = random.Random(0).randbytes(1_000_003)


def pattern(size: int) -> bytes:
    """*size* bytes in which every lost, repeated or moved piece can be seen."""
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


def assert_same(received: bytes, sent: bytes, case: str = "") -> None:
    """Fail unless both are the same. The message tells where they differ, and shows no bytes.

    :param case: text that begins the message.
    :raises AssertionError: they differ.
    """
    if received == sent:
        return
    # A binary search: comparing byte by byte would take seconds.
    place, beyond = 0, min(len(received), len(sent)) + 1
    while beyond - place > 1:
        middle = (place + beyond) // 2
        if received[place:middle] == sent[place:middle]:
            place = middle
        else:
            beyond = middle
    seen = f"{len(received)} bytes came and {len(sent)} were sent; they differ from byte {place} on"
    raise AssertionError(f"{case}: {seen}" if case else seen)
