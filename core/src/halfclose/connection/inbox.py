"""`Inbox`: what the channel has reported and the protocol has not been told yet, in order."""

from __future__ import annotations

from collections import deque

__all__ = ["END_OF_STREAM", "EndOfStream", "Failure", "Inbox"]


class EndOfStream:
    """An item of the inbox: the peer's end of stream."""

    __slots__ = ()


class Failure:
    """An item of the inbox: the connection broke.

    :param reason: what ``connectionLost`` will get.
    """

    __slots__ = ("reason",)

    def __init__(self, reason: BaseException) -> None:
        self.reason: BaseException = reason


END_OF_STREAM = EndOfStream()
"""The only instance."""


class Inbox(deque[bytes | EndOfStream | Failure]):
    """Input that came while reading was paused, or while an event was being delivered.

    A channel should not report anything then, but some frameworks do. Data comes first, then at
    most one end of stream, then at most one failure; nothing follows a failure. Pieces of data are
    neither joined nor reordered, so how the network cuts the stream changes nothing (EVT-11).

    Most connections never need an inbox, so a connection makes it when it is first needed.
    """

    __slots__ = ()

    @property
    def failure(self) -> BaseException | None:
        """The reason why the connection broke, if it did and the protocol was not told yet."""
        last = self[-1] if self else None
        return last.reason if isinstance(last, Failure) else None

    @property
    def has_end_of_stream(self) -> bool:
        """Whether the last item is the peer's end of stream, and not a failure."""
        return bool(self) and self[-1] is END_OF_STREAM
