"""`ReadHalf`: the peer's half of a connection, which is input, its end, failures, and pausing.

What the channel reports is delivered at once if possible. Otherwise it is kept in an `Inbox`, in
order.
"""

from __future__ import annotations

from abc import abstractmethod
from contextvars import Context

from ..channel import Channel, ChannelHandler
from ..host import ConnectionHost
from ..lifecycle import ENDED, READ_CLOSED, READING, State
from ..options import ConnectionOptions
from .ending import lost
from .inbox import END_OF_STREAM, EndOfStream, Failure, Inbox
from .producers import Consumer, Source
from .write_eof import WriteEOF
from .write_half import WriteHalf

__all__ = ["ReadHalf"]


class ReadHalf(WriteHalf, Source, ChannelHandler):
    """What the channel reports about input, and the verbs that pause it.

    These verbs also make a transport a producer for another transport (PRD-09).
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
        # Input that is still to be delivered. None until there is some.
        self._inbox: Inbox | None = None
        self._paused = False
        # The connections for which this one is the producer.
        self._consumers: tuple[Consumer, ...] = ()
        # Whether data can be delivered as it comes, if no event is being delivered. Only
        # `Connection._update_fast_path` sets it.
        self._deliver_at_once = False

    # -- what a connection adds ----------------------------------------------------------------

    @abstractmethod
    def _deliver_read_ended(self) -> None:
        """Tell the protocol that the peer has ended its half, and do what follows from that."""

    # -- the channel tells ---------------------------------------------------------------------
    # What it reports about our half is in `WriteHalf`.

    def received(self, data: bytes) -> None:
        if self._deadline is not None and self._life.state is not State.CLOSING:
            # Input is progress on a half-closed connection. A close waits only for our own bytes.
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
            # A failed send may have set the reason before; the first error counts.
            if self._reason is None:
                self._reason = lost(error)
            self._keep(Failure(self._reason))
        self._pump()

    def _both_halves_ended(self) -> bool:
        """Whether both halves have ended, and only the peer's end is still to be delivered.

        A failure changes nothing then: the connection has ended cleanly (EVT-05).
        """
        if self._write_eof is not WriteEOF.SENT:
            return False
        return self._inbox is not None and self._inbox.has_end_of_stream

    def _keep(self, item: bytes | EndOfStream | Failure) -> None:
        """Put *item* into the inbox until it can be delivered."""
        if self._inbox is None:
            self._inbox = Inbox()
        self._inbox.append(item)
        self._update_fast_path()

    def _has_input_to_tell(self) -> bool:
        if self._inbox:
            return True
        if self._peer_ended:
            # The channel has reported everything already.
            return False
        return self._channel.has_input()

    # -- the verbs that pause ------------------------------------------------------------------

    def pauseProducing(self) -> None:
        if self._paused or self._life.state not in READING:
            return
        # Also inside dataReceived: input that comes now is kept (FLU-08).
        self._paused = True
        try:
            self._update_fast_path()
            if not self._peer_ended:
                # Input stays in the kernel, so that it takes no memory here (FLU-10).
                self._channel.pause_reading()
        except BaseException as error:
            self._broke(error)

    def resumeProducing(self) -> None:
        if self._life.state in READ_CLOSED:
            # FLU-11: nothing is read any more, so no read would report a reset.
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
        """Tell the connections for which this one produced that it has ended (PRD-09).

        :param broken: a part of the input is missing.
        """
        consumers, self._consumers = self._consumers, ()
        for consumer in consumers:
            consumer.source_ended(self, broken=broken)
