"""What the channel has reported and the protocol has not been told yet, in order."""

from __future__ import annotations

from collections import deque

__all__ = ["END_OF_STREAM", "EndOfStream", "Failure", "Inbox"]


class EndOfStream:
    """In the inbox: the peer's end of stream."""

    __slots__ = ()


class Failure:
    """In the inbox: the connection broke, *reason* being what ``connectionLost`` will get."""

    __slots__ = ("reason",)

    def __init__(self, reason: BaseException) -> None:
        self.reason = reason


END_OF_STREAM = EndOfStream()
"""The only instance that there need be."""


class Inbox(deque[bytes | EndOfStream | Failure]):
    """Input that came while reading is paused, or while an event is being delivered.

    A channel is asked not to report anything then, but not every framework can keep to that. Data
    comes first, then at most one end of stream, then at most one failure; nothing follows a
    failure.

    Most connections never need one, so each makes its own when it first does.
    """

    __slots__ = ()

    @property
    def failure(self) -> BaseException | None:
        """Why the connection broke, if that is still to be told."""
        last = self[-1] if self else None
        return last.reason if isinstance(last, Failure) else None

    @property
    def has_end_of_stream(self) -> bool:
        """Whether the last thing to be told is the peer's end of stream, and no failure."""
        return bool(self) and self[-1] is END_OF_STREAM
