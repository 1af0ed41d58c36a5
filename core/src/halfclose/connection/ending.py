"""How a connection ends: once, and told once, whatever raises and wherever ^C comes (ERR-13).

Three things happen, in this order. The connection *finishes*: the reason is set, the state is
ENDED, and a pump is due. Its channel is *released*. ``connectionLost`` is *delivered*. Each can
be interrupted, and then the next one makes up for it.
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
"""What ends the program, whoever raises it (ERR-05)."""


def lost(error: BaseException | None) -> ConnectionLost:
    """The reason of a connection that was lost; *error* is what the system said, if it did."""
    if error is None:
        return ConnectionLost("the connection was lost")
    reason = ConnectionLost(str(error) or type(error).__name__)
    reason.__cause__ = error
    return reason


class Ending(Delivery, Transport):
    """The state of a connection, its reason, its timeouts, and the channel that it holds."""

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
        # Whether the channel has reported the peer's end of stream, or a failure. The state says
        # so only once the protocol was told.
        self._peer_ended = False
        # The reason of connectionLost, as soon as it is known.
        self._reason: BaseException | None = None
        # Whether to end as one that this connection produced for, and that was lost (PRD-09).
        self._cut_off = False
        # Whether the channel was given back.
        self._released = False
        # The timeout that is running: of a half-closed connection, a close, or a cut-off.
        self._deadline: Deadline | None = None
        # What `whenClosed` waits for, once somebody does.
        self._closed: Event | None = None

    # -- what a connection adds ----------------------------------------------------------------

    @abstractmethod
    def _update_fast_path(self) -> None:
        """The state has changed: compute anew what depends on it."""

    @abstractmethod
    def _forget_pending(self) -> None:
        """Nothing is sent, and no input is told, any more."""

    @abstractmethod
    def _release_partners(self, reason: BaseException) -> None:
        """Stop the producer, and tell those for whom this connection is one (PRD-06, PRD-09)."""

    @abstractmethod
    def leave(self) -> None:
        """Close as `loseConnection` does, for a backend that is being left (END-03, END-06)."""

    @abstractmethod
    def disown(self, reason: ConnectionLost) -> None:
        """In a forked child: it is over here, and nobody is told (ERR-18)."""

    # -- what is known -------------------------------------------------------------------------

    @property
    def backend(self) -> ConnectionHost:
        return self._backend

    @property
    def channel(self) -> Channel:
        """The channel below, which the connection drives; to look at it, and to test it."""
        return self._channel

    @property
    def capabilities(self) -> Capabilities:
        return self._channel.capabilities

    @property
    def state(self) -> State:
        return self._life.state

    @property
    def failure(self) -> BaseException | None:
        return None if isinstance(self._reason, ConnectionDone) else self._reason

    async def whenClosed(self) -> BaseException:
        if self._life.state is not State.CLOSED or self._delivering:
            if self._closed is None:
                # One for all that wait: each may be cancelled by itself.
                self._closed = self._backend.create_event()
            await self._closed.wait()
        assert self._reason is not None
        return self._reason

    # -- finishing -----------------------------------------------------------------------------

    def _enter(self, move: Move) -> None:
        self._life.move(move)
        self._update_fast_path()

    def _finish(self, reason: BaseException, *, abort: bool) -> None:
        """End the connection below; connectionLost(*reason*) is the only event still to come.

        A no-op where it has ended already.

        :param abort: release the channel at once, not after what was sent.
        """
        if not self._life.can(Move.FINISH):
            return
        # In this order, so that wherever it is interrupted the end is still told: by `_broke`, or
        # when the backend is left. What may raise comes last.
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
        """End after `loseConnection`, all having been handed over."""
        self._finish(self._cut_off_reason() if self._cut_off else self._clean_reason(), abort=False)

    def _finish_lost(self) -> None:
        """End with what the failed send said."""
        self._finish(self._reason or lost(None), abort=True)

    def _clean_reason(self) -> BaseException:
        """Both halves have ended; a pipe that lost its reader may have cost bytes (PIP-04)."""
        return self._reason or ConnectionDone("the connection was closed cleanly")

    def _cut_off_reason(self) -> ConnectionAborted:
        return ConnectionAborted("the connection that this one produced for was lost")

    def _release(self, *, abort: bool) -> None:
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

    # -- telling -------------------------------------------------------------------------------

    def _deliver_lost(self) -> None:
        if self._reason is None:
            # Both halves had ended, and something came between that and the word for it.
            self._reason = self._clean_reason()
        reason = self._reason
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
        if not self._released:
            # ^C came in the middle of it.
            self._release(abort=True)
        self._release_partners(reason)
        fatal = reason if isinstance(reason, FATAL) else None
        protocol = self._protocol
        run = self._context.run
        assert self._life.can(Move.LOST)
        try:
            # Not by `Lifecycle.move`: ^C can come when a function returns, and then the protocol
            # would count as told. Nothing comes between these two.
            self._life.state = _CLOSED
            run(protocol.connectionLost, reason)
        except FATAL as error:
            self._backend.check_process(error)
            fatal = fatal or error
        except BaseException as error:
            self._backend.check_process(error)
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

    # -- what raises ---------------------------------------------------------------------------

    def _raised(self, name: str, error: BaseException) -> None:
        """The callback *name* raised: log it, and abort with *error* (ERR-02, ERR-03, ERR-05)."""
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
        """The channel or the loop raised what it never should, or ^C came in the middle of us.

        Nobody knows what has been done and what not, so the connection ends (ERR-13).

        :raises BaseException: *error*, if it is no `Exception`: it is meant for the program.
        """
        try:
            if isinstance(error, Exception) and not isinstance(error, OSError):
                # What the system says is told to the protocol, and no defect of anybody's.
                self._backend.report(error, "the channel to %s failed", self._peer)
            reason = error if isinstance(error, FATAL) else lost(error)
            unheard = self._life.state is State.CONNECTING
            self._finish(reason, abort=True)
            if unheard:
                # The protocol has not heard of it, and so not of its end either.
                self._life.move(Move.LOST)
                self._backend.release(self)
            elif self._life.state is State.ENDED:
                # Whoever is delivering an event may never come to its end.
                self._schedule_turn()
                if not self._released:
                    self._release(abort=True)
                # And ^C may have come before `_enter` had done so.
                self._update_fast_path()
        except Exception as another:
            # Whoever leaves the backend tells the protocol, at the latest.
            self._backend.report(another, "the connection with %s was not ended", self._peer)
        if isinstance(error, FATAL):
            # Whoever called us may be a framework that keeps it to itself.
            self._backend.fatal(error)
        if not isinstance(error, Exception):
            raise error

    def _report_callback(self, name: str, error: BaseException) -> None:
        report_callback(self._backend, self._context, error, name, self.protocol, self._peer)

    # -- timeouts ------------------------------------------------------------------------------

    def _limit(self, seconds: float, expired: Callable[[], None]) -> None:
        """Call *expired* once nothing has moved for *seconds*."""
        # A big socket buffer takes nothing for a long while although the peer reads.
        self._deadline = Deadline(self._backend, seconds, expired, self._channel.unsent)
        self._update_fast_path()

    def _limit_half_close(self) -> None:
        """END-05: one half has ended, and the other may not be idle for long."""
        if self._deadline is None and self._options.half_close_timeout is not None:
            self._limit(self._options.half_close_timeout, self._half_close_expired)

    def _limit_close(self) -> None:
        """END-04: `loseConnection` was called, and what is pending may not wait for long."""
        if self._options.close_timeout is not None:
            if self._deadline is not None:
                self._deadline.cancel()
            self._limit(self._options.close_timeout, self._close_expired)

    def _touch(self) -> None:
        """Something moved: what waits for the deadline waits anew."""
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
        """End at once with *reason* and tell the protocol now: the loop is about to end."""
        try:
            self._finish(reason, abort=True)
        except Exception as error:
            self._broke(error)
        self._pump()


_CLOSED = State.CLOSED
"""Looked up beforehand: to ask the class for it may run code of enum's, and ^C can come there."""
