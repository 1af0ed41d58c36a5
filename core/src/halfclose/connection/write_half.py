"""`WriteHalf`: our half of a connection, which is writing, the producer, and our end of stream.

A write goes to the channel, and bytes that the channel does not take wait in `Outgoing`. After the
last byte, and after the producer has unregistered, our end of stream follows (`WriteEOF`). Nothing
here calls the protocol; its events are left to the pump.
"""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterable
from contextvars import Context

from ..channel import Channel
from ..host import ConnectionHost
from ..interfaces import Producer, PushProducer
from ..lifecycle import ENDED, ENDING_WRITE, READING, State
from ..options import ConnectionOptions
from ..reasons import ConnectionDone
from .ending import FATAL, Ending, lost
from .outgoing import Outgoing
from .producers import Consumer, Feed, Source, make_feed
from .reporting import warn_of_dropped_bytes
from .write_eof import WriteEOF

__all__ = ["WriteHalf"]


class WriteHalf(Ending, Consumer):
    """The verbs that write, and what the channel reports about it.

    Most writes meet no producer and no bytes that wait. Such a write looks at one flag,
    `_write_through`, and hands its bytes to the channel.
    """

    __slots__ = (
        "_accepting",
        "_dropped",
        "_fed_by",
        "_feed",
        "_outgoing",
        "_write_eof",
        "_write_through",
    )

    def __init__(
        self,
        backend: ConnectionHost,
        channel: Channel,
        options: ConnectionOptions,
        context: Context | None,
    ) -> None:
        super().__init__(backend, channel, options, context)
        self._outgoing = Outgoing(channel)
        self._write_eof = _OPEN
        self._dropped = 0
        # The registered producer, if any.
        self._feed: Feed | None = None
        # The connection that produces for this one, or did until its input ended (PRD-09).
        self._fed_by: weakref.ref[Source] | None = None
        # Only `Connection._update_fast_path` sets the next two. The first is whether a write is
        # taken because our half is open; a registered producer may write for longer than that.
        self._accepting = False
        # Whether a write can go to the channel without a look at anything else.
        self._write_through = False

    # -- what a connection adds ----------------------------------------------------------------

    @abstractmethod
    def _has_input_to_tell(self) -> bool:
        """Whether there is input to be delivered before a failure is (FLU-09)."""

    @abstractmethod
    def cut_off(self) -> None:
        """See `Source.cut_off`."""

    # -- writing -------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(
                    f"write takes bytes, bytearray or memoryview, not {type(data).__name__}"
                )
            # A copy, because the caller may change its buffer at once (VRB-07).
            data = bytes(data)
        if not data:
            # A framework might take an empty write for an end of stream (VRB-06).
            return
        if not self._write_through:
            self._write(data)
            return
        try:
            taken = self._channel.write(data)
            if taken < len(data):
                self._outgoing.keep(data, taken)
                self._update_fast_path()
        except OSError as error:
            self._send_failed(error)
        except BaseException as error:
            self._broke(error)

    def _write(self, data: bytes) -> None:
        """Write *data* off the fast path: drop it, queue it, or tell a producer or a deadline."""
        if not self._accepting and not self._waits_for_producer():
            self._drop(len(data))
            if self._feed is not None:
                self._feed.dropped()
            return
        outgoing = self._outgoing
        try:
            taken = outgoing.write(data)
            if taken and self._deadline is not None:
                self._deadline.touch()
            if self._feed is not None:
                self._feed.written(outgoing.size)
        except OSError as error:
            if self._feed is not None:
                self._feed.dropped()
            self._send_failed(error)
        except BaseException as error:
            self._broke(error)

    def writeSequence(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        pieces = []
        for piece in data:
            if not isinstance(piece, (bytes, bytearray, memoryview)):
                raise TypeError(
                    f"writeSequence takes bytes, bytearray or memoryview, "
                    f"not {type(piece).__name__}"
                )
            pieces.append(bytes(piece))
        self.write(b"".join(pieces))

    @property
    def droppedBytes(self) -> int:
        return self._dropped

    def waiting(self) -> int:
        """How many written bytes the peer has not acknowledged, as far as is known."""
        return self._outgoing.size + self._channel.unsent()

    def _waits_for_producer(self) -> bool:
        """Whether our end of stream is delayed until the producer unregisters (PRD-03)."""
        return (
            self._feed is not None
            and self._write_eof is WriteEOF.OPEN
            and self._life.state in ENDING_WRITE
        )

    def _drop(self, size: int) -> None:
        """Count *size* bytes as dropped, and log a warning if they are the first (VRB-05)."""
        if not self._dropped:
            state = "failed" if self._write_eof.failed else self._life.state.value
            warn_of_dropped_bytes(size, state, self.protocol, self._peer)
        self._dropped += size

    # -- the channel tells ---------------------------------------------------------------------

    def writable(self) -> None:
        try:
            moved = self._outgoing.flush()
            if moved and self._deadline is not None:
                self._touch()
            self._after_sending()
            self._update_fast_path()
        except OSError as error:
            self.write_failed(error)
            return
        except BaseException as error:
            self._broke(error)
        self._pump()

    def write_ended(self) -> None:
        # After a failed send bytes are missing before the end of stream, so it does not count.
        if not self._write_eof.failed:
            self._write_eof = WriteEOF.SENT
            try:
                self._schedule_end()
            except BaseException as error:
                self._broke(error)
        self._pump()

    def write_failed(self, error: Exception) -> None:
        try:
            self._note_write_error(error)
        except BaseException as another:
            self._broke(another)
        self._pump()

    def reader_gone(self, error: Exception) -> None:
        # PIP-04: our half is over, and the other half goes on. If bytes were pending, they are
        # lost, and connectionLost will say so.
        if self._life.state in ENDED or self._write_eof.sent:
            return
        if self._outgoing.size:
            self._write_eof = self._write_eof.after_failing()
            self._reason = lost(error)
            self._drop(self._outgoing.size)
        self._outgoing.clear()
        self._write_eof = self._write_eof.after_sending()
        feed, self._feed = self._feed, None
        try:
            self._update_fast_path()
            if feed is not None:
                self._stop_soon(feed)
            self._schedule_end()
        except BaseException as another:
            self._broke(another)
        self._pump()

    # -- our end of stream ---------------------------------------------------------------------

    def _after_sending(self) -> None:
        """Do what is due after bytes were sent: tell the producer, and send our end of stream."""
        pending = self._outgoing.size
        if self._feed is not None:
            self._feed.sent(pending)
        if not pending:
            self._end_write_if_due()

    def _end_write_if_due(self) -> None:
        """Send our end of stream, if it was asked for and nothing has to go out before it.

        It goes out after every byte (FLU-01, FLU-02, FLU-04) and after the producer has
        unregistered (PRD-03, PRD-04).
        """
        if self._outgoing.size or self._write_eof.failed:
            return
        if self._cut_off:
            self._finish_closed()
            return
        if self._feed is not None:
            # EVT-12: a protocol that is not half-closeable hears of the peer's end of stream only
            # by connectionLost.
            told_before_the_end = self._half_closeable or not self._peer_ended
            if self._feed.delays_end(told_before_the_end):
                return
        if self._life.state not in ENDING_WRITE:
            return
        if self._write_eof is WriteEOF.OPEN:
            self._write_eof = WriteEOF.SENDING
            try:
                if self._channel.end_write():
                    self._write_eof = WriteEOF.SENT
            except OSError as error:
                # The peer has reset the connection. No verb raises that (VRB-03, VRB-04).
                self._send_failed(error)
                return
        if self._write_eof.sent:
            self._schedule_end()

    def _schedule_end(self) -> None:
        """Finish the close if this is one, else have the end of our half delivered as an event."""
        if self._life.state is State.CLOSING:
            self._finish_closed()
        else:
            self._pump_soon()

    # -- failures ------------------------------------------------------------------------------

    def _send_failed(self, error: Exception) -> None:
        """Note that a send inside a verb has failed. The protocol is told after the verb."""
        self._note_write_error(error)
        self._pump_soon()

    def _note_write_error(self, error: Exception) -> None:
        """Note that nothing can be sent any more, and end as soon as all input was delivered.

        Our end of stream is not delivered as an event after that (ERR-07), unless it had gone out
        before.
        """
        if self._write_eof.failed or self._life.state in ENDED:
            return
        self._write_eof = self._write_eof.after_failing()
        self._reason = lost(error)
        self._outgoing.clear()
        self._update_fast_path()
        if self._life.state not in READING or not self._has_input_to_tell():
            self._finish(lost(error), abort=True)
        elif self._feed is not None:
            self._feed.dismiss()

    # -- the producer's verbs ------------------------------------------------------------------

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        if self._feed is not None:
            # PRD-07: the first producer stays.
            raise RuntimeError(
                f"cannot register {producer!r}: {self._feed.producer!r} is registered "
                f"on the connection with {self._peer}"
            )
        try:
            self._register(make_feed(producer, streaming, self, self._options))
        except BaseException as error:
            self._broke(error)

    def _register(self, feed: Feed) -> None:
        """Begin with *feed*, or stop it if nothing can be written any more (PRD-05)."""
        if not self._accepting:
            self._stop_soon(feed)
            return
        source = feed.source
        self._fed_by = None if source is None else weakref.ref(source)
        # PRD-09: a connection that has ended reading has nothing to produce, and is not registered.
        if source is None or source.is_reading:
            self._feed = feed
            self._update_fast_path()
            feed.begin(self._outgoing.size)

    def unregisterProducer(self) -> None:
        feed = self._feed
        if feed is None:
            return
        try:
            feed.unregistered()
            self._fed_by = None
            self._unregister()
        except BaseException as error:
            self._broke(error)

    def _unregister(self) -> None:
        """Be without a producer, and send our end of stream if only the producer delayed it."""
        self._feed = None
        self._update_fast_path()
        self._end_write_if_due()

    # -- what the feed calls (see `Consumer`) --------------------------------------------------

    def pause_producer(self, producer: PushProducer) -> None:
        try:
            self._call_inside_verb(producer.pauseProducing)
        except BaseException as error:
            self._raised("pauseProducing", error)
            self._pump_soon()

    def resume_producer(self, producer: Producer) -> None:
        self._call("resumeProducing", producer.resumeProducing)

    def ask_producer(self, feed: Feed) -> None:
        if self._feed is not feed or self._outgoing.size or self._life.state in ENDED:
            return
        self._delivering = True
        try:
            self._call("resumeProducing", feed.producer.resumeProducing)
        finally:
            self._delivering = False
        self._pump()

    def stop_producer(self, producer: Producer) -> None:
        try:
            self._call_inside_verb(producer.stopProducing)
        except FATAL as error:
            self._backend.fatal(error)
        except BaseException as error:
            self._backend.check_process(error)
            self._report_callback("stopProducing", error)

    def call_soon(self, function: Callable[[], object]) -> None:
        self._backend.call_soon(function)

    def deliver_soon(self) -> None:
        self._pump_soon()

    def stop_registered(self, feed: Feed) -> None:
        if self._feed is feed:
            try:
                feed.stop()
                self._unregister()
            except BaseException as error:
                self._broke(error)

    def source_ended(self, source: Source, *, broken: bool) -> None:
        if self._feed is None or self._feed.source is not source:
            return
        if broken and self._life.state in ENDING_WRITE:
            # This connection would end cleanly now, although the rest of its output is missing.
            self._feed = None
            self.cut_off()
            return
        try:
            self._unregister()
        except BaseException as error:
            self._broke(error)

    # -- the producer's end --------------------------------------------------------------------

    def _stop_soon(self, feed: Feed) -> None:
        """Stop *feed*, which is not registered, in the next turn; at once if there is none."""
        if self._backend.left:
            if not self._backend.call_though_left(feed.stop):
                feed.stop()
        else:
            # Registered twice: if the backend is left before the next turn, `call_soon` calls
            # nothing, and `on_leaving` does.
            def stop() -> None:
                self._backend.forget_leaving(stop)
                feed.stop()

            self._backend.on_leaving(stop)
            self._backend.call_soon(stop)

    def _release_producer(self, reason: BaseException) -> None:
        """Stop the producer, because the connection is over (PRD-06).

        A producer that is a connection is cut off instead if this end is not a clean one (PRD-09).
        """
        feed, self._feed = self._feed, None
        fed_by, self._fed_by = self._fed_by, None
        source = None if fed_by is None else fed_by()
        if source is not None and not isinstance(reason, ConnectionDone):
            source.cut_off()
        elif feed is not None:
            feed.stop()


_OPEN = WriteEOF.OPEN
"""Looked up once, because access to a member of an Enum is slow, and each connection needs it."""
