"""The peer's half of a connection: input, its end, and failure; pausing, and so being a producer.

What the channel reports is told at once if it can be, and else kept in an `Inbox`, in order.
"""

from __future__ import annotations

from abc import abstractmethod
from contextvars import Context

from ..channel import Channel, ChannelHandler
from ..host import ConnectionHost
from ..lifecycle import ENDED, READ_CLOSED, READING, State
from ..options import ConnectionOptions
from .ending import lost
from .feeds import Consumer, Source
from .inbox import END_OF_STREAM, EndOfStream, Failure, Inbox
from .write_end import WriteEnd
from .write_half import WriteHalf

__all__ = ["ReadHalf"]


class ReadHalf(WriteHalf, Source, ChannelHandler):
    """What the channel reports, and the verbs that pause it.

    These verbs are also what makes a transport a producer for another one (PRD-09).
    """

    __slots__ = ("_consumers", "_deliver_at_once", "_inbox", "_paused")

    def __init__(
        self,
        backend: ConnectionHost,
        channel: Channel,
        options: ConnectionOptions,
        context: Context | None,
    ) -> None:
        super().__init__(backend, channel, options, context)
        # Input that is still to be told; None until there is any.
        self._inbox: Inbox | None = None
        self._paused = False
        # Those for which this connection is the producer.
        self._consumers: tuple[Consumer, ...] = ()
        # Whether data that comes now can be told now. Computed by `Connection._update_fast_path`,
        # and set nowhere else.
        self._deliver_at_once = False

    # -- what a connection adds ----------------------------------------------------------------

    @abstractmethod
    def _deliver_read_ended(self) -> None:
        """Tell the peer's end of stream, and do what follows from it."""

    # -- the channel tells ---------------------------------------------------------------------
    # What it says of our own half is in `WriteHalf`.

    def received(self, data: bytes) -> None:
        if self._deadline is not None and self._life.state is not State.CLOSING:
            self._touch()
        if self._deliver_at_once and not self._delivering:
            self._delivering = True
            try:
                self._context.run(self._protocol.dataReceived, data)
            except BaseException as error:
                self._raised("dataReceived", error)
            finally:
                self._delivering = False
            if self._pump_due:
                self._pump()
        elif self._life.state in READING:
            self._keep(data)
            self._pump_due = True

    def read_ended(self) -> None:
        self._peer_ended = True
        if self._deliver_at_once and not self._delivering:
            self._delivering = True
            try:
                self._deliver_read_ended()
            except BaseException as error:
                self._delivering = False
                self._broke(error)
            finally:
                self._delivering = False
            self._pump()
        elif self._life.state in READING:
            self._keep(END_OF_STREAM)
            self._pump_due = True

    def failed(self, error: Exception | None) -> None:
        self._peer_ended = True
        if self._life.state not in ENDED and not self._both_halves_ended():
            if self._reason is None:
                self._reason = lost(error)
            self._keep(Failure(self._reason))
        self._pump()

    def _both_halves_ended(self) -> bool:
        """Whether both halves had ended, and only the peer's end is still to be told (EVT-05)."""
        if self._write_end is not WriteEnd.SENT:
            return False
        return self._inbox is not None and self._inbox.has_end_of_stream

    def _keep(self, item: bytes | EndOfStream | Failure) -> None:
        """Put *item* into the inbox, until it can be told."""
        if self._inbox is None:
            self._inbox = Inbox()
        self._inbox.append(item)
        self._update_fast_path()

    def _has_input_to_tell(self) -> bool:
        if self._inbox:
            return True
        if self._peer_ended:
            return False
        return self._channel.has_input()

    # -- reading, and so being a producer ------------------------------------------------------

    def pauseProducing(self) -> None:
        if self._paused or self._life.state not in READING:
            return
        self._paused = True
        try:
            self._update_fast_path()
            if not self._peer_ended:
                self._channel.pause_reading()
        except BaseException as error:
            self._broke(error)

    def resumeProducing(self) -> None:
        if self._life.state in READ_CLOSED:
            # FLU-11: there is nothing to read, and so nothing else that would tell of a reset.
            try:
                reset = self._channel.look_for_error()
                if reset is not None:
                    self._note_write_error(reset)
            except BaseException as error:
                self._broke(error)
            return
        if not self._paused or self._life.state not in READING:
            return
        self._paused = False
        try:
            self._update_fast_path()
            if self._inbox:
                self._pump_soon()
            if not self._peer_ended:
                self._channel.resume_reading()
        except BaseException as error:
            self._broke(error)

    def stopProducing(self) -> None:
        self.loseConnection()

    @property
    def is_reading(self) -> bool:
        return self._life.state in READING

    def add_consumer(self, consumer: Consumer) -> None:
        self._consumers = (*self._consumers, consumer)

    def remove_consumer(self, consumer: Consumer) -> None:
        self._consumers = tuple(each for each in self._consumers if each is not consumer)

    def _release_consumers(self, *, broken: bool) -> None:
        """PRD-09: whom this connection produced for waits for it no longer.

        :param broken: it has not given all that it had to give.
        """
        consumers, self._consumers = self._consumers, ()
        for consumer in consumers:
            consumer.source_ended(self, broken=broken)
