"""Bytes that were written and that the channel has not taken yet."""

from __future__ import annotations

from collections import deque

from .channel import Channel

__all__ = ["Outgoing"]

_PIECE = 64 * 1024
"""Small writes are joined up to this many bytes for one call of the channel."""


class Outgoing:
    """A queue in front of `Channel.write`. Its cost grows with the bytes, not with the pieces."""

    __slots__ = ("_channel", "_queue", "size")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._queue: deque[bytes | memoryview] = deque()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Hand *data* to the channel, or queue it behind what waits; return the bytes handed over.

        :raises OSError: the channel can send nothing any more.
        """
        if self._queue:
            self._queue.append(data)
            self.size += len(data)
            return 0
        taken = self._channel.write(data)
        if taken < len(data):
            self._queue.append(memoryview(data)[taken:] if taken else data)
            self.size = len(data) - taken
        return taken

    def flush(self) -> int:
        """Hand over as much as the channel takes and return how many bytes that was.

        :raises OSError: the channel can send nothing any more.
        """
        moved = 0
        while self._queue:
            piece = self._next()
            taken = self._channel.write(piece)
            moved += taken
            self.size -= taken
            if taken < len(piece):
                self._queue.appendleft(memoryview(piece)[taken:] if taken else piece)
                break
        return moved

    def _next(self) -> bytes | memoryview:
        first = self._queue.popleft()
        if len(first) >= _PIECE or not self._queue:
            return first
        pieces = [first]
        size = len(first)
        while self._queue and size + len(self._queue[0]) <= _PIECE:
            piece = self._queue.popleft()
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces) if len(pieces) > 1 else first

    def clear(self) -> None:
        """Forget all that waits."""
        self._queue.clear()
        self.size = 0
