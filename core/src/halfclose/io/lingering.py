"""Closing without losing anything: read and discard what the peer still sends.

A socket that is closed with unread input answers with a reset, and the peer's kernel then throws
away what it had not read of our reply (RFC 2525, 2.17). So a closed connection's channel stays
for a while (rules END-01, END-02). Apache and nginx call this a lingering close.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..channel import Channel, ChannelSink
from ..deadline import Deadline

if TYPE_CHECKING:
    from ..backend import Backend, TimerHandle

__all__ = ["AFTER_EMPTY", "LIMIT", "Lingering"]

LIMIT = 1024
"""How many channels linger at once; past that the oldest goes."""

AFTER_EMPTY = 30.0
"""Seconds that a channel lingers, and at most a second more, once the peer has acknowledged all."""


_thread = threading.local()


def _oldest_first() -> dict[_Lingerer, None]:
    """All that linger in this thread: several backends can share its loop, and its descriptors."""
    if not hasattr(_thread, "everyone"):
        _thread.everyone = {}
    found: dict[_Lingerer, None] = _thread.everyone
    return found


class Lingering:
    """The channels of one backend that are closed and still drained."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._open: dict[_Lingerer, None] = {}
        self._everyone = _oldest_first()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, channel: Channel, timeout: float) -> None:
        """Drain *channel* until its end of stream, or *timeout* seconds without progress."""
        self._begin(_Lingerer(self, self._backend, channel, timeout))

    def _begin(self, lingerer: _Lingerer) -> None:
        while len(self._everyone) >= LIMIT:
            next(iter(self._everyone)).done()
        self._open[lingerer] = self._everyone[lingerer] = None
        try:
            lingerer.begin()
        except BaseException:
            lingerer.done()
            raise

    def reset(self, channel: Channel, timeout: float) -> None:
        """Abort *channel* once its peer has acknowledged all, or after *timeout* seconds without
        progress: sent at once, a reset would overtake what is under way."""
        if not (channel.capabilities.drains and timeout > 0 and channel.unsent()):
            channel.abort()
            return
        self._begin(_Resetter(self, self._backend, channel, timeout))

    def remove(self, lingerer: _Lingerer) -> None:
        """*lingerer* is done."""
        self._open.pop(lingerer, None)
        self._everyone.pop(lingerer, None)
        self._backend.check_quiet()

    def abort(self) -> None:
        """Wait for no peer any longer."""
        for lingerer in list(self._open):
            lingerer.done()


class _Lingerer(ChannelSink):
    """Discards one channel's input. Progress is that input, or a shrinking send queue."""

    __slots__ = ("__weakref__", "_backend", "_channel", "_deadline", "_empty_since", "_lingering")

    def __init__(
        self, lingering: Lingering, backend: Backend, channel: Channel, timeout: float
    ) -> None:
        self._lingering = lingering
        self._backend = backend
        self._channel = channel
        self._empty_since: float | None = None
        self._deadline = Deadline(backend, timeout, self.done, self._unsent)

    def begin(self) -> None:
        """Read and discard from now on."""
        self._channel.start(self)
        self._channel.resume_reading()

    def _unsent(self) -> int:
        unsent = self._channel.unsent()
        if not unsent:
            # Looked at whenever the deadline looks, since ten thousand may be closed at once.
            now = self._backend.time()
            if self._empty_since is None:
                self._empty_since = now
            elif now - self._empty_since >= AFTER_EMPTY:
                self._backend.call_soon(self.done)
        return unsent

    def done(self) -> None:
        """Release the channel. Idempotent."""
        self._deadline.cancel()
        self._channel.close()
        self._lingering.remove(self)

    def received(self, data: bytes) -> None:
        self._deadline.touch()

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


_LOOK_AGAIN = 0.005
"""Seconds after which it is looked whether the peer has acknowledged all, at first."""

_LOOK_AT_LAST = 0.25
"""Seconds between two looks at most; each time it is twice as long."""


class _Resetter(_Lingerer):
    """Resets one channel, once its peer has acknowledged all. Nothing tells when that is."""

    __slots__ = ("_pause", "_timer")

    def begin(self) -> None:
        self._pause = _LOOK_AGAIN
        self._timer: TimerHandle | None = None
        self._timer = self._backend.call_later(self._pause, self._look)
        super().begin()

    def _look(self) -> None:
        if not self._channel.unsent():
            self.done()
            return
        self._pause = min(2 * self._pause, _LOOK_AT_LAST)
        self._timer = self._backend.call_later(self._pause, self._look)

    def done(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._channel.abort()
        super().done()
