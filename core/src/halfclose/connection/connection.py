"""One protocol and one channel, held to the contract.

Theory of operation
===================

A connection is two machines. They do not move at the same time, and the contract is mostly about
the distance between them.

*What the wire said.* The channel reports what has happened below: bytes came, the peer's end of
stream came, our own is with the kernel, a send failed, all is lost. Each report is noted at once:
input in the inbox, a failure in `_reason`, how far our end of stream has come in `WriteEnd`, what
the channel did not take in `Outgoing`.

*What the protocol was told.* This machine is the table in `lifecycle.py`, and `transport.state` is
its state. It moves when an event is delivered, or when the protocol calls a verb that ends
something; never when the channel reports. So a protocol whose reading is paused finds the state
OPEN although the peer has ended, and after `loseConnection` the table has no move left that could
deliver anything but `connectionLost`.

*The pump* goes from the one to the other. It delivers the next event that is due (`_deliver_next`
says which), again and again, until none is. Only one event is delivered at a time: what happens
meanwhile is noted, and delivered once the protocol has returned. Where the channel reports, the
loop is calling, and the pump runs at once. Where the program calls a verb, nothing is delivered
before the verb has returned, since the program may be in the middle of anything, and would not
expect its own `dataReceived` to be called by its `write`; so the pump is scheduled for the next
turn of the loop. Only a producer's `pauseProducing` is called inside a verb: it has to stop the
loop that is writing.

*The fast path.* Nearly every message finds nothing in the way: no event being delivered, nothing
waiting, no producer, no timeout. Then `received` calls the protocol, and `write` the channel, after
a look at one flag each. `_update_fast_path` computes these flags, and nothing else writes them.

*Who owns the channel.* The connection does, from its construction on, and nobody else calls it. At
the end it is released: aborted, closed, or, where the peer may still be sending, handed to the
backend's lingering, which owns it from then on. The backend holds the connection from `attach`
until `connectionLost` has been called, so that it lives although nobody else refers to it.

Whatever raises, and wherever ^C comes, ends the connection, and `connectionLost` follows.

The parts are classes, each on top of the one before: `Delivery`, the pump; `Ending`, the end, the
reason and the timeouts; `WriteHalf`, all that is written, with the producers in `feeds.py`;
`ReadHalf`, all that comes in; and here what needs both halves, which is the order of the events,
and closing. They are one object, since a connection is to be small and its calls few. Names like
EVT-07 are rules of docs/contract.md.
"""

from __future__ import annotations

from contextvars import Context
from typing import cast

from ..channel import Channel
from ..endpoints import Endpoint
from ..host import ConnectionHost
from ..interfaces import HalfCloseableProtocol, Protocol
from ..lifecycle import ACCEPTING, ENDED, READING, Move, State
from ..options import ConnectionOptions
from ..reasons import ConnectionAborted, ConnectionDone, ConnectionLost, Unsupported
from .ending import lost
from .inbox import Failure
from .read_half import ReadHalf
from .write_end import WriteEnd

__all__ = ["Connection"]


class Connection(ReadHalf):
    """A transport for one protocol over one channel.

    :param backend: schedules, holds the connection until it is lost, and lingers for it.
    :param channel: a fresh channel; the connection owns it from now on.
    :param context: where the protocol's events and its producers run, of nobody else's (EVT-16);
        by default a copy of the caller's.
    """

    # There may be ten thousand idle connections in one process: no dictionary of attributes, and
    # what few connections need is made when it is first needed.
    __slots__ = ("__weakref__", "_host")

    def __init__(
        self,
        backend: ConnectionHost,
        channel: Channel,
        options: ConnectionOptions,
        context: Context | None = None,
    ) -> None:
        super().__init__(backend, channel, options, context)
        self._host = channel.get_host()

    def attach(self, protocol: Protocol) -> BaseException | None:
        """Give the connection to *protocol* and begin to read.

        :returns: what ``connectionMade`` raised, or None; ``connectionLost`` has been called with
            it then.
        """
        self._adopt(protocol)
        self._backend.hold(self)
        failure: BaseException | None = None
        broken: BaseException | None = None
        self._delivering = True
        try:
            try:
                self._channel.start(self)
            except Exception as error:
                # It is lost, but the protocol hears of its beginning before it hears of its end.
                broken = error
            self._enter(Move.MADE)
            try:
                self._context.run(protocol.makeConnection, self)
            except BaseException as error:
                failure = error
                self._raised("connectionMade", error)
            else:
                if self._backend.foreign is not None:
                    self._backend.check_process()
                self._context.run(self._backend.hooks.connection_made, self, protocol)
                if broken is None and self._life.state in READING and not self._paused:
                    # The system may have no room to watch one more (ENOSPC, ENOMEM).
                    self._channel.resume_reading()
        except BaseException as error:
            self._broke(error)
        finally:
            self._delivering = False
        if broken is not None:
            self._broke(broken)
        if self._pump_due:
            self._pump()
        return failure

    def _update_fast_path(self) -> None:
        """Compute the flags that `received` and `write` look at. Only this method writes them.

        Called wherever something has changed that they depend on: the state, the end of our half,
        the producer, the deadline, whether bytes wait to be sent, the inbox, the pause.
        """
        state = self._life.state
        self._deliver_at_once = state in READING and not self._paused and not self._inbox
        self._accepting = state in ACCEPTING and self._write_end is _OPEN
        self._write_through = (
            self._accepting
            and self._feed is None
            and self._deadline is None
            and not self._outgoing.size
        )

    # -- the order of the events ---------------------------------------------------------------

    def _deliver_next(self) -> bool:
        """Deliver one event, or find that none is due: what was noted becomes what is told.

        In this order: the end; the end of our half; input, in its own order, unless reading is
        paused; a producer's ``resumeProducing``. A failure is in its place behind the input, but
        waits for no pause once it is the next.
        """
        state = self._life.state
        if state in ENDED:
            if state is State.ENDED:
                self._deliver_lost()
            return False
        if self._write_end.sent and self._life.can(Move.WRITE_ENDED):
            self._deliver_write_ended()
            return True
        if self._inbox:
            head = self._inbox[0]
            if isinstance(head, Failure):
                self._finish(head.reason, abort=True)
                return True
            if not self._paused:
                self._inbox.popleft()
                if not self._inbox:
                    self._update_fast_path()
                if isinstance(head, bytes):
                    self._call("dataReceived", self._protocol.dataReceived, head)
                else:
                    self._deliver_read_ended()
                return True
        if self._feed is not None and self._feed.resume_if_due():
            if self._backend.leaving and self._feed is not None:
                # It was resumed and wrote nothing more; see `leave`.
                self._feed.dismiss_if_idle()
            return True
        return False

    def _deliver_read_ended(self) -> None:
        if not self._half_closeable:
            # EVT-12: for a plain protocol the peer's end of stream is loseConnection.
            self._release_consumers(broken=self._cut_off)
            if self._write_end.failed:
                self._finish_lost()
            else:
                self.loseConnection()
            return
        self._enter(Move.READ_ENDED)
        if self._consumers:
            self._release_consumers(broken=self._cut_off)
        self._settle()
        self._call(
            "readConnectionLost",
            cast(HalfCloseableProtocol, self._protocol).readConnectionLost,
        )
        self._context.run(self._backend.hooks.half_closed, self, "read")
        if self._write_end.failed:
            # FLU-09: the input and its end have been told; now what the failed send said.
            self._finish_lost()

    def _deliver_write_ended(self) -> None:
        self._enter(Move.WRITE_ENDED)
        self._settle()
        if self._half_closeable:
            self._call(
                "writeConnectionLost",
                cast(HalfCloseableProtocol, self._protocol).writeConnectionLost,
            )
        self._context.run(self._backend.hooks.half_closed, self, "write")

    def _settle(self) -> None:
        """After a half has ended: nothing left to do, or the half-close timeout begins."""
        if self._life.state is State.ENDED:
            # EVT-05: both halves ended; released before the last of the two events is told.
            self._reason = self._clean_reason()
            self._release(abort=False)
        else:
            self._limit_half_close()

    # -- closing -------------------------------------------------------------------------------

    def loseWriteConnection(self) -> None:
        if not self._life.can(Move.END_WRITE):
            return
        if not self._channel.capabilities.can_half_close:
            raise Unsupported(f"the stream to {self._peer} cannot end one half alone")
        try:
            self._enter(Move.END_WRITE)
            self._end_write_if_due()
        except BaseException as error:
            self._broke(error)

    def loseConnection(self) -> None:
        if not self._life.can(Move.CLOSE):
            return
        try:
            self._close()
        except BaseException as error:
            self._broke(error)

    def _close(self) -> None:
        self._enter(Move.CLOSE)
        inbox, self._inbox = self._inbox, None
        failure = inbox.failure if inbox else None
        if failure is not None:
            # ERR-01: input that was not told is dropped, but not that the connection broke.
            self._finish(failure, abort=True)
            return
        if self._write_end is WriteEnd.SENT:
            # FLU-11: nothing is left to be sent that would tell of a reset.
            error = self._channel.look_for_error()
            if error is not None:
                self._write_end = self._write_end.after_failing()
                self._reason = lost(error)
        if self._consumers:
            self._release_consumers(broken=self._cut_off or self._write_end.failed)
        if self._life.state in ENDED:
            # It was its own producer, and there was nothing else to wait for.
            return
        if self._write_end.failed:
            self._finish_lost()
            return
        self._limit_close()
        # The peer may be unable to read before it has sent everything (END-01): make room.
        if not self._peer_ended:
            if self._channel.capabilities.drains:
                self._channel.resume_reading()
            else:
                self._channel.pause_reading()
        self._end_write_if_due()

    def abortConnection(self) -> None:
        try:
            self._finish(ConnectionAborted("aborted by abortConnection"), abort=True)
        except BaseException as error:
            self._broke(error)

    def cut_off(self) -> None:
        """End as the connection did that this one produced for, and which was lost (PRD-09).

        What was written is sent, and then the peer sees a reset: what ends here may look complete
        and is not. No event comes but ``connectionLost``. Idempotent.
        """
        if self._life.state in ENDED or self._cut_off:
            return
        self._cut_off = True
        self.loseConnection()
        if self._life.state is not State.CLOSING:
            return
        if self._deadline is None:
            if self._options.linger_timeout > 0:
                self._limit(self._options.linger_timeout, self._cut_off_expired)
            else:
                self.abortConnection()
        self._end_write_if_due()

    def _forget_pending(self) -> None:
        self._outgoing.clear()
        self._inbox = None

    def _release_partners(self, reason: BaseException) -> None:
        self._release_producer(reason)
        clean = isinstance(reason, (ConnectionDone, ConnectionAborted))
        self._release_consumers(broken=self._cut_off or not clean)

    # -- for the backend -----------------------------------------------------------------------

    def leave(self) -> None:
        """Close as `loseConnection` does, for a backend that is being left (END-03, END-06)."""
        self.loseConnection()
        if self._feed is not None:
            self._feed.dismiss_if_idle()

    def disown(self, reason: ConnectionLost) -> None:
        """In a forked child: it is over here, and nobody is told (ERR-18)."""
        # No move of the table: nothing happens to the connection, which is the parent's.
        self._life.state = State.CLOSED
        self._reason = self._reason or reason
        self._feed = None
        self._fed_by = None
        self._consumers = ()
        self._forget_pending()
        self._update_fast_path()

    # -- what is known -------------------------------------------------------------------------

    def getPeer(self) -> Endpoint:
        return self._peer

    def getHost(self) -> Endpoint:
        return self._host

    def getHandle(self) -> object:
        return None if self._life.state in ENDED else self._channel.get_handle()

    def getTcpNoDelay(self) -> bool:
        return self._life.state not in ENDED and self._channel.get_no_delay()

    def getTcpKeepAlive(self) -> bool:
        return self._life.state not in ENDED and self._channel.get_keep_alive()

    def setTcpNoDelay(self, enabled: bool) -> None:
        if self._life.state not in ENDED:
            self._channel.set_no_delay(enabled)

    def setTcpKeepAlive(self, enabled: bool) -> None:
        if self._life.state not in ENDED:
            self._channel.set_keep_alive(enabled)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._life.state.value} {self._host} to {self._peer}>"


_OPEN = WriteEnd.OPEN
"""Looked up once: to ask an Enum for a member takes long, and the fast path is computed often."""
