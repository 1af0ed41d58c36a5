"""Bytes that were written and that the channel has not taken yet."""

from __future__ import annotations

from collections import deque

from ..channel import Channel

__all__ = ["Outgoing"]

_PIECE = 64 * 1024
"""Small writes are joined up to this many bytes for one call of the channel."""


class Outgoing:
    """A queue in front of `Channel.write`. Its cost grows with the bytes, not with the pieces."""

    __slots__ = ("_channel", "_queue", "size")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        # None while nothing waits: an idle connection shall cost little.
        self._queue: deque[bytes | memoryview] | None = None
        self.size = 0

    def write(self, data: bytes) -> int:
        """Hand *data* to the channel, or queue it behind what waits; return the bytes handed over.

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
        """Queue *data*, of which the channel took *taken* bytes, where nothing waits yet."""
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
        """Forget all that waits."""
        self._queue = None
        self.size = 0


def _next(queue: deque[bytes | memoryview]) -> bytes | memoryview:
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
