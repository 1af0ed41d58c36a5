"""`Records`: follows where the records of TLS begin and end in a stream of bytes."""

from __future__ import annotations

__all__ = ["Records"]

_HEAD = 5
"""Bytes before the content of a record; the last two are the length of the content."""


class Records:
    """Knows whether a stream of records has ended in the middle of one."""

    __slots__ = ("_head", "_missing")

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0

    def passed(self, data: bytes) -> None:
        """Follow the stream over its next bytes.

        :param data: one or more bytes.
        """
        at = 0
        while at < len(data):
            if self._missing:
                step = min(self._missing, len(data) - at)
                self._missing -= step
            else:
                step = min(_HEAD - len(self._head), len(data) - at)
                self._head += data[at : at + step]
                if len(self._head) == _HEAD:
                    self._missing = int.from_bytes(self._head[3:], "big")
                    self._head = b""
            at += step

    @property
    def whole(self) -> bool:
        """Whether the last record is complete."""
        return not self._head and not self._missing
