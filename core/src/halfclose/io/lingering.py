"""Closing without losing anything: read and discard what the peer still sends.

A socket that is closed with unread input answers with a reset, and the peer's kernel then throws
away what it had not read of our reply (RFC 2525, 2.17). So a closed connection's channel stays
for a while (rules END-01, END-02). Apache and nginx call this a lingering close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..channel import Channel, ChannelSink

if TYPE_CHECKING:
    from ..backend import Backend

__all__ = ["AFTER_EMPTY", "LIMIT", "Lingering"]

LIMIT = 1024
"""How many channels linger at once; past that the oldest goes."""

AFTER_EMPTY = 30.0
"""Seconds that a channel lingers at most once the peer has acknowledged everything."""


class Lingering:
    """The channels of one backend that are closed and still drained."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._open: dict[_Lingerer, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, channel: Channel, timeout: float) -> None:
        """Drain *channel* until its end of stream, or *timeout* seconds without progress."""
        if len(self._open) >= LIMIT:
            next(iter(self._open)).done()
        lingerer = _Lingerer(self, self._backend, channel, timeout)
        self._open[lingerer] = None
        channel.start(lingerer)
        channel.resume_reading()

    def remove(self, lingerer: _Lingerer) -> None:
        """*lingerer* is done."""
        self._open.pop(lingerer, None)
        self._backend.check_quiet()

    def abort(self) -> None:
        """Wait for no peer any longer."""
        for lingerer in list(self._open):
            lingerer.done()


class _Lingerer(ChannelSink):
    """Discards one channel's input. Progress is input, or the kernel's send queue shrinking."""

    def __init__(
        self, lingering: Lingering, backend: Backend, channel: Channel, timeout: float
    ) -> None:
        self._lingering = lingering
        self._backend = backend
        self._channel = channel
        self._timeout = timeout
        self._progress = backend.time()
        self._unsent = channel.unsent()
        self._empty_since = None if self._unsent else self._progress
        self._timer = backend.call_later(self._pause(), self._look)

    def _pause(self) -> float:
        # The queue tells no moment at which it shrank, so it is looked at now and then.
        return min(self._timeout / 4, 1.0)

    def _look(self) -> None:
        now = self._backend.time()
        unsent = self._channel.unsent()
        if unsent < self._unsent:
            self._progress = now
        self._unsent = unsent
        if not unsent and self._empty_since is None:
            self._empty_since = now
        stalled = now - self._progress >= self._timeout
        expired = self._empty_since is not None and now - self._empty_since >= AFTER_EMPTY
        if stalled or expired:
            self.done()
        else:
            self._timer = self._backend.call_later(self._pause(), self._look)

    def done(self) -> None:
        """Release the channel."""
        self._timer.cancel()
        self._channel.close()
        self._lingering.remove(self)

    def received(self, data: bytes) -> None:
        self._progress = self._backend.time()

    def read_ended(self) -> None:
        self.done()

    def failed(self, error: Exception | None) -> None:
        self.done()

    def write_failed(self, error: Exception) -> None:
        self.done()

    def reader_gone(self, error: Exception) -> None:
        self.done()

    def writable(self) -> None:
        """Nothing is left to be written."""

    def write_ended(self) -> None:
        """It had ended before."""
