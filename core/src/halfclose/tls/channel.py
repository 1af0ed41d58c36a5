"""`TLSChannel`: a channel of plain bytes over a channel of TLS records.

Theory of operation
===================

The channel is the handler of the channel below. What comes from below is fed to the `Engine` in
pieces, and what the engine makes of it is delivered. What is written is encrypted in pieces and
handed to the channel below. What that one does not take is kept here, and nothing more is encrypted
until it is gone. So what waits is one read in the one direction (TLS-17), and one piece in the
other.

A channel begins with the handshake (`shake_hands`), while it has no handler, or, after
``startTLS``, while a connection is its handler already. What the connection writes until the
handshake is over is not taken, so that it waits in the connection (TLS-15).

*The end of our half* is the alert close_notify, and no end of stream below (TLS-02). Many peers
would take that one for the end of everything.

*The end of the peer's half* is its close_notify, and it ends nothing else (TLS-03). Whatever comes
after it is not delivered (TLS-08).
An end of stream below without it means that bytes may be missing: that is a failure with a
`TruncatedError`, or, if the options say so and it came at the end of a record, the end (TLS-05).

*After the end*, a connection lets its channel linger. From then on nothing is decrypted. The end of
stream below is sent, and what comes is given to the lingerer as it is (TLS-09), tickets too, which
unread would cause a reset (TLS-10).

*A fatal error* makes the engine say why in an alert. The connection aborts the channel then, but a
reset could overtake the alert. So the channel below is not reset but lingers itself (TLS-12).
"""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..channel import Capabilities, Channel, ChannelHandler
from ..connection.releasing import release_channel
from ..endpoints import Endpoint
from ..host import ConnectionHost, SecureChannel
from ..loop import TimerHandle
from ..options import ConnectionOptions
from ..reasons import TruncatedError
from ..tls_options import TLSInfo, TLSOptions
from .engine import FED, PIECE, Engine
from .farewell import Farewell
from .records import HEAD, Records

__all__ = ["TLSChannel"]

_SENT_AT_ONCE = 4 * PIECE
"""Bytes of data that are handed to the channel below in one call at most."""

_NOBODY: Any = None
"""Stands for the handler of a channel that has none yet, or none any more."""

_MOST_UNREAD = 64 * 1024
"""Bytes of answers to the peer's TLS that may wait: two thousand answers and more."""


class TLSChannel(SecureChannel, ChannelHandler):
    """TLS over *below*. Call `shake_hands` next.

    :param host: schedules calls, and lingers for the channel below.
    :param below: the channel of the records, which is this one's from now on.
    :param engine: one side of TLS, new.
    :param tls: the options of TLS.
    :param options: those of the connection.
    """

    __slots__ = (
        "__weakref__",
        "_alerted",
        "_below",
        "_done",
        "_end_owed",
        "_end_sent",
        "_engine",
        "_failure",
        "_handler",
        "_held",
        "_host",
        "_options",
        "_over",
        "_peer_ended",
        "_raw",
        "_reading",
        "_records",
        "_released",
        "_rest",
        "_secure",
        "_send_error",
        "_spared",
        "_timer",
        "_tls",
        "_truncated",
        "_unread",
        "_wanted",
        "capabilities",
    )

    def __init__(
        self,
        host: ConnectionHost,
        below: Channel,
        engine: Engine,
        tls: TLSOptions,
        options: ConnectionOptions,
    ) -> None:
        self._host = host
        self._below = below
        self._engine = engine
        self._tls = tls
        self._options = options
        # The peer sees an end of its half below without close_notify, or a reset, and neither looks
        # complete to it. Its own end of a half is an alert, which any channel can carry (TLS-20).
        self.capabilities: Capabilities = replace(
            below.capabilities, can_half_close=True, can_reset=True
        )
        self._handler: ChannelHandler = _NOBODY
        # What `shake_hands` was given, while the handshake goes on.
        self._done: Callable[[Exception | None], None] | None = None
        self._timer: TimerHandle | None = None
        # Whether the handler wants input.
        self._reading = False
        # Input that was not fed to the engine yet.
        self._rest: deque[memoryview] | None = None
        # Output that the channel below has not taken yet.
        self._held: memoryview | None = None
        # How many bytes of the engine's answers there are in it.
        self._unread = 0
        # Whether the handler waits for `writable`, and whether for `write_ended`.
        self._wanted = False
        self._end_owed = False
        # Whether our close_notify was handed over, and whether the peer's was read.
        self._end_sent = False
        self._peer_ended = False
        # Whether nothing is lost if our close_notify cannot be sent (TLS-22).
        self._spared = False
        # What the channel below has reported, and what is told after the input before it.
        self._truncated = False
        self._failure: Exception | None = None
        # Why nothing can be sent any more, while there is no handler to be told.
        self._send_error: Exception | None = None
        self._records = Records()
        # Whether the engine has sent an alert because it is broken.
        self._alerted = False
        # Whether the handshake is over and has not failed.
        self._secure = False
        # Whether this channel lingers, and decrypts nothing any more.
        self._raw = False
        # Whether it was closed or aborted, and whether the channel below was released then.
        self._over = False
        self._released = False

    # -- the handshake -------------------------------------------------------------------------

    def shake_hands(
        self,
        done: Callable[[Exception | None], None],
        *,
        before: bytes = b"",
        received: bytes = b"",
    ) -> None:
        self._done = done
        self._below.start(self)
        self._timer = self._host.call_later(self._tls.handshake_timeout, self._expired)
        self._below.resume_reading()
        if before:
            self._send(before)
        if received:
            self._engine.note_hello(received)
            self._keep(received)
        self._shake()

    @property
    def shaking_hands(self) -> bool:
        """Whether the handshake goes on."""
        return self._done is not None

    def _shake(self) -> None:
        """Go on with the handshake, as far as the input allows."""
        engine = self._engine
        try:
            while not (complete := engine.handshake()) and self._feed():
                pass
            self._send(engine.produced())
        except ssl.SSLError as error:
            self._alert()
            self._shaken(error)
            return
        except Exception as error:
            # Also what a class of the program has raised, which a context can have for its objects.
            self._shaken(error)
            return
        if complete:
            self._shaken(None)
        elif self._failure is not None:
            self._shaken(self._failure)
        elif self._truncated:
            self._shaken(TruncatedError("the peer ended the connection during the TLS handshake"))

    def _shaken(self, error: Exception | None) -> None:
        """Tell that the handshake is over, or has failed with *error*, and do what has waited."""
        done, self._done = self._done, None
        self._secure = error is None
        self._forget_timer()
        assert done is not None
        done(error)
        if error is not None or self._over:
            return
        if not self._reading:
            self._below.pause_reading()
        self._after_sending()
        if self._end_owed and not self._end_sent:
            self._end_as_owed()
        self._deliver()

    def _end_as_owed(self) -> None:
        """Send the end of our half, which was asked for during the handshake (TLS-15)."""
        try:
            self._end()
        except OSError as error:
            self._handler.write_failed(error)
        else:
            self._after_sending()

    def _expired(self) -> None:
        self._timer = None
        if self._done is not None:
            seconds = self._tls.handshake_timeout
            self._shaken(TimeoutError(f"the TLS handshake was not over within {seconds:g} s"))

    def _forget_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # -- being read ----------------------------------------------------------------------------

    def start(self, handler: ChannelHandler) -> None:
        self._handler = handler
        if self._send_error is not None:
            self._host.call_soon(self._fail_sending, self._send_error)
        if self._failure is not None:
            self._host.call_soon(self._go_on)

    def linger(self, handler: ChannelHandler) -> None:
        self._handler = handler
        self._raw = True
        self._rest = None
        if self._held is None:
            self._end_below()
        if self._truncated or self._failure is not None:
            self._host.call_soon(self._tell_lingerer)

    def _end_below(self) -> None:
        """Send the end of stream below, behind our close_notify, since this channel lingers."""
        if self._end_sent and self._below.capabilities.can_half_close:
            # If this fails, reading fails too, and that is told.
            with suppress(OSError):
                self._below.end_write()

    def _tell_lingerer(self) -> None:
        if not self._over:
            self._handler.failed(self._failure)

    def resume_reading(self) -> None:
        self._reading = True
        if self._raw:
            if not self._truncated:
                self._below.resume_reading()
            return
        if self._done is not None or self._peer_ended:
            return
        if not self._truncated:
            self._below.resume_reading()
        if self._has_more():
            self._host.call_soon(self._go_on)

    def pause_reading(self) -> None:
        self._reading = False
        if self._done is None and not (self._truncated or self._peer_ended):
            self._below.pause_reading()

    def _has_more(self) -> bool:
        """Whether there is something to deliver without reading below."""
        return (
            self._rest is not None
            or self._engine.incoming.pending > 0
            or self._truncated
            or self._failure is not None
        )

    def _go_on(self) -> None:
        if self._done is None:
            self._deliver()

    def received(self, data: bytes) -> None:
        if self._raw:
            self._handler.received(data)
            return
        if self._peer_ended:
            return
        size = len(data)
        if (
            # What comes is one whole record, as a small message is.
            HEAD < size <= FED
            and size == HEAD + (data[3] << 8 | data[4])
            and self._rest is None
            and not self._records.inside
            and not self._engine.incoming.pending
        ):
            self._engine.incoming.write(data)
        else:
            self._keep(data)
        if self._done is None:
            self._deliver()
        else:
            self._engine.note_hello(data)
            self._shake()

    def _keep(self, data: bytes) -> None:
        """Have *data* fed to the engine after what waits for that already."""
        if self._rest is None:
            self._rest = deque()
        self._rest.append(memoryview(data))

    def _feed(self) -> bool:
        """Feed the next record of what waits to the engine, or what there is of it.

        One at a time, because to ask the engine for data that has not come whole costs an
        exception, and its BIO would keep the memory.

        :returns: whether there was something.
        """
        rest = self._rest
        if rest is None:
            return False
        data = rest.popleft()
        size = self._records.next_piece(data)
        self._engine.incoming.write(data[:size])
        if len(data) > size:
            rest.appendleft(data[size:])
        elif not rest:
            self._rest = None
        return True

    def _deliver(self) -> None:
        """Decrypt what has come, and deliver it until the handler wants no more.

        If the channel below has failed, all is delivered, since this channel cannot keep it.
        """
        if self._handler is _NOBODY:
            return
        engine = self._engine
        incoming = engine.incoming
        while self._delivers():
            if not incoming.pending and (self._rest is None or not self._feed()):
                break
            try:
                data = engine.decrypt()
            except Exception as error:
                self._alert()
                self._break(error)
                return
            if data:
                self._handler.received(data)
            elif data is not None:
                self._end_reading()
                return
        if self._raw or self._over:
            return
        if engine.outgoing.pending:
            self._answer()
        # A failure sets this too.
        if self._truncated and (self._reading or self._failure is not None) and not self._over:
            self._tell_end()

    def _delivers(self) -> bool:
        """Whether the handler is to be given the data that comes next."""
        if self._raw or self._over or self._peer_ended:
            return False
        return self._reading or self._failure is not None

    def _end_reading(self) -> None:
        """Tell that the peer's close_notify came.

        What follows it is not delivered (TLS-08), but read: closing a socket with unread input
        would reset it, and destroy our answer (END-01).
        """
        self._peer_ended = True
        self._rest = None
        if not (self._truncated or self._below.capabilities.bounds_input):
            # Its framework reads on anyway. If we read too, that would take a reset out of the
            # socket a turn before we are told, and `look_for_error` would not find it (FLU-11).
            self._below.pause_reading()
        self._handler.read_ended()
        if self._failure is not None and not (self._raw or self._over):
            self._break(self._failure)

    def _tell_end(self) -> None:
        """Tell the failure or the end below, since all input before it has been delivered."""
        if self._failure is not None:
            self._break(self._failure)
        elif self._truncated and not self._peer_ended:
            if self._tls.truncation == "eof" and not self._records.inside:
                self._peer_ended = True
                self._handler.read_ended()
            else:
                self._break(
                    TruncatedError(
                        "the peer ended the connection without close_notify, the end of its TLS"
                    )
                )

    def _answer(self) -> None:
        """Send what the engine has to say of itself, such as the answer to a key update."""
        said = self._engine.produced()
        if not said:
            return
        # Nothing is paused by a backlog of answers, since no producer has written them.
        self._unread = self._unread + len(said) if self._held is not None else 0
        try:
            self._send(said)
        except OSError as error:
            self._handler.write_failed(error)
            return
        if self._unread > _MOST_UNREAD:
            self._break(
                ConnectionError("the peer makes TLS answer it, and does not read the answers")
            )

    def _break(self, error: Exception) -> None:
        self._reading = False
        self._handler.failed(error)

    def _alert(self) -> None:
        """Send the alert by which the engine says what is wrong (TLS-12)."""
        self._alerted = True
        with suppress(OSError):
            self._send(self._engine.produced())

    # -- what else happens below ---------------------------------------------------------------

    def read_ended(self) -> None:
        if self._raw:
            self._truncated = True
            self._handler.read_ended()
        else:
            self._truncated = True
            # After close_notify it says nothing new (TLS-04).
            if not self._peer_ended:
                self._go_on_after_end()

    def failed(self, error: Exception | None) -> None:
        if self._raw:
            self._handler.failed(error)
            return
        # What has come before is delivered first. It may hold the alert that says why (TLS-14).
        self._failure = error or ConnectionResetError("the connection was lost")
        self._truncated = True
        self._go_on_after_end()

    def _go_on_after_end(self) -> None:
        if self._done is not None:
            self._shake()
        else:
            self._deliver()

    def write_failed(self, error: Exception) -> None:
        self._held = None
        if self._done is not None:
            return
        if self._end_owed and self._spared and isinstance(error, BrokenPipeError):
            self._end_owed = False
            self._handler.write_ended()
        else:
            self._fail_sending(error)

    def reader_gone(self, error: Exception) -> None:
        # One half of TLS cannot do without the other.
        if self._done is None:
            self._fail_sending(error)
        else:
            self._shaken(error)

    def _fail_sending(self, error: Exception) -> None:
        """Tell the handler that nothing can be sent any more, as soon as there is one."""
        if self._handler is _NOBODY:
            self._send_error = error
        else:
            self._handler.write_failed(error)

    def writable(self) -> None:
        held, self._held = self._held, None
        try:
            # None: the connection had waited for room before ``startTLS``.
            if held is not None:
                self._send(held)
        except OSError as error:
            if self._done is None:
                self._fail_sending(error)
            return
        if self._raw and held is not None and self._held is None:
            self._end_below()
        if self._done is None:
            self._after_sending()

    def _after_sending(self) -> None:
        """Tell the handler what it waits for, once all has been handed over below."""
        if self._held is not None or self._raw or self._over:
            return
        if self._wanted:
            self._wanted = False
            self._handler.writable()
        elif self._end_owed and self._end_sent and self._below.flushed():
            self._end_owed = False
            self._handler.write_ended()

    def write_ended(self) -> None:
        """Does nothing: the end of stream below is sent when this channel lingers."""

    # -- being written to ----------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> int:
        if self._held is not None or self._done is not None:
            self._wanted = True
            return 0
        size = len(data)
        if size <= PIECE:
            records = self._engine.encrypt(data)
            sent = self._below.write(records)
            if sent < len(records):
                self._held = memoryview(records)[sent:]
            return size
        taken = 0
        view = memoryview(data)
        while taken < size and self._held is None:
            # A call of the system for each piece would cost more than to join them.
            end = min(size, taken + _SENT_AT_ONCE)
            pieces = range(taken, end, PIECE)
            encrypt = self._engine.encrypt
            self._send(b"".join([encrypt(view[at : min(at + PIECE, end)]) for at in pieces]))
            taken = end
        if taken < size:
            self._wanted = True
        return taken

    def _send(self, data: bytes | memoryview) -> None:
        """Hand *data* to the channel below, and hold what it does not take.

        :raises OSError: nothing can be sent any more.
        """
        if self._held is not None:
            self._held = memoryview(b"".join((self._held, data)))
        elif data:
            taken = self._below.write(data)
            if taken < len(data):
                self._held = memoryview(data)[taken:]

    def end_write(self) -> bool:
        if self._done is None:
            self._end()
            if self._all_sent():
                return True
        self._end_owed = True
        return False

    def flushed(self) -> bool:
        if self._all_sent():
            return True
        self._wanted = True
        return False

    def _all_sent(self) -> bool:
        """Whether all that was written is with the kernel; if not, `writable` comes."""
        return self._held is None and self._below.flushed()

    def _end(self) -> None:
        """Send close_notify, and no end of stream below (TLS-02).

        :raises OSError: the connection is lost.
        """
        self._end_sent = True
        if self._peer_ended:
            # The peer may be gone. If it was a reset, what it has not read is lost (FLU-11).
            self._spared = self._all_sent()
            error = self._below.look_for_error()
            if error is not None:
                if not self._spared or not isinstance(error, BrokenPipeError):
                    raise error
                # TLS-22: nobody is there who could be told.
                return
        try:
            self._send(self._engine.end())
        except BrokenPipeError:
            if not self._spared:
                raise

    # -- the end -------------------------------------------------------------------------------

    # Where one of these has raised, the caller tries the other one (ERR-13).

    def close(self) -> None:
        if self._released:
            return
        unread = self._peer_ended and not (self._raw or self._truncated or self._over)
        nested = isinstance(self._below, SecureChannel) and not self._raw
        self._leave()
        if nested or (unread and self._below.has_input()):
            # TLS below has an end of its own, without which the peer would see a truncated stream.
            # END-01: what follows the peer's close_notify was not read, and a close would reset.
            self._linger_below()
        else:
            self._below.close()
        self._released = True

    def abort(self) -> None:
        if self._released:
            return
        # So that the peer can read the alert, which a reset would overtake.
        alerted = self._alerted and not (self._over or self._raw)
        if alerted and self._held is not None:
            self._linger_for_alert()
            return
        self._leave()
        if alerted:
            self._linger_below()
        else:
            # Without close_notify what the peer has read does not look complete (TLS-11).
            self._below.abort()
        self._released = True

    def _leave(self) -> None:
        self._over = True
        self._let_handler_go()

    def _let_handler_go(self) -> None:
        self._reading = False
        self._done = None
        self._forget_timer()
        # The handler holds this channel.
        self._handler = _NOBODY

    def _linger_for_alert(self) -> None:
        """Have this channel itself linger, since the channel below has not taken the alert yet."""
        self._let_handler_go()
        # The alert ends our half as close_notify does.
        self._end_sent = True
        self._release(self, self._truncated)

    def _linger_below(self) -> None:
        """Close below once the peer has ended its stream there, so that no reset destroys what it
        has not read yet."""
        try:
            ended = not self._below.capabilities.can_half_close or self._below.end_write()
        except OSError:
            self._below.abort()
            return
        if ended or self._options.linger_timeout <= 0:
            self._release_below(self._truncated)
        else:
            Farewell(self._below, self._host, self._options.linger_timeout, self._release_below)

    def _release_below(self, peer_ended: bool) -> None:
        self._release(self._below, peer_ended)

    def _release(self, channel: Channel, peer_ended: bool) -> None:
        release_channel(
            channel,
            self._host,
            self._options,
            self._below.get_peer(),
            abort=False,
            cut_off=False,
            peer_ended=peer_ended or self._truncated,
        )

    # -- what is known -------------------------------------------------------------------------

    def get_tls(self) -> TLSInfo | None:
        return self._engine if self._secure else None

    def has_input(self) -> bool:
        if self._peer_ended:
            return False
        return self._has_more() or self._below.has_input()

    def look_for_error(self) -> OSError | None:
        return self._below.look_for_error()

    def unsent(self) -> int:
        held = 0 if self._held is None else len(self._held)
        return held + self._below.unsent()

    def get_peer(self) -> Endpoint:
        return self._below.get_peer()

    def get_host(self) -> Endpoint:
        return self._below.get_host()

    @property
    def carrier(self) -> Channel:
        return self._below.carrier

    def descriptors(self) -> Collection[int]:
        return self._below.descriptors()

    def get_handle(self) -> object:
        return self._below.get_handle()

    def set_no_delay(self, enabled: bool) -> None:
        self._below.set_no_delay(enabled)

    def set_keep_alive(self, enabled: bool) -> None:
        self._below.set_keep_alive(enabled)
