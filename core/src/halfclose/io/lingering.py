"""Closes without losing anything, by reading and discarding what the peer still sends.

If a socket is closed with unread input, its system sends a reset, and the peer's kernel then throws
away what the peer had not read of our reply (RFC 2525, 2.17). So the channel of a closed connection
stays open for a while and is read (rules END-01, END-02, END-07). Apache and nginx call this a
lingering close.

What a peer can cost us by that is bounded in four ways:

- *Time.* As long as the peer has not acknowledged all that we sent, any input of its own counts as
  progress, because it may have to send before it can read. After that only bulk input counts, and
  only for `AFTER_EMPTY`.
- *Bytes.* After the peer has acknowledged all, it may send ``linger_bytes``.
- *Processor time.* A peer that sends more than an honest one has to say is read slowly.
- *Descriptors.* If none is left, the channel that has lingered longest is closed.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque

from ..channel import Channel, ChannelHandler
from ..deadline import Deadline
from ..host import ClosedChannels, ConnectionHost
from ..loop import TimerHandle
from ..options import ConnectionOptions

__all__ = ["AFTER_EMPTY", "LIMIT", "LONGEST", "NO_DESCRIPTORS", "Lingering"]

LIMIT = 1024
"""How many channels linger at once; for one more, the oldest is closed."""

LONGEST = 300.0
"""Seconds until a channel is closed whatever the peer does, give or take a second."""

AFTER_EMPTY = 30.0
"""Seconds until a channel is closed whose peer has acknowledged all, give or take a second."""

BULK = 16 * 1024
"""Bytes of input that count as progress after the peer has acknowledged all."""

AT_SPEED = 64 << 20
"""Bytes that are read as fast as they come after the peer has acknowledged all."""

AT_SPEED_BEFORE = 1 << 30
"""Bytes that are read as fast as they come in all: the peer may have to send them first."""

RATE = 32 << 20
"""Bytes a second that are read of all channels together whose peers have sent more than that."""

_TURN = 1 / 64
"""Seconds between two turns in which the slow channels are read."""

_AT_ONCE = 8
"""How many slow channels are read in one turn."""

_SOON = 0.005
"""Seconds within which a framework closes a descriptor after it was told to."""

NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
"""Errors of a system call when no descriptor is left."""

_thread = threading.local()


def _oldest_first() -> dict[_Lingerer, None]:
    """All that linger in this thread, oldest first: several backends may share its loop."""
    if not hasattr(_thread, "everyone"):
        _thread.everyone = {}
    found: dict[_Lingerer, None] = _thread.everyone
    return found


class Lingering(ClosedChannels):
    """The channels of one backend that linger: closed for the program, and still read."""

    def __init__(self, backend: ConnectionHost) -> None:
        self._backend = backend
        self._open: dict[_Lingerer, None] = {}
        self._slow: deque[_Lingerer] = deque()
        self._due = 0.0
        self._timer: TimerHandle | None = None

    @property
    def _everyone(self) -> dict[_Lingerer, None]:
        # Asked for each time, since another thread may have made the backend than runs it.
        return _oldest_first()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, channel: Channel, options: ConnectionOptions) -> None:
        """Read and discard until the end of stream, or until a bound of END-07 is reached."""
        self._begin(_Lingerer(self, self._backend, channel, options))

    def reset(self, channel: Channel, options: ConnectionOptions) -> None:
        """Abort *channel* once its peer has acknowledged all, or a bound of END-07 is reached.

        A reset that is sent at once would overtake the bytes that are still under way (PRD-09).
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
        """Forget *lingerer*, which has released its channel."""
        self._open.pop(lingerer, None)
        self._everyone.pop(lingerer, None)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._slow.clear()
        self._backend.check_quiet()

    def abort(self) -> None:
        """Close every channel now."""
        for lingerer in list(self._open):
            lingerer.done()

    def disown(self) -> None:
        """Forget every channel, in a forked child: they belong to the parent (ERR-18)."""
        for lingerer in self._open:
            self._everyone.pop(lingerer, None)
        self._open.clear()
        self._slow.clear()

    def _oldest(self) -> _Lingerer:
        return next(iter(self._everyone))

    # -- descriptors ---------------------------------------------------------------------------

    def make_room(self, error: OSError) -> float | None:
        """Close the oldest channel of this thread if *error* says that no descriptor is left.

        :returns: seconds after which its descriptor is free; None if *error* is another one, or no
            channel lingers.
        """
        if error.errno not in NO_DESCRIPTORS or not self._everyone:
            return None
        return self._oldest().done()

    def keep_one_free(self) -> None:
        """Close the oldest channel if no descriptor is left for whoever needs one next.

        That may be a framework's listener or a file of the program, whose failure we never see.
        """
        if not self._backend.capabilities.descriptors:
            return
        try:
            os.close(os.dup(0))
        except OSError as error:
            self.make_room(error)

    def watch_descriptors(self, lingerer: _Lingerer) -> None:
        """Look now and then whether a descriptor is left. Every lingerer asks; one look is
        enough."""
        if self._everyone and self._oldest() is lingerer:
            # In the next turn, since this may close *lingerer*, whose deadline is calling now.
            self._backend.call_soon(self.keep_one_free)

    # -- the processor -------------------------------------------------------------------------

    def slow_down(self, lingerer: _Lingerer, size: int) -> None:
        """Have *lingerer*, which has read *size* bytes and paused, wait for its share of `RATE`."""
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


class _Lingerer(ChannelHandler):
    """Reads and discards one channel's input until the channel may be closed."""

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
        """Take the channel over from its connection, and read."""
        self._channel.start(self)
        self._channel.resume_reading()

    def _look(self) -> int:
        """Give up if it is time.

        :returns: how many bytes are not acknowledged, by which the deadline tells progress.
        """
        unsent = self._unsent()
        now = self._backend.time()
        # This has no timer of its own but comes with each look of the deadline, since ten thousand
        # channels may linger at once.
        if now - self._begun >= LONGEST or (
            self._empty_since is not None and now - self._empty_since >= AFTER_EMPTY
        ):
            self._backend.call_soon(self.done)
        self._lingering.watch_descriptors(self)
        return unsent

    def _unsent(self) -> int:
        """How many bytes the peer has not acknowledged. They only get fewer, so 0 is final."""
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
            # `abort` may still release what a failed `close` did not (ERR-13).
            self._channel.abort()
            raise

    def received(self, data: bytes) -> None:
        size = len(data)
        self._read += size
        if self._unsent():
            # The peer may be unable to read before it has sent everything (END-02).
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
        # A framework that reads on although it is paused would fill memory, so its channels are not
        # paused.
        if not at_speed and not self._done and self._channel.capabilities.bounds_input:
            self._channel.pause_reading()
            self._lingering.slow_down(self, size)

    def go_on(self) -> None:
        """Read again, after `Lingering.slow_down`."""
        if not self._done:
            try:
                self._channel.resume_reading()
            except OSError:
                self.done()

    def _end(self) -> None:
        # The caller may be a framework that would swallow a KeyboardInterrupt.
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
        """Does nothing: there is nothing to write."""

    def write_ended(self) -> None:
        """Does nothing: our half had ended before."""


_LOOK_AGAIN = 0.005
"""Seconds until the first look whether the peer has acknowledged all."""

_LOOK_AT_LAST = 0.25
"""Seconds between two later looks at most: the pause doubles until then."""


class _Resetter(_Lingerer):
    """Resets one channel after its peer has acknowledged all.

    No event tells when that is, so it looks again and again.
    """

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
        """Does nothing: a peer that has ended its half may still read."""
