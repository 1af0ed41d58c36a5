"""`Records`: follows where the records of TLS begin and end in a stream of bytes."""

from __future__ import annotations

__all__ = ["HEAD", "Records"]

HEAD = 5
"""Bytes before the content of a record; the last two are the length of the content."""


class Records:
    """Cuts a stream at the ends of its records, and knows whether it has ended inside one."""

    __slots__ = ("_head", "_missing", "inside")

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0
        self.inside: bool = False
        """Whether the last record is not complete."""

    def next_piece(self, data: memoryview) -> int:
        """How many of the first bytes of *data* belong to the record that is under way.

        They count as passed.

        :param data: one or more bytes, which follow those that have passed before.
        """
        if not self._missing:
            known = len(self._head)
            head = self._head + data[: HEAD - known]
            if len(head) < HEAD:
                self._head = head
                self.inside = True
                return len(data)
            self._head = b""
            self._missing = HEAD + (head[3] << 8 | head[4]) - known
        size = min(self._missing, len(data))
        self._missing -= size
        self.inside = self._missing > 0
        return size
