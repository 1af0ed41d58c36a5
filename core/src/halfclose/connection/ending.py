"""`Ending`: how a connection ends, with one ``connectionLost`` in every case (EVT-06, ERR-13).

Three steps follow each other. The connection *finishes*: the reason is set, the state is ENDED, and
the pump is scheduled. The channel is *released*. ``connectionLost`` is *delivered*. A
KeyboardInterrupt may come in the middle of any of them, or it may raise something else; the next
step then does what is missing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextvars import Context

from ..channel import Capabilities, Channel
from ..deadline import Deadline
from ..host import ConnectionHost
from ..interfaces import Transport
from ..lifecycle import Lifecycle, Move, State
from ..loop import Event
from ..options import ConnectionOptions
from ..reasons import (
    CloseTimeout,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    HalfCloseTimeout,
)
from .delivery import Delivery
from .releasing import release_channel
from .reporting import report_callback

__all__ = ["FATAL", "Ending", "lost"]

FATAL = (KeyboardInterrupt, SystemExit)
"""Exceptions that end the program, even if a callback raises them (ERR-05)."""


def lost(error: BaseException | None) -> ConnectionLost:
    """The reason for ``connectionLost`` where the connection was lost.

    :param error: what the system said; None if it said nothing.
    """
    if error is None:
        return ConnectionLost("the connection was lost")
    reason = ConnectionLost(str(error) or type(error).__name__)
    reason.__cause__ = error
    return reason


class Ending(Delivery, Transport):
    """The part of a connection that has its state, its reason, its timeouts and its channel."""

    __slots__ = (
        "_channel",
        "_closed",
        "_cut_off",
        "_deadline",
        "_life",
        "_options",
        "_peer",
        "_peer_ended",
        "_reason",
        "_released",
    )

    def __init__(
        self,
        backend: ConnectionHost,
        channel: Channel,
        options: ConnectionOptions,
        context: Context | None,
    ) -> None:
        super().__init__(backend, context)
        self._channel = channel
        self._options = options
        self._peer = channel.get_peer()
        self._life = Lifecycle()
        # Whether the channel has reported the peer's end of stream or a failure. The state changes
        # later, when the protocol is told.
        self._peer_ended = False
        # What connectionLost will get, as soon as it is known.
        self._reason: BaseException | None = None
        # Whether `cut_off` was called: the peer is to see that the stream is not complete (PRD-09).
        self._cut_off = False
        # Whether the channel was released.
        self._released = False
        # The timeout that is running: of a half-closed connection, a close, or a cut-off.
        self._deadline: Deadline | None = None
        # What `whenClosed` waits for. Made by its first call.
        self._closed: Event | None = None

    # -- what a connection adds ----------------------------------------------------------------

    @abstractmethod
    def _update_fast_path(self) -> None:
        """Compute the flags that depend on the state, after it has changed."""

    @abstractmethod
    def _forget_pending(self) -> None:
        """Drop the bytes that wait to be sent, and the input that was not delivered."""

    @abstractmethod
    def _release_partners(self, reason: BaseException) -> None:
        """Stop the producer, and tell the connections for which this one produces (PRD-06,
        PRD-09)."""

    @abstractmethod
    def leave(self) -> None:
        """Close as `loseConnection` does, because the backend is being left (END-03, END-06)."""

    @abstractmethod
    def disown(self, reason: ConnectionLost) -> None:
        """Be over, in a forked child, and call nothing (ERR-18)."""

    # -- what is known -------------------------------------------------------------------------

    @property
    def backend(self) -> ConnectionHost:
        return self._backend

    @property
    def channel(self) -> Channel:
        """The channel below. It is to be looked at, as tests do; only the connection calls it."""
        return self._channel

    @property
    def capabilities(self) -> Capabilities:
        return self._channel.capabilities

    @property
    def state(self) -> State:
        return self._life.state

    @property
    def failure(self) -> BaseException | None:
        # The reason is set as soon as it is known, before the protocol hears of it (VRB-11).
        return None if isinstance(self._reason, ConnectionDone) else self._reason

    async def whenClosed(self) -> BaseException:
        # While connectionLost runs, the state is CLOSED already.
        if self._life.state is not State.CLOSED or self._delivering:
            if self._closed is None:
                # An event, so that cancelling one task that waits affects no other (EVT-15).
                self._closed = self._backend.create_event()
            await self._closed.wait()
        assert self._reason is not None
        return self._reason

    # -- finishing -----------------------------------------------------------------------------

    def _enter(self, move: Move) -> None:
        """Move to the next state, and compute what depends on it."""
        self._life.move(move)
        self._update_fast_path()

    def _finish(self, reason: BaseException, *, abort: bool) -> None:
        """End the connection and release the channel. Only connectionLost(*reason*) follows.

        Does nothing if the connection has ended already.

        :param abort: discard what is pending; otherwise everything has been sent already.
        """
        if not self._life.can(Move.FINISH):
            return
        # This order is needed so that connectionLost still comes after a KeyboardInterrupt between
        # any two lines: `_broke` sees to it, or leaving the backend. What can raise comes last.
        self._reason = reason
        self._enter(Move.FINISH)
        self._forget_pending()
        try:
            try:
                self._pump_soon()
            finally:
                self._release(abort=abort)
        except Exception as error:
            self._backend.report(error, "the end of %s could not be told at once", self._peer)
            self._pump_soon()

    def _finish_closed(self) -> None:
        """End after `loseConnection` or `cut_off`, when everything is with the kernel."""
        self._finish(self._cut_off_reason() if self._cut_off else self._clean_reason(), abort=False)

    def _finish_lost(self) -> None:
        """End with the error of the failed send as the reason."""
        self._finish(self._reason or lost(None), abort=True)

    def _clean_reason(self) -> BaseException:
        """The reason where both halves have ended: a clean end, unless a reason is set already.

        One is set if bytes were lost because nobody read a pipe any more (PIP-04).
        """
        return self._reason or ConnectionDone("the connection was closed cleanly")

    def _cut_off_reason(self) -> ConnectionAborted:
        """The reason after `cut_off`."""
        return ConnectionAborted("the connection that this one produced for was lost")

    def _release(self, *, abort: bool) -> None:
        """Release the channel; see `release_channel`."""
        release_channel(
            self._channel,
            self._backend,
            self._options,
            self._peer,
            abort=abort,
            cut_off=self._cut_off,
            peer_ended=self._peer_ended,
        )
        self._released = True

    # -- connectionLost ------------------------------------------------------------------------

    def _deliver_lost(self) -> None:
        """Call ``connectionLost``, and let go of the protocol, the producer and the backend."""
        if self._reason is None:
            # Both halves had ended, and a KeyboardInterrupt came before `_settle` set the reason.
            self._reason = self._clean_reason()
        reason = self._reason
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
        if not self._released:
            # A KeyboardInterrupt came before the channel was released.
            self._release(abort=True)
        self._release_partners(reason)
        fatal = reason if isinstance(reason, FATAL) else None
        protocol = self._protocol
        run = self._context.run
        assert self._life.can(Move.LOST)
        try:
            # Not by `Lifecycle.move`: a KeyboardInterrupt can come when a function returns, and
            # then connectionLost would count as called and never be. Between these two lines none
            # can come.
            self._life.state = _CLOSED
            run(protocol.connectionLost, reason)
        except FATAL as error:
            self._backend.check_process(error)
            fatal = fatal or error
        except BaseException as error:
            self._backend.check_process(error)
            # ERR-04: it is logged here, and no verb's caller and no other connection sees it.
            self._report_callback("connectionLost", error)
        finally:
            if self._backend.foreign is not None:
                self._backend.check_process()
            self._backend.release(self)
            self._let_protocol_go()
            try:
                run(self._backend.hooks.connection_lost, self, reason)
            finally:
                closed, self._closed = self._closed, None
                if closed is not None:
                    closed.set()
        if fatal is not None:
            self._backend.fatal(fatal)

    # -- exceptions ----------------------------------------------------------------------------

    def _raised(self, name: str, error: BaseException) -> None:
        """Log that the callback *name* raised *error*, and abort the connection with it (ERR-02,
        ERR-03, ERR-05)."""
        self._backend.check_process(error)
        try:
            if not isinstance(error, FATAL):
                self._report_callback(name, error)
            if self._life.state is State.ENDED:
                self._reason = error
            else:
                self._finish(error, abort=True)
        except BaseException as another:
            self._broke(another)

    def _broke(self, error: BaseException) -> None:
        """End the connection after an unexpected *error* in the channel, the loop or this class.

        It may also be a KeyboardInterrupt that came in the middle of this class. Nothing says what
        has been done before it, so the connection cannot go on (ERR-13).

        :raises BaseException: *error*, if it is no `Exception`, since it is meant for the program.
        """
        try:
            if isinstance(error, Exception) and not isinstance(error, OSError):
                # An OSError is no defect: connectionLost gets it as the cause, and that is enough.
                self._backend.report(error, "the channel to %s failed", self._peer)
            reason = error if isinstance(error, FATAL) else lost(error)
            unheard = self._life.state is State.CONNECTING
            self._finish(reason, abort=True)
            if unheard:
                # Before connectionMade the protocol does not know the connection, so it is not
                # told of the end either.
                self._life.move(Move.LOST)
                self._backend.release(self)
            elif self._life.state is State.ENDED:
                # Always in a new turn: the error may have ended the pump that is running.
                self._schedule_turn()
                if not self._released:
                    self._release(abort=True)
                # A KeyboardInterrupt may have come after the move and before this was done.
                self._update_fast_path()
        except Exception as another:
            # connectionLost is still called when the backend is left, at the latest.
            self._backend.report(another, "the connection with %s was not ended", self._peer)
        if isinstance(error, FATAL):
            # The caller may be a framework that would swallow what is raised below.
            self._backend.fatal(error)
        if not isinstance(error, Exception):
            raise error

    def _report_callback(self, name: str, error: BaseException) -> None:
        report_callback(self._backend, self._context, error, name, self.protocol, self._peer)

    # -- timeouts ------------------------------------------------------------------------------

    def _limit(self, seconds: float, expired: Callable[[], None]) -> None:
        """Call *expired* once nothing has moved for *seconds*."""
        # A big socket buffer can take nothing for a long while although the peer reads, so what the
        # peer has acknowledged counts as progress too.
        self._deadline = Deadline(self._backend, seconds, expired, self._channel.unsent)
        self._update_fast_path()

    def _limit_half_close(self) -> None:
        """Begin the timeout after which a half-closed, idle connection is abandoned (END-05)."""
        if self._deadline is None and self._options.half_close_timeout is not None:
            self._limit(self._options.half_close_timeout, self._half_close_expired)

    def _limit_close(self) -> None:
        """Begin the timeout of a close that makes no progress (END-04)."""
        if self._options.close_timeout is not None:
            if self._deadline is not None:
                self._deadline.cancel()
            self._limit(self._options.close_timeout, self._close_expired)

    def _touch(self) -> None:
        """Restart the timeout that is running, because there was progress."""
        try:
            if self._deadline is not None:
                self._deadline.touch()
        except BaseException as error:
            self._broke(error)

    def _half_close_expired(self) -> None:
        self.abandon(
            HalfCloseTimeout(f"half-closed and idle for {self._options.half_close_timeout} s")
        )

    def _close_expired(self) -> None:
        self.abandon(CloseTimeout(f"closing without progress for {self._options.close_timeout} s"))

    def _cut_off_expired(self) -> None:
        self.abandon(self._cut_off_reason())

    # -- for the backend -----------------------------------------------------------------------

    def abandon(self, reason: ConnectionLost) -> None:
        """End at once with *reason*, and call ``connectionLost`` now.

        Called by a timeout, and by a backend that has been left, whose loop may have no next turn.
        """
        try:
            self._finish(reason, abort=True)
        except Exception as error:
            self._broke(error)
        self._pump()


_CLOSED = State.CLOSED
"""Looked up beforehand, because access by the class may run Python code of enum's, in which a
KeyboardInterrupt can come."""
