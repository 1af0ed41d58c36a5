"""One protocol and one channel, held to the contract.

Every rule about events, closing, dropped writes, producers and timeouts is kept here, over the
table in `lifecycle`; a channel only moves bytes. The comments name the rules of docs/contract.md.
"""

from __future__ import annotations

import logging
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context
from typing import cast

from .channel import Capabilities, Channel, ChannelSink
from .deadline import Deadline
from .endpoints import Endpoint
from .host import ConnectionHost
from .interfaces import (
    BaseProtocol,
    HalfCloseableProtocol,
    Producer,
    Protocol,
    PushProducer,
    Transport,
)
from .lifecycle import ACCEPTING, ENDED, READING, Lifecycle, Move, State
from .loop import Event
from .options import ConnectionOptions
from .outgoing import Outgoing
from .reasons import (
    CloseTimeout,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    HalfCloseTimeout,
    Unsupported,
)
from .text import printable

__all__ = ["Connection"]

_log = logging.getLogger("halfclose")

_FATAL = (KeyboardInterrupt, SystemExit)


class _EndOfStream:
    """In the inbox: the peer's end of stream."""


class _Failure:
    """In the inbox: the connection broke, *reason* being what connectionLost will get."""

    __slots__ = ("reason",)

    def __init__(self, reason: BaseException) -> None:
        self.reason = reason


_END = _EndOfStream()


def _lost(error: BaseException | None) -> ConnectionLost:
    if error is None:
        return ConnectionLost("the connection was lost")
    reason = ConnectionLost(str(error) or type(error).__name__)
    reason.__cause__ = error
    return reason


def _run_inside(context: Context, function: Callable[[], object]) -> None:
    """Run *function* in *context*; in a copy where that is entered already, as it can be once."""
    entered = False

    def call() -> None:
        nonlocal entered
        entered = True
        function()

    try:
        context.run(call)
    except RuntimeError:
        if entered:
            raise
        context.copy().run(function)


class Connection(Transport, ChannelSink):
    """A transport for one protocol over one channel.

    :param backend: schedules, holds the connection until it is lost, and lingers for it.
    :param channel: a fresh channel; the connection owns it from now on.
    :param context: where the protocol's events and its producers run, of nobody else's (EVT-16);
        by default a copy of the caller's.
    """

    # By the ten thousand they are idle, and each attribute that is looked up is one of a message:
    # what few connections have is made when it is first needed.
    __slots__ = (
        "__weakref__",
        "_accepting",
        "_asked",
        "_backend",
        "_busy",
        "_channel",
        "_closed",
        "_consumers",
        "_context",
        "_cut_off",
        "_deadline",
        "_direct",
        "_dropped",
        "_due",
        "_end_requested",
        "_fed_by",
        "_gone",
        "_half_closeable",
        "_host",
        "_inbox",
        "_late",
        "_life",
        "_options",
        "_outgoing",
        "_paused",
        "_peer",
        "_peer_ended",
        "_plain",
        "_producer",
        "_producer_paused",
        "_protocol",
        "_reason",
        "_resume_due",
        "_scheduled",
        "_streaming",
        "_write_ended",
        "_write_error",
    )

    def __init__(
        self,
        backend: ConnectionHost,
        channel: Channel,
        options: ConnectionOptions,
        context: Context | None = None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._backend = backend
        self._channel = channel
        self._options = options
        self._peer = channel.get_peer()
        self._host = channel.get_host()
        self._life = Lifecycle()
        self._protocol: Protocol
        self._late: weakref.ref[Protocol] | None = None
        self._half_closeable = False
        self._outgoing = Outgoing(channel)
        self._inbox: deque[bytes | _EndOfStream | _Failure] | None = None
        self._accepting = False
        self._plain = False
        self._direct = False
        self._busy = False
        self._due = False
        self._scheduled = False
        self._paused = False
        self._peer_ended = False
        self._end_requested = False
        self._write_ended = False
        self._write_error: Exception | None = None
        self._dropped = 0
        self._producer: Producer | None = None
        self._streaming = False
        self._producer_paused = False
        self._resume_due = False
        self._asked = False
        self._consumers: tuple[Connection, ...] = ()
        self._fed_by: weakref.ref[Connection] | None = None
        self._cut_off = False
        self._gone = False
        self._deadline: Deadline | None = None
        self._reason: BaseException | None = None
        self._closed: Event | None = None

    # -- attaching -----------------------------------------------------------------------------

    def attach(self, protocol: Protocol) -> BaseException | None:
        """Give the connection to *protocol* and begin to read.

        :returns: what ``connectionMade`` raised, or None; ``connectionLost`` has been called with
            it then.
        """
        self._protocol = protocol
        self._half_closeable = isinstance(protocol, HalfCloseableProtocol)
        self._backend.hold(self)
        failure: BaseException | None = None
        broken: BaseException | None = None
        self._busy = True
        try:
            try:
                self._channel.start(self)
            except Exception as error:
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
            self._busy = False
        if broken is not None:
            self._broke(broken)
        if self._due:
            self._pump()
        return failure

    # -- the channel tells ---------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        if self._deadline is not None and self._life.state is not State.CLOSING:
            self._touch()
        if self._direct and not self._busy and not self._inbox:
            self._busy = True
            try:
                self._context.run(self._protocol.dataReceived, data)
            except BaseException as error:
                self._raised("dataReceived", error)
            finally:
                self._busy = False
            if self._due:
                self._pump()
        elif self._life.state in READING:
            self._keep(data)
            self._due = True

    def read_ended(self) -> None:
        self._peer_ended = True
        if self._direct and not self._busy and not self._inbox:
            self._busy = True
            try:
                self._deliver_read_ended()
            except BaseException as error:
                self._busy = False
                self._broke(error)
            finally:
                self._busy = False
            self._pump()
        elif self._life.state in READING:
            self._keep(_END)
            self._due = True

    def failed(self, error: Exception | None) -> None:
        self._peer_ended = True
        if self._life.state not in ENDED and not self._both_ended():
            if self._reason is None:
                self._reason = _lost(error)
            self._keep(_Failure(self._reason))
        self._pump()

    def _both_ended(self) -> bool:
        """Whether both halves had ended, and only the peer's end is still to be told (EVT-05)."""
        if not self._inbox or not self._write_ended or self._write_error is not None:
            return False
        return self._inbox[-1] is _END

    def _keep(self, item: bytes | _EndOfStream | _Failure) -> None:
        """Put *item* into the inbox, until it can be told."""
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(item)

    def _touch(self) -> None:
        """Something moved: what waits for the deadline waits anew."""
        try:
            if self._deadline is not None:
                self._deadline.touch()
        except BaseException as error:
            self._broke(error)

    def writable(self) -> None:
        try:
            moved = self._outgoing.flush()
            if moved and self._deadline is not None:
                self._touch()
            self._after_sending()
            self._look_whether_plain()
        except OSError as error:
            self.write_failed(error)
            return
        except BaseException as error:
            self._broke(error)
        self._pump()

    def write_ended(self) -> None:
        # After a failed send an end of stream says nothing: not every byte went before it.
        if self._write_error is None:
            self._write_ended = True
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
        if self._life.state in ENDED or self._write_ended:
            return
        if self._outgoing.size:
            self._write_error = error
            self._reason = _lost(error)
            self._drop(self._outgoing.size)
        self._outgoing.clear()
        self._end_requested = self._write_ended = True
        self._accepting = self._plain = False
        producer, self._producer = self._producer, None
        try:
            if producer is not None:
                self._stop_soon(producer)
            self._schedule_end()
        except BaseException as another:
            self._broke(another)
        self._pump()

    # -- delivering ----------------------------------------------------------------------------

    def _pump(self) -> None:
        """Deliver all that is due, one event after another, unless one is being delivered."""
        if self._busy:
            self._due = True
            return
        self._busy = True
        try:
            while self._step():
                pass
        except BaseException as error:
            self._busy = False
            self._broke(error)
        finally:
            self._busy = self._due = False

    def _soon(self) -> None:
        """Deliver in the next turn: what a verb causes is never delivered inside it (EVT-07)."""
        if self._busy:
            self._due = True
        else:
            self._ask_for_turn()

    def _ask_for_turn(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            try:
                self._backend.call_soon(self._turn)
            except BaseException:
                self._scheduled = False
                raise

    def _turn(self) -> None:
        self._scheduled = False
        self._pump()

    def _step(self) -> bool:
        """Deliver one event, or find that none is due."""
        state = self._life.state
        if state in ENDED:
            if state is State.ENDED:
                self._deliver_lost()
            return False
        if self._write_ended and self._life.can(Move.WRITE_ENDED):
            self._deliver_write_ended()
            return True
        if self._inbox:
            head = self._inbox[0]
            if isinstance(head, _Failure):
                self._finish(head.reason, abort=True)
                return True
            if not self._paused:
                self._inbox.popleft()
                if isinstance(head, bytes):
                    self._call("dataReceived", self._protocol.dataReceived, head)
                else:
                    self._deliver_read_ended()
                return True
        if self._resume_due and self._producer is not None:
            self._resume_due = self._producer_paused = False
            self._call("resumeProducing", self._producer.resumeProducing)
            if self._backend.leaving:
                self._dismiss_idle_producer()
            return True
        return False

    def _call(self, name: str, function: Callable[..., object], *args: object) -> None:
        """Call the protocol, or its producer, in the connection's own context."""
        try:
            self._context.run(function, *args)
        except BaseException as error:
            self._raised(name, error)
        if self._backend.foreign is not None:
            self._backend.check_process()

    def _call_producer(self, function: Callable[[], object]) -> None:
        """Call a producer from inside a verb, and so perhaps from inside an event."""
        delivering, self._busy = self._busy, True
        try:
            _run_inside(self._context, function)
        finally:
            self._busy = delivering
            if self._due and not delivering:
                self._due = False
                # Where the backend was left meanwhile, no turn is to come.
                (self._pump if self._backend.left else self._soon)()

    def _deliver_read_ended(self) -> None:
        if not self._half_closeable:
            # EVT-12: for a plain protocol the peer's end of stream is loseConnection.
            self._release_consumers()
            if self._write_error is not None:
                self._finish_lost()
            else:
                self.loseConnection()
            return
        self._enter(Move.READ_ENDED)
        if self._consumers:
            self._release_consumers()
        self._settle()
        self._call(
            "readConnectionLost",
            cast(HalfCloseableProtocol, self._protocol).readConnectionLost,
        )
        self._context.run(self._backend.hooks.half_closed, self, "read")
        if self._write_error is not None:
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
            self._let_go(abort=False)
        elif self._deadline is None and self._options.half_close_timeout is not None:
            self._limit(self._options.half_close_timeout, self._half_close_expired)

    def _deliver_lost(self) -> None:
        if self._reason is None:
            # Something came between the end of the second half and the word for it (`_settle`).
            self._reason = self._clean_reason()
        reason = self._reason
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
        if not self._gone:
            # ^C came in the middle of it.
            self._let_go(abort=True)
        self._release_producer(reason)
        self._release_consumers(reason)
        fatal = reason if isinstance(reason, _FATAL) else None
        protocol = self._protocol
        run = self._context.run
        assert self._life.can(Move.LOST)
        try:
            # Not by `Lifecycle.move`: ^C can come when a function returns, and then the protocol
            # would count as told. Nothing comes between these two.
            self._life.state = _CLOSED
            run(protocol.connectionLost, reason)
        except _FATAL as error:
            self._backend.check_process(error)
            fatal = fatal or error
        except BaseException as error:
            self._backend.check_process(error)
            self._log_failure("connectionLost")
        finally:
            if self._backend.foreign is not None:
                self._backend.check_process()
            self._backend.release(self)
            # What the protocol holds is freed with it, and not by the garbage collector.
            self._late = weakref.ref(protocol)
            del self._protocol
            try:
                run(self._backend.hooks.connection_lost, self, reason)
            finally:
                closed, self._closed = self._closed, None
                if closed is not None:
                    closed.set()
        if fatal is not None:
            self._backend.fatal(fatal)

    def _release_producer(self, reason: BaseException) -> None:
        """PRD-06, PRD-09: nobody takes what is produced for this connection any more."""
        producer, self._producer = self._producer, None
        fed_by, self._fed_by = self._fed_by, None
        source = fed_by() if fed_by is not None else None
        if source is not None and not isinstance(reason, ConnectionDone):
            source.cut_off()
        elif producer is not None:
            self._stop(producer)

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

    def _cut_off_expired(self) -> None:
        self.abandon(self._cut_off_reason())

    def _cut_off_reason(self) -> ConnectionAborted:
        return ConnectionAborted("the connection that this one produced for was lost")

    def _raised(self, name: str, error: BaseException) -> None:
        """An event of the protocol, or its producer, raised *error* (ERR-02, ERR-03, ERR-05)."""
        self._backend.check_process(error)
        try:
            if not isinstance(error, _FATAL):
                self._log_failure(name)
            if self._life.state is State.ENDED:
                self._reason = error
            else:
                self._finish(error, abort=True)
        except BaseException as another:
            self._broke(another)

    def _broke(self, error: BaseException) -> None:
        """The channel or the loop raised what it never should, or ^C came in the middle of us.

        Nobody knows what has been done and what not, so the connection ends (ERR-13).

        :raises BaseException: *error*, if it is no `Exception`: it is meant for the program.
        """
        try:
            if isinstance(error, Exception) and not isinstance(error, OSError):
                # What the system says is told to the protocol, and no defect of anybody's.
                self._backend.report(error, "the channel to %s failed", self._peer)
            reason = error if isinstance(error, _FATAL) else _lost(error)
            unheard = self._life.state is State.CONNECTING
            self._finish(reason, abort=True)
            if unheard:
                # The protocol has not heard of it, and so not of its end either.
                self._life.move(Move.LOST)
                self._backend.release(self)
            elif self._life.state is State.ENDED:
                # Whoever is delivering an event may never come to its end.
                self._ask_for_turn()
                if not self._gone:
                    self._let_go(abort=True)
        except Exception as another:
            # Whoever leaves the backend tells the protocol, at the latest.
            self._backend.report(another, "the connection with %s was not ended", self._peer)
        if isinstance(error, _FATAL):
            # Whoever called us may be a framework that keeps it to itself.
            self._backend.fatal(error)
        if not isinstance(error, Exception):
            raise error

    def _log_failure(self, name: str) -> None:
        # What filters and handlers add, such as the id of a request, is in the context.
        self._context.copy().run(self._report, name, cast(BaseException, sys.exception()))

    def _report(self, name: str, error: BaseException) -> None:
        self._backend.report(
            error, "%s: %s raised on the connection with %s", self._prefix(), name, self._peer
        )

    def _prefix(self) -> str:
        protocol = self.protocol
        if protocol is None:
            return type(self).__name__
        try:
            return printable(protocol.logPrefix())
        except Exception:
            return type(protocol).__name__

    # -- states --------------------------------------------------------------------------------

    def _enter(self, move: Move) -> None:
        state = self._life.move(move)
        self._accepting = state in ACCEPTING and self._write_error is None
        self._direct = state in READING and not self._paused
        if self._accepting:
            self._look_whether_plain()
        else:
            self._plain = False

    def _look_whether_plain(self) -> None:
        """Whether a write is for the channel, and nothing else looks at it."""
        self._plain = (
            self._accepting
            and self._producer is None
            and self._deadline is None
            and not self._outgoing.size
        )

    def _finish(self, reason: BaseException, *, abort: bool) -> None:
        """End the connection below; connectionLost(*reason*) is the only event still to come."""
        if not self._life.can(Move.FINISH):
            return
        # In this order, so that wherever it is interrupted the end is still told: by `_broke`, or
        # when the backend is left. What may raise comes last.
        self._reason = reason
        self._enter(Move.FINISH)
        self._outgoing.clear()
        self._inbox = None
        try:
            try:
                self._soon()
            finally:
                self._let_go(abort=abort)
        except Exception as error:
            self._backend.report(error, "the end of %s could not be told at once", self._peer)
            self._soon()

    def _finish_lost(self) -> None:
        """End with what the failed send said."""
        self._finish(self._reason or _lost(self._write_error), abort=True)

    def _let_go(self, *, abort: bool) -> None:
        """Release the channel, and its descriptor with it, whatever it raises."""
        channel = self._channel
        try:
            if abort:
                channel.abort()
            elif self._cut_off:
                self._let_go_cut_off()
            elif self._lingers():
                self._backend.lingering.add(channel, self._options)
            else:
                channel.close()
        except Exception as error:
            self._backend.report(error, "the channel to %s failed at its end", self._peer)
            try:
                # The other way may still release what the one left.
                (channel.close if abort else channel.abort)()
            except Exception as another:
                self._backend.report(another, "the channel to %s was not released", self._peer)
        self._gone = True

    def _let_go_cut_off(self) -> None:
        """PRD-09: so that the peer gets what was sent, and sees that more was to come."""
        can = self._channel.capabilities
        if can.can_reset:
            self._backend.lingering.reset(self._channel, self._options)
        elif can.can_half_close:
            # There is no reset; the system says so itself where input is unread (PIP-01).
            self._channel.close()
        else:
            # TLS: a stream that ends without its own end is seen to be cut off.
            self._backend.lingering.reset(self._channel, self._options)

    def _lingers(self) -> bool:
        """END-01: whether the peer may still send, and would lose our bytes if we just closed."""
        can = self._channel.capabilities
        # Without an end of stream from us the peer would not know that it is time to end.
        return (
            not self._peer_ended
            and self._options.linger_timeout > 0
            and can.drains
            and can.can_half_close
        )

    def _send_failed(self, error: Exception) -> None:
        """A verb has found the connection lost, which is told when it has returned."""
        self._note_write_error(error)
        self._soon()

    def _note_write_error(self, error: Exception) -> None:
        """Nothing can be sent any more: end, once the input that is still there was told."""
        if self._write_error is not None or self._life.state in ENDED:
            return
        self._write_error = error
        self._reason = _lost(error)
        self._accepting = self._plain = False
        self._outgoing.clear()
        if self._life.state not in READING or not self._awaits_input():
            self._finish(_lost(error), abort=True)
        else:
            self._dismiss_producer()

    def _halt_producer(self) -> None:
        """PRD-01: a loop that writes for as long as nobody pauses it must stop here too."""
        if (
            self._producer is not None
            and self._streaming
            and not self._producer_paused
            and not isinstance(self._producer, Connection)
        ):
            self._pause_producer()

    def _dismiss_producer(self) -> None:
        """Nothing can be sent any more: who waits for room, or to be asked, waits no longer.

        Another connection is resumed instead, and what it gives is dropped: stopped, it would
        close, and the input that is still to be told may have to go there.
        """
        producer = self._producer
        if isinstance(producer, Connection):
            self._resume_due = True
            self._soon()
        elif producer is not None:
            self._backend.call_soon(self._stop_registered, producer)

    def _dismiss_idle_producer(self) -> None:
        """END-06: the backend is being left, and who could write and does not may never be done.

        One that is paused has more to give: it goes on first. A pull producer is asked until it
        has no more.
        """
        producer = self._producer
        if (
            producer is not None
            and self._streaming
            and not self._producer_paused
            and not isinstance(producer, Connection)
        ):
            self._backend.call_soon(self._stop_idle, producer)

    def _stop_idle(self, producer: Producer) -> None:
        if not self._producer_paused and not self._resume_due:
            self._stop_registered(producer)

    def _awaits_input(self) -> bool:
        """FLU-09: whether input is still to be told before a failure."""
        if self._inbox:
            return True
        if self._peer_ended:
            return False
        return self._channel.has_input()

    def _after_sending(self) -> None:
        """Something was sent: resume or ask the producer, or send the end of stream if due."""
        if self._producer is not None:
            if self._streaming:
                if self._producer_paused and self._outgoing.size <= self._options.low_water:
                    self._resume_due = True
            elif not self._outgoing.size:
                self._ask()
        if not self._outgoing.size:
            self._end_write_if_due()

    def _end_write_if_due(self) -> None:
        """FLU-01, PRD-03: the end of stream goes out after every byte, and after the producer."""
        if self._outgoing.size or self._write_error is not None:
            return
        if self._cut_off:
            self._finish_closed()
            return
        if self._producer is not None and self._awaits_producer():
            return
        if self._life.state not in _ENDING:
            return
        if not self._end_requested:
            self._end_requested = True
            try:
                self._write_ended = self._channel.end_write()
            except OSError as error:
                # VRB-03, VRB-04: a reset shows here, and never raises out of a verb.
                self._send_failed(error)
                return
        if self._write_ended:
            self._schedule_end()

    def _awaits_producer(self) -> bool:
        # PRD-09: a plain protocol hears of its peer's end only by connectionLost, at which a proxy
        # closes its other side. To wait here for that side would be to wait for ever.
        return not (
            self._peer_ended and not self._half_closeable and isinstance(self._producer, Connection)
        )

    def _schedule_end(self) -> None:
        if self._life.state is State.CLOSING:
            self._finish_closed()
        else:
            self._soon()

    def _finish_closed(self) -> None:
        """End after `loseConnection`, all having been handed over."""
        self._finish(self._cut_off_reason() if self._cut_off else self._clean_reason(), abort=False)

    def _clean_reason(self) -> BaseException:
        """Both halves have ended; a pipe that lost its reader may have cost bytes (PIP-04)."""
        return self._reason or ConnectionDone("the connection was closed cleanly")

    def _limit(self, seconds: float, expired: Callable[[], None]) -> None:
        self._plain = False
        # A big socket buffer takes nothing for a long while although the peer reads.
        self._deadline = Deadline(self._backend, seconds, expired, self._channel.unsent)

    def _half_close_expired(self) -> None:
        self.abandon(
            HalfCloseTimeout(f"half-closed and idle for {self._options.half_close_timeout} s")
        )

    def _close_expired(self) -> None:
        self.abandon(CloseTimeout(f"closing without progress for {self._options.close_timeout} s"))

    def abandon(self, reason: ConnectionLost) -> None:
        """End at once with *reason* and tell the protocol now: the loop is about to end."""
        try:
            self._finish(reason, abort=True)
        except Exception as error:
            self._broke(error)
        self._pump()

    def leave(self) -> None:
        """Close as `loseConnection` does, for a backend that is being left (END-03, END-06)."""
        self.loseConnection()
        self._dismiss_idle_producer()

    def waiting(self) -> int:
        """Bytes that were written and that the peer has not taken, as far as can be told."""
        return self._outgoing.size + self._channel.unsent()

    def disown(self, reason: ConnectionLost) -> None:
        """In a forked child: it is over here, and nobody is told (ERR-18)."""
        # No move of the table: nothing happens to the connection, which is the parent's.
        self._life.state = State.CLOSED
        self._reason = self._reason or reason
        self._accepting = self._plain = self._direct = False
        self._producer = self._inbox = None
        self._consumers = ()
        self._fed_by = None
        self._outgoing.clear()

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
        if not self._plain:
            self._write(data)
            return
        try:
            taken = self._channel.write(data)
            if taken < len(data):
                self._plain = False
                self._outgoing.keep(data, taken)
        except OSError as error:
            self._send_failed(error)
        except BaseException as error:
            self._broke(error)

    def _write(self, data: bytes) -> None:
        """Write where there is more to it than to hand *data* to the channel."""
        if not self._accepting and not self._waits_for_producer():
            self._drop(len(data))
            self._halt_producer()
            return
        outgoing = self._outgoing
        try:
            taken = outgoing.write(data)
            if taken and self._deadline is not None:
                self._deadline.touch()
            if self._producer is not None:
                if self._streaming:
                    if not self._producer_paused and outgoing.size > self._options.high_water:
                        self._pause_producer()
                elif not outgoing.size:
                    self._ask()
        except OSError as error:
            self._halt_producer()
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

    def _waits_for_producer(self) -> bool:
        return (
            self._producer is not None
            and self._write_error is None
            and self._life.state in _ENDING
            and not self._end_requested
        )

    def _drop(self, size: int) -> None:
        if not self._dropped:
            _log.warning(
                "%s: %d bytes for the %s connection with %s were dropped; "
                "later ones are only counted",
                self._prefix(),
                size,
                self.state.value if self._write_error is None else "failed",
                self._peer,
            )
        self._dropped += size

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
        if inbox and isinstance(inbox[-1], _Failure):
            # ERR-01: input that was not told is dropped, but not that the connection broke.
            self._finish(inbox[-1].reason, abort=True)
            return
        if self._write_ended and self._write_error is None:
            # FLU-11: nothing is left to be sent that would tell of a reset.
            self._write_error = self._channel.look_for_error()
            if self._write_error is not None:
                self._reason = _lost(self._write_error)
        if self._consumers:
            self._release_consumers(self._write_error)
        if self._life.state in ENDED:
            # It was its own producer, and there was nothing else to wait for.
            return
        if self._write_error is not None:
            self._finish_lost()
            return
        if self._options.close_timeout is not None:
            if self._deadline is not None:
                self._deadline.cancel()
            self._limit(self._options.close_timeout, self._close_expired)
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

    # -- reading -------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        if self._paused or self._life.state not in READING:
            return
        self._paused = True
        self._direct = False
        if not self._peer_ended:
            try:
                self._channel.pause_reading()
            except BaseException as error:
                self._broke(error)

    def resumeProducing(self) -> None:
        if self._life.state in _READ_CLOSED:
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
        self._direct = True
        try:
            if self._inbox:
                self._soon()
            if not self._peer_ended:
                self._channel.resume_reading()
        except BaseException as error:
            self._broke(error)

    def stopProducing(self) -> None:
        self.loseConnection()

    # -- producers -----------------------------------------------------------------------------

    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(
                f"cannot register {producer!r}: {self._producer!r} is registered "
                f"on the connection with {self._peer}"
            )
        try:
            self._register(producer, streaming)
        except BaseException as error:
            self._broke(error)

    def _register(self, producer: Producer, streaming: bool) -> None:
        if not self._accepting:
            self._stop_soon(producer)
            return
        self._fed_by = None
        if isinstance(producer, Connection):
            self._fed_by = weakref.ref(producer)
            # PRD-09: one that will read no more is as good as unregistered.
            if producer._life.state not in READING:
                return
            producer._consumers = (*producer._consumers, self)
        self._producer = producer
        self._plain = False
        self._streaming = streaming
        self._producer_paused = self._resume_due = False
        if not streaming:
            self._ask()
        elif self._outgoing.size > self._options.high_water:
            self._pause_producer()

    def unregisterProducer(self) -> None:
        producer = self._producer
        if producer is None:
            return
        if isinstance(producer, Connection):
            producer._consumers = tuple(each for each in producer._consumers if each is not self)
            self._fed_by = None
        try:
            self._unregister()
        except BaseException as error:
            self._broke(error)

    def _unregister(self) -> None:
        self._producer = None
        self._look_whether_plain()
        self._end_write_if_due()

    def _pause_producer(self) -> None:
        self._producer_paused = True
        producer = cast(PushProducer, self._producer)
        if isinstance(producer, Connection):
            producer.pauseProducing()
            return
        try:
            self._call_producer(producer.pauseProducing)
        except BaseException as error:
            self._raised("pauseProducing", error)
            self._soon()

    def _ask(self) -> None:
        """PRD-02: ask a pull producer in the next turn, once."""
        if not self._asked:
            self._asked = True
            try:
                self._backend.call_soon(self._pull)
            except BaseException:
                self._asked = False
                raise

    def _pull(self) -> None:
        self._asked = False
        if self._producer is None or self._streaming or self._outgoing.size:
            return
        if self._life.state in ENDED:
            return
        self._busy = True
        try:
            self._call("resumeProducing", self._producer.resumeProducing)
        finally:
            self._busy = False
        self._pump()

    def _stop_soon(self, producer: Producer) -> None:
        """Stop *producer* in the next turn; at once where no turn is to come."""
        if self._backend.left:
            if not self._backend.call_though_left(self._stop, producer):
                self._stop(producer)
        else:
            # Also where the backend is left before the next turn: it calls nothing then.
            def stop() -> None:
                self._backend.forget_leaving(stop)
                self._stop(producer)

            self._backend.on_leaving(stop)
            self._backend.call_soon(stop)

    def _stop_registered(self, producer: Producer) -> None:
        """Stop *producer*, unless it has unregistered, or was stopped, meanwhile."""
        if self._producer is producer:
            try:
                self._stop(producer)
                self._unregister()
            except BaseException as error:
                self._broke(error)

    def _stop(self, producer: Producer) -> None:
        if isinstance(producer, Connection) and self.failure is not None:
            producer.cut_off()
            return
        try:
            self._call_producer(producer.stopProducing)
        except _FATAL as error:
            self._backend.fatal(error)
        except BaseException as error:
            self._backend.check_process(error)
            self._log_failure("stopProducing")

    def _release_consumers(self, reason: BaseException | None = None) -> None:
        """PRD-09: whom this connection produced for waits for it no longer.

        :param reason: why it was lost, if it was.
        """
        consumers, self._consumers = self._consumers, ()
        broken = self._cut_off or (
            reason is not None and not isinstance(reason, (ConnectionDone, ConnectionAborted))
        )
        for consumer in consumers:
            if consumer._producer is self:
                if broken and consumer._life.state in _ENDING:
                    # It waits for the rest, which will not come, and then it would end cleanly.
                    consumer._producer = None
                    consumer.cut_off()
                else:
                    consumer._released()

    def _released(self) -> None:
        try:
            self._unregister()
        except BaseException as error:
            self._broke(error)

    # -- what is known -------------------------------------------------------------------------

    @property
    def backend(self) -> ConnectionHost:
        return self._backend

    @property
    def state(self) -> State:
        return self._life.state

    @property
    def droppedBytes(self) -> int:
        return self._dropped

    @property
    def failure(self) -> BaseException | None:
        return None if isinstance(self._reason, ConnectionDone) else self._reason

    @property
    def capabilities(self) -> Capabilities:
        """What the channel below can do."""
        return self._channel.capabilities

    @property
    def channel(self) -> Channel:
        """The channel below, which the connection drives; to look at it, and to test it."""
        return self._channel

    @property
    def protocol(self) -> BaseProtocol | None:
        """The protocol that is attached; once it was told that the connection is lost, None if
        nobody else has kept it."""
        return self._protocol if self._late is None else self._late()

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

    async def whenClosed(self) -> BaseException:
        if self._life.state is not State.CLOSED or self._busy:
            if self._closed is None:
                # One for all that wait: each may be cancelled by itself.
                self._closed = self._backend.create_event()
            await self._closed.wait()
        assert self._reason is not None
        return self._reason

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._life.state.value} {self._host} to {self._peer}>"


_READ_CLOSED = frozenset({State.READ_CLOSED, State.READ_CLOSED_WRITE_CLOSING})
_CLOSED = State.CLOSED
_ENDING = frozenset({State.WRITE_CLOSING, State.READ_CLOSED_WRITE_CLOSING, State.CLOSING})
