"""Closing without losing anything: read and discard what the peer still sends.

A socket that is closed with unread input answers with a reset, and the peer's kernel then throws
away what it had not read of our reply (RFC 2525, 2.17). So a closed connection's channel stays
for a while (rules END-01, END-02, END-07). Apache and nginx call this a lingering close.

What a peer can cost us by it is bounded, in four ways. *Time*: input is progress for as long as
the peer has not acknowledged all of ours, since it may have to send before it can read; after that
only input in bulk is, and not for long. *Bytes*, after that. *The processor*: what is more than an
honest peer has to say is read slowly. *Descriptors*: where none is left, the oldest channel goes.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque

from ..channel import Channel, ChannelSink
from ..deadline import Deadline
from ..host import ClosedChannels, ConnectionHost
from ..loop import TimerHandle
from ..options import ConnectionOptions

__all__ = ["AFTER_EMPTY", "LIMIT", "LONGEST", "NO_DESCRIPTORS", "Lingering"]

LIMIT = 1024
"""How many channels linger at once; past that the oldest goes."""

LONGEST = 300.0
"""Seconds that a channel lingers, and at most a second more, whatever the peer does."""

AFTER_EMPTY = 30.0
"""Seconds that a channel lingers, and at most a second more, once the peer has acknowledged all."""

BULK = 16 * 1024
"""Bytes of input that are progress although the peer has acknowledged all."""

AT_SPEED = 64 << 20
"""Bytes that are read as fast as they come once the peer has acknowledged all."""

AT_SPEED_BEFORE = 1 << 30
"""Bytes that are read as fast as they come before that: the peer may have to send them first."""

RATE = 32 << 20
"""Bytes a second that all channels together are read at which have sent more than that."""

_TURN = 1 / 64
"""Seconds between two looks at who is read slowly."""

_AT_ONCE = 8
"""How many of those are read in one turn."""

_SOON = 0.005
"""Seconds in which a framework has released a descriptor that it was told to close."""

NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
"""What a call fails with where no descriptor is left."""

_thread = threading.local()


def _oldest_first() -> dict[_Lingerer, None]:
    """All that linger in this thread: several backends can share its loop, and its descriptors."""
    if not hasattr(_thread, "everyone"):
        _thread.everyone = {}
    found: dict[_Lingerer, None] = _thread.everyone
    return found


class Lingering(ClosedChannels):
    """The channels of one backend that are closed and still drained."""

    def __init__(self, backend: ConnectionHost) -> None:
        self._backend = backend
        self._open: dict[_Lingerer, None] = {}
        self._slow: deque[_Lingerer] = deque()
        self._due = 0.0
        self._timer: TimerHandle | None = None

    @property
    def _everyone(self) -> dict[_Lingerer, None]:
        # Of the thread that runs it, which need not be the one that has made it.
        return _oldest_first()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, channel: Channel, options: ConnectionOptions) -> None:
        """Drain *channel* until its end of stream, or until its peer has cost enough."""
        self._begin(_Lingerer(self, self._backend, channel, options))

    def reset(self, channel: Channel, options: ConnectionOptions) -> None:
        """Abort *channel* once its peer has acknowledged all, or once it has cost enough.

        Sent at once, a reset would overtake what is under way.
        """
        drains = channel.capabilities.drains and options.linger_timeout > 0
        if drains and channel.unsent():
            self._begin(_Resetter(self, self._backend, channel, options))
        else:
            channel.abort()

    def _begin(self, lingerer: _Lingerer) -> None:
        while len(self._everyone) >= LIMIT:
            self._oldest().done()
        self._open[lingerer] = self._everyone[lingerer] = None
        try:
            lingerer.begin()
        except OSError:
            # The system has no room to watch one more (ENOSPC, ENOMEM).
            lingerer.done()
        except BaseException:
            lingerer.done()
            raise
        self.keep_one_free()

    def remove(self, lingerer: _Lingerer) -> None:
        """*lingerer* is done."""
        self._open.pop(lingerer, None)
        self._everyone.pop(lingerer, None)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._slow.clear()
        self._backend.check_quiet()

    def abort(self) -> None:
        """Wait for no peer any longer."""
        for lingerer in list(self._open):
            lingerer.done()

    def disown(self) -> None:
        """In a forked child: they are the parent's, and no backend here makes room by them."""
        for lingerer in self._open:
            self._everyone.pop(lingerer, None)
        self._open.clear()
        self._slow.clear()

    def _oldest(self) -> _Lingerer:
        return next(iter(self._everyone))

    # -- descriptors ---------------------------------------------------------------------------

    def make_room(self, error: OSError) -> float | None:
        """Let the oldest channel in this thread go, if *error* says that no descriptor is left.

        :returns: seconds after which its descriptor is free; None: it was another error, or none
            lingers.
        """
        if error.errno not in NO_DESCRIPTORS or not self._everyone:
            return None
        return self._oldest().done()

    def keep_one_free(self) -> None:
        """Leave a descriptor to whoever needs one next, also where we would not hear of it."""
        if not self._backend.capabilities.descriptors:
            return
        try:
            os.close(os.dup(0))
        except OSError as error:
            self.make_room(error)

    def watch_descriptors(self, lingerer: _Lingerer) -> None:
        """Called by every *lingerer* now and then, of which one will do."""
        if self._everyone and self._oldest() is lingerer:
            # Not now: it may be the one to go, and its deadline is being looked at.
            self._backend.call_soon(self.keep_one_free)

    # -- the processor -------------------------------------------------------------------------

    def slow_down(self, lingerer: _Lingerer, size: int) -> None:
        """*lingerer* has read *size* bytes, and goes on when they and those of others are paid."""
        now = self._backend.time()
        self._due = max(self._due, now) + size / RATE
        self._slow.append(lingerer)
        if self._timer is None:
            self._timer = self._backend.call_later(self._due - now, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        pause = self._due - self._backend.time()
        if pause <= 0:
            for _ in range(min(_AT_ONCE, len(self._slow))):
                self._slow.popleft().go_on()
            pause = _TURN
        if self._slow:
            self._timer = self._backend.call_later(pause, self._go_on)


class _Lingerer(ChannelSink):
    """Discards one channel's input."""

    __slots__ = (
        "__weakref__",
        "_after_empty",
        "_backend",
        "_begun",
        "_bulk",
        "_channel",
        "_deadline",
        "_done",
        "_empty_since",
        "_lingering",
        "_most",
        "_read",
    )

    def __init__(
        self,
        lingering: Lingering,
        backend: ConnectionHost,
        channel: Channel,
        options: ConnectionOptions,
    ) -> None:
        self._lingering = lingering
        self._backend = backend
        self._channel = channel
        self._most = options.linger_bytes
        self._begun = backend.time()
        self._empty_since: float | None = None
        self._after_empty = 0
        self._bulk = 0
        self._read = 0
        self._done = False
        self._deadline = Deadline(backend, options.linger_timeout, self.done, self._look)

    def begin(self) -> None:
        """Read and discard from now on."""
        self._channel.start(self)
        self._channel.resume_reading()

    def _look(self) -> int:
        """Whether it is time to give up; the length of the send queue."""
        unsent = self._unsent()
        now = self._backend.time()
        # Looked at whenever the deadline looks, since ten thousand may be closed at once.
        if now - self._begun >= LONGEST or (
            self._empty_since is not None and now - self._empty_since >= AFTER_EMPTY
        ):
            self._backend.call_soon(self.done)
        self._lingering.watch_descriptors(self)
        return unsent

    def _unsent(self) -> int:
        """Bytes that the peer has not acknowledged: nothing is added to them any more."""
        if self._empty_since is not None:
            return 0
        unsent = self._channel.unsent()
        if not unsent:
            self._empty_since = self._backend.time()
        return unsent

    def done(self) -> float:
        """Release the channel. Idempotent.

        :returns: seconds after which its descriptor is free.
        """
        if not self._done:
            self._done = True
            try:
                self._deadline.cancel()
            finally:
                try:
                    self._release()
                finally:
                    self._lingering.remove(self)
        return _SOON if self._backend.holds_channel(self._channel) else 0.0

    def _release(self) -> None:
        try:
            self._channel.close()
        except BaseException:
            # The other way may still release what the one left (ERR-13).
            self._channel.abort()
            raise

    def received(self, data: bytes) -> None:
        size = len(data)
        self._read += size
        if self._unsent():
            # END-02: it may be unable to read before it has sent everything.
            self._deadline.touch()
            at_speed = self._read <= AT_SPEED_BEFORE
        else:
            self._after_empty += size
            if self._after_empty > self._most:
                self.done()
                return
            self._bulk += size
            if self._bulk >= BULK:
                self._bulk = 0
                self._deadline.touch()
            at_speed = self._after_empty <= AT_SPEED and self._read <= AT_SPEED_BEFORE
        # A framework that may read on although it is paused would fill memory meanwhile.
        if not at_speed and not self._done and self._channel.capabilities.bounds_input:
            self._channel.pause_reading()
            self._lingering.slow_down(self, size)

    def go_on(self) -> None:
        """Read on."""
        if not self._done:
            try:
                self._channel.resume_reading()
            except OSError:
                self.done()

    def _end(self) -> None:
        # Whoever calls may be a framework that keeps a KeyboardInterrupt to itself.
        self._backend.guarded(self.done)

    def read_ended(self) -> None:
        self._end()

    def failed(self, error: Exception | None) -> None:
        self._end()

    def write_failed(self, error: Exception) -> None:
        self._end()

    def reader_gone(self, error: Exception) -> None:
        self._end()

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
        self._timer = self._backend.call_later(self._pause, self._look_again)
        super().begin()

    def _look_again(self) -> None:
        if not self._unsent():
            self.done()
            return
        self._pause = min(2 * self._pause, _LOOK_AT_LAST)
        self._timer = self._backend.call_later(self._pause, self._look_again)

    def _release(self) -> None:
        try:
            if self._timer is not None:
                self._timer.cancel()
        finally:
            try:
                self._channel.abort()
            finally:
                super()._release()

    def read_ended(self) -> None:
        """It may still read."""
