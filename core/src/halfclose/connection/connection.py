"""`Connection`: joins one protocol and one channel, and keeps the contract between them.

Theory of operation
===================

A connection knows two things: what has happened on the wire, and what the protocol has been told of
it. The second is often behind the first, and most rules of the contract say by how much.

*What has happened on the wire.* The channel reports it: bytes came, the peer's end of stream came,
our own end of stream is with the kernel, a send failed, everything is lost. Each report is noted at
once. Input goes to the inbox, a failure to `_reason`, the progress of our end of stream to
`WriteEOF`, and bytes that the channel did not take to `Outgoing`.

*What the protocol has been told.* This is a state machine. `lifecycle.py` has its table, and
`transport.state` is its state. It moves when an event is delivered, or when the protocol calls a
verb that ends something. It never moves when the channel reports. For example, if reading is paused
and the peer has ended, the state is still OPEN. And after `loseConnection`, the table has no move
left that could deliver anything but `connectionLost`.

*The pump* turns what was noted into events. It delivers the next event that is due, again and again
until none is left; `_deliver_next` decides which is next. Only one event is delivered at a time:
what happens meanwhile is noted, and delivered after the protocol has returned. When the channel
reports something, the caller is the loop, and the pump runs at once. When the program calls a verb,
the pump runs in the next turn of the loop. The program would not expect that its `write` calls its
`dataReceived`. Only a producer's `pauseProducing` is called inside a verb, because it has to stop
the program's own loop of writes.

*The fast path.* For nearly every message there is no other event being delivered, nothing waiting,
no producer and no timeout. Then `received` looks at one flag and calls the protocol, and `write`
looks at one flag and calls the channel. Only `_update_fast_path` writes these flags.

*Who owns the channel.* The connection owns it from its construction on, and nothing else calls it.
At the end the connection releases it: by an abort, by a close, or, if the peer may still be
sending, by handing it to the backend's lingering, which owns it from then on. The backend refers to
the connection from `attach` until `connectionLost` has been called, so a connection lives even if
the program holds no reference to it.

If anything raises, or a KeyboardInterrupt comes at any point, the connection ends, and
`connectionLost` follows.

The class is built in steps, each a subclass of the one before. `Delivery` has the pump. `Ending`
has the end, the reason and the timeouts. `WriteHalf` has everything that is written; `producers.py`
has the producers. `ReadHalf` has everything that comes in. `Connection` has what needs both halves:
the order of the events, and closing. All are one object, because a connection has to be small and
must get by with few calls. Names like EVT-07 are rules of docs/contract.md.
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
from .write_eof import WriteEOF

__all__ = ["Connection"]


class Connection(ReadHalf):
    """A transport for one protocol over one channel.

    :param backend: schedules calls, keeps the connection alive until it is lost, and lingers for
        it.
    :param channel: a new channel, which the connection owns from now on.
    :param options: the settings of the connection.
    :param context: where the protocol's events and its producers run. No other connection may use
        it (EVT-16). By default a copy of the caller's.
    """

    # One process may have ten thousand idle connections. So there is no dictionary of attributes,
    # and parts that few connections need are made when they are first needed.
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

        Input that came before is delivered after ``connectionMade`` (EVT-13).

        :param protocol: the protocol, which has no transport yet.
        :returns: the exception that ``connectionMade`` raised, if it did; ``connectionLost`` has
            been called with it by then.
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
                # The connection is lost, but ``connectionMade`` comes before ``connectionLost``.
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
                    self._channel.resume_reading()
        except BaseException as error:
            # For example, the system has no room to watch one more descriptor (ENOSPC, ENOMEM).
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

        Call it after a change of anything that they depend on: the state, the end of our half, the
        producer, the deadline, whether bytes wait to be sent, the inbox, and whether reading is
        paused.
        """
        state = self._life.state
        self._deliver_at_once = state in READING and not self._paused and not self._inbox
        self._accepting = state in ACCEPTING and self._write_eof is _OPEN
        self._write_through = (
            self._accepting
            and self._feed is None
            and self._deadline is None
            and not self._outgoing.size
        )

    # -- the order of the events ---------------------------------------------------------------

    def _deliver_next(self) -> bool:
        """Deliver the first event that is due, and return whether there was one.

        The order is: the end of the connection; the end of our half; what is in the inbox, in the
        order in which it came (EVT-03), unless reading is paused (FLU-06); a producer's
        ``resumeProducing``. A failure comes after the input before it, and once it is the first in
        the inbox, it is delivered even if reading is paused.
        """
        state = self._life.state
        if state in ENDED:
            if state is State.ENDED:
                self._deliver_lost()
            return False
        if self._write_eof.sent and self._life.can(Move.WRITE_ENDED):
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
                # A producer that is resumed and writes nothing would delay leaving; see `leave`.
                self._feed.dismiss_if_idle()
            return True
        return False

    def _deliver_read_ended(self) -> None:
        if not self._half_closeable:
            # The peer's end of stream acts as loseConnection (EVT-12), which first sends all bytes
            # that still wait (FLU-03).
            self._release_consumers(broken=self._cut_off)
            if self._write_eof.failed:
                self._finish_lost()
            else:
                self.loseConnection()
            return
        self._enter(Move.READ_ENDED)
        if self._consumers:
            self._release_consumers(broken=self._cut_off)
        # The connection stays up, so that the protocol can go on writing (EVT-02).
        self._settle()
        self._call(
            "readConnectionLost",
            cast(HalfCloseableProtocol, self._protocol).readConnectionLost,
        )
        self._context.run(self._backend.hooks.half_closed, self, "read")
        if self._write_eof.failed:
            # FLU-09: all input has been delivered, and now the failed send ends the connection.
            self._finish_lost()

    def _deliver_write_ended(self) -> None:
        """Tell the protocol that our half has ended, once, as the table allows (EVT-04, VRB-01)."""
        self._enter(Move.WRITE_ENDED)
        self._settle()
        if self._half_closeable:
            self._call(
                "writeConnectionLost",
                cast(HalfCloseableProtocol, self._protocol).writeConnectionLost,
            )
        self._context.run(self._backend.hooks.half_closed, self, "write")

    def _settle(self) -> None:
        """Release the channel if both halves have ended, else begin the half-close timeout."""
        if self._life.state is State.ENDED:
            # EVT-05: the descriptor is free when the protocol hears of the second half's end.
            self._reason = self._clean_reason()
            self._release(abort=False)
        else:
            self._limit_half_close()

    # -- closing -------------------------------------------------------------------------------

    def loseWriteConnection(self) -> None:
        if not self._life.can(Move.END_WRITE):
            # The end of our half was asked for before, or the connection is over (VRB-02).
            return
        if not self._channel.capabilities.can_half_close:
            # VRB-10: before anything has changed.
            raise Unsupported(f"the stream to {self._peer} cannot end one half alone")
        try:
            self._enter(Move.END_WRITE)
            self._end_write_if_due()
        except BaseException as error:
            self._broke(error)

    def loseConnection(self) -> None:
        if not self._life.can(Move.CLOSE):
            # It was called before, or the connection is over (VRB-08).
            return
        try:
            self._close()
        except BaseException as error:
            self._broke(error)

    def _close(self) -> None:
        """End both halves: send what waits, then our end of stream, then release the channel."""
        self._enter(Move.CLOSE)
        # EVT-14: input that has not been delivered never is.
        inbox, self._inbox = self._inbox, None
        failure = inbox.failure if inbox else None
        if failure is not None:
            # ERR-01: a failure behind that input is still the reason.
            self._finish(failure, abort=True)
            return
        if self._write_eof is WriteEOF.SENT:
            # FLU-11: nothing is left to send, so no send would report a reset.
            error = self._channel.look_for_error()
            if error is not None:
                self._write_eof = self._write_eof.after_failing()
                self._reason = lost(error)
        if self._consumers:
            self._release_consumers(broken=self._cut_off or self._write_eof.failed)
        if self._life.state in ENDED:
            # This connection was its own producer, as for an echo. It was unregistered just now,
            # and with that the close was complete.
            return
        if self._write_eof.failed:
            self._finish_lost()
            return
        self._limit_close()
        # The peer may be unable to read before it has sent everything, so its input is read on, and
        # `received` discards it in this state (END-01).
        if not self._peer_ended:
            if self._channel.capabilities.drains:
                self._channel.resume_reading()
            else:
                self._channel.pause_reading()
        self._end_write_if_due()

    def abortConnection(self) -> None:
        # Also after loseConnection (VRB-08). It waits for no producer (PRD-08), and the channel's
        # abort is a reset where there is one (ERR-06).
        try:
            self._finish(ConnectionAborted("aborted by abortConnection"), abort=True)
        except BaseException as error:
            self._broke(error)

    def cut_off(self) -> None:
        """Send what was written, then reset the connection, so that it does not look complete.

        Called if this connection is one side of a proxy, and the other side was lost (PRD-09). The
        only event that follows is ``connectionLost``. Idempotent.
        """
        if self._life.state in ENDED or self._cut_off:
            return
        self._cut_off = True
        self.loseConnection()
        if self._life.state is not State.CLOSING:
            return
        if self._deadline is None:
            # No close timeout was set. Still, a peer that reads nothing must not delay this end for
            # ever.
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
        """Close as `loseConnection` does, because the backend is being left (END-03, END-06).

        A producer that writes nothing is not waited for.
        """
        self.loseConnection()
        if self._feed is not None:
            self._feed.dismiss_if_idle()

    def disown(self, reason: ConnectionLost) -> None:
        """Be over, in a forked child, and call nothing (ERR-18).

        :param reason: what `whenClosed` gives from then on.
        """
        # Not by a move of the table: the connection is the parent's, and nothing happens to it.
        self._life.state = State.CLOSED
        self._reason = self._reason or reason
        self._feed = None
        self._fed_by = None
        self._consumers = ()
        self._forget_pending()
        self._update_fast_path()

    # -- what is known -------------------------------------------------------------------------
    # These answer at any time (VRB-09), and raise nothing after the end (VRB-12): the channel may
    # have closed its socket then, so it is not asked.

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


_OPEN = WriteEOF.OPEN
"""Looked up once, because access to a member of an Enum is slow, and the fast path is computed
often."""
