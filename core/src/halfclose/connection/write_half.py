"""Our half of a connection: what is written, the producer that writes it, and its end.

A write goes to the channel, and what the channel does not take waits in `Outgoing`. After the last
byte, and after the producer has unregistered, comes our end of stream (`WriteEnd`). Nothing here
calls the protocol: what it is to be told is left to the pump.
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
from .feeds import Consumer, Feed, Source, make_feed
from .outgoing import Outgoing
from .reporting import warn_of_dropped_bytes
from .write_end import WriteEnd

__all__ = ["WriteHalf"]


class WriteHalf(Ending, Consumer):
    """The verbs that write, and what the channel reports of what was written.

    Most connections have no producer, few keep bytes waiting, and hardly one drops any; so a plain
    write looks at one flag, `_write_through`, and hands its bytes to the channel.
    """

    __slots__ = (
        "_accepting",
        "_dropped",
        "_fed_by",
        "_feed",
        "_outgoing",
        "_write_end",
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
        self._write_end = _OPEN
        self._dropped = 0
        # The registered producer; None where there is none.
        self._feed: Feed | None = None
        # The connection that produces for this one, or did until its input ended (PRD-09).
        self._fed_by: weakref.ref[Source] | None = None
        # Both are computed by `Connection._update_fast_path`, and set nowhere else. Whether a
        # write is taken, were there no producer that may still write:
        self._accepting = False
        # Whether a write can go to the channel, and nothing else need be looked at:
        self._write_through = False

    # -- what a connection adds ----------------------------------------------------------------

    @abstractmethod
    def _has_input_to_tell(self) -> bool:
        """Whether input is still to be told before a failure is (FLU-09)."""

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
            data = bytes(data)
        if not data:
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
        """Write where there is more to it than to hand *data* to the channel."""
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
        """Bytes that were written and that the peer has not taken, as far as can be told."""
        return self._outgoing.size + self._channel.unsent()

    def _waits_for_producer(self) -> bool:
        """Whether the end of our half was asked for, and waits for a producer (PRD-03)."""
        return (
            self._feed is not None
            and self._write_end is WriteEnd.OPEN
            and self._life.state in ENDING_WRITE
        )

    def _drop(self, size: int) -> None:
        if not self._dropped:
            state = "failed" if self._write_end.failed else self._life.state.value
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
        # After a failed send an end of stream says nothing: not every byte went before it.
        if not self._write_end.failed:
            self._write_end = WriteEnd.SENT
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
        # PIP-04: our half is over and the other goes on; what was pending is lost, and told.
        if self._life.state in ENDED or self._write_end.sent:
            return
        if self._outgoing.size:
            self._write_end = self._write_end.after_failing()
            self._reason = lost(error)
            self._drop(self._outgoing.size)
        self._outgoing.clear()
        self._write_end = self._write_end.after_sending()
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
        """Something was sent: resume or ask the producer, or send the end of stream if due."""
        pending = self._outgoing.size
        if self._feed is not None:
            self._feed.sent(pending)
        if not pending:
            self._end_write_if_due()

    def _end_write_if_due(self) -> None:
        """FLU-01, PRD-03: the end of stream goes out after every byte, and after the producer."""
        if self._outgoing.size or self._write_end.failed:
            return
        if self._cut_off:
            self._finish_closed()
            return
        if self._feed is not None:
            # EVT-12: to a plain protocol the peer's end is told by connectionLost only.
            told_before_the_end = self._half_closeable or not self._peer_ended
            if self._feed.delays_end(told_before_the_end):
                return
        if self._life.state not in ENDING_WRITE:
            return
        if self._write_end is WriteEnd.OPEN:
            self._write_end = WriteEnd.SENDING
            try:
                if self._channel.end_write():
                    self._write_end = WriteEnd.SENT
            except OSError as error:
                # VRB-03, VRB-04: a reset shows here, and never raises out of a verb.
                self._send_failed(error)
                return
        if self._write_end.sent:
            self._schedule_end()

    def _schedule_end(self) -> None:
        """Our half has ended: that is the end of a close, and else is told in its turn."""
        if self._life.state is State.CLOSING:
            self._finish_closed()
        else:
            self._pump_soon()

    # -- failures ------------------------------------------------------------------------------

    def _send_failed(self, error: Exception) -> None:
        """A verb has found the connection lost, which is told when it has returned."""
        self._note_write_error(error)
        self._pump_soon()

    def _note_write_error(self, error: Exception) -> None:
        """Nothing can be sent any more: end, once the input that is still there was told."""
        if self._write_end.failed or self._life.state in ENDED:
            return
        self._write_end = self._write_end.after_failing()
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
            raise RuntimeError(
                f"cannot register {producer!r}: {self._feed.producer!r} is registered "
                f"on the connection with {self._peer}"
            )
        try:
            self._register(make_feed(producer, streaming, self, self._options))
        except BaseException as error:
            self._broke(error)

    def _register(self, feed: Feed) -> None:
        if not self._accepting:
            self._stop_soon(feed)
            return
        source = feed.source
        self._fed_by = None if source is None else weakref.ref(source)
        # PRD-09: one that will read no more is as good as unregistered.
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
        self._feed = None
        self._update_fast_path()
        self._end_write_if_due()

    # -- what its feed asks for (Consumer) -----------------------------------------------------

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
            # It waits for the rest, which will not come, and then it would end cleanly.
            self._feed = None
            self.cut_off()
            return
        try:
            self._unregister()
        except BaseException as error:
            self._broke(error)

    # -- the producer's end --------------------------------------------------------------------

    def _stop_soon(self, feed: Feed) -> None:
        """Stop *feed*, which is not registered, in the next turn; now where no turn is to come."""
        if self._backend.left:
            if not self._backend.call_though_left(feed.stop):
                feed.stop()
        else:
            # Also where the backend is left before the next turn: it calls nothing then.
            def stop() -> None:
                self._backend.forget_leaving(stop)
                feed.stop()

            self._backend.on_leaving(stop)
            self._backend.call_soon(stop)

    def _release_producer(self, reason: BaseException) -> None:
        """PRD-06, PRD-09: nobody takes what is produced for this connection any more."""
        feed, self._feed = self._feed, None
        fed_by, self._fed_by = self._fed_by, None
        source = None if fed_by is None else fed_by()
        if source is not None and not isinstance(reason, ConnectionDone):
            source.cut_off()
        elif feed is not None:
            feed.stop()


_OPEN = WriteEnd.OPEN
"""Looked up once: to ask an Enum for a member takes long, and every connection begins with it."""
