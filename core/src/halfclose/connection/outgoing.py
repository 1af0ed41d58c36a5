"""`Outgoing`: bytes that were written and that the channel has not taken yet."""

from __future__ import annotations

from collections import deque

from ..channel import Channel

__all__ = ["Outgoing"]

_PIECE = 64 * 1024
"""Bytes up to which small writes are joined for one call of the channel."""


class Outgoing:
    """A queue in front of `Channel.write`.

    Small writes are joined, so that the number of calls grows with the bytes and not with the
    writes.
    """

    __slots__ = ("_channel", "_queue", "size")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        # None while nothing waits, since there may be ten thousand idle connections.
        self._queue: deque[bytes | memoryview] | None = None
        self.size: int = 0

    def write(self, data: bytes) -> int:
        """Hand *data* to the channel, or queue it behind the bytes that wait.

        :returns: how many bytes the channel has taken.
        :raises OSError: the channel can send nothing any more.
        """
        if self._queue is not None:
            self._queue.append(data)
            self.size += len(data)
            return 0
        taken = self._channel.write(data)
        if taken < len(data):
            self.keep(data, taken)
        return taken

    def keep(self, data: bytes, taken: int) -> None:
        """Queue *data* without its first *taken* bytes. Only called if nothing waits yet."""
        self._queue = deque((memoryview(data)[taken:] if taken else data,))
        self.size = len(data) - taken

    def flush(self) -> int:
        """Hand over as much as the channel takes and return how many bytes that was.

        :raises OSError: the channel can send nothing any more.
        """
        moved = 0
        while self._queue:
            piece = _next(self._queue)
            taken = self._channel.write(piece)
            moved += taken
            self.size -= taken
            if taken < len(piece):
                self._queue.appendleft(memoryview(piece)[taken:] if taken else piece)
                return moved
        self._queue = None
        return moved

    def clear(self) -> None:
        """Drop all bytes that wait."""
        self._queue = None
        self.size = 0


def _next(queue: deque[bytes | memoryview]) -> bytes | memoryview:
    """Take the next piece from *queue*, joined with those after it if they are small."""
    first = queue.popleft()
    if len(first) >= _PIECE or not queue:
        return first
    pieces = [first]
    size = len(first)
    while queue and size + len(queue[0]) <= _PIECE:
        piece = queue.popleft()
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces) if len(pieces) > 1 else first
