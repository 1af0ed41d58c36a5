"""Mistakes about TLS."""

from __future__ import annotations

import logging
import ssl
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from halfclose.connection import Connection
from halfclose.reasons import ConnectError
from halfclose.tls import accepting, connecting, hello
from halfclose.tls import channel as channels
from halfclose.tls.channel import TLSChannel
from halfclose.tls.engine import PIECE, Engine
from halfclose.tls.records import Records
from mutants.mutant import mutant
from mutants.options import with_options
from mutants.patching import Patch
from mutants.wrapping import after, around, before, below_of, event, nothing

secure = partial(mutant, on="tls-memory")
"""A mutant that is to be caught over TLS, in memory."""


def with_tls(patch: Patch, **changes: Any) -> None:
    """Have each channel made with these options of TLS in the place of its own."""

    def make(
        real: Any, channel: TLSChannel, host: Any, below: Any, engine: Any, tls: Any, options: Any
    ) -> None:
        real(host, below, engine, replace(tls, **changes), options)

    around(patch, TLSChannel, "__init__", make)


def reads_on(connection: Connection) -> None:
    """Have the channel below *connection*'s TLS go on reading."""
    channel: Any = connection.channel
    if isinstance(channel, TLSChannel):
        below_of(channel).resume_reading()


# -- TLS-01: the handshake comes first -------------------------------------------------------------


@secure("TLS-01")
def made_before_the_handshake(patch: Patch) -> None:
    """The connection is made when the handshake begins."""

    def shake_hands(real: Any, channel: TLSChannel, done: Any, **data: bytes) -> None:
        done(None)
        real(nothing, **data)

    around(patch, TLSChannel, "shake_hands", shake_hands)
    around(patch, TLSChannel, "get_tls", lambda _, channel: channel._engine)


@secure("TLS-01")
def the_certificate_is_not_known(patch: Patch) -> None:
    """The peer's certificate is checked and forgotten."""
    around(patch, Engine, "certificate", nothing)


@secure("TLS-01", silent="the condition")
def what_comes_with_the_handshake_is_dropped(patch: Patch) -> None:
    """Records that come with the last message of a handshake are thrown away with it."""

    def shaken(real: Any, channel: TLSChannel, error: Exception | None) -> None:
        channel._rest = None
        real(error)

    around(patch, TLSChannel, "_shaken", shaken)


# -- TLS-02: our half ends -------------------------------------------------------------------------


@secure("TLS-02")
def our_end_ends_the_stream_below(patch: Patch) -> None:
    """The end of our half is sent twice, by TLS and by the channel below."""
    after(patch, TLSChannel, "end_write", lambda channel: below_of(channel).end_write())


@secure("TLS-02")
def our_end_is_that_of_the_stream_below(patch: Patch) -> None:
    """The end of our half is sent by the channel below, and not by TLS."""

    def end_write(_: Any, channel: TLSChannel) -> bool:
        return below_of(channel).end_write()

    around(patch, TLSChannel, "end_write", end_write)


@secure("TLS-02", silent="the condition")
def nothing_is_read_after_our_end(patch: Patch) -> None:
    """A channel that has sent its close_notify reads no more."""
    after(patch, TLSChannel, "end_write", TLSChannel.pause_reading)


# -- TLS-03: the peer's half ends ------------------------------------------------------------------


@secure("TLS-03")
def the_peers_end_is_answered(patch: Patch) -> None:
    """close_notify is answered by close_notify, as the specification of TLS 1.2 asks."""
    after(patch, Connection, "read_ended", Connection.loseWriteConnection)


@secure("TLS-03", silent="in vain")
def nothing_is_sent_after_the_peers_end(patch: Patch) -> None:
    """What is written after the peer's close_notify is thrown away."""
    ended: WeakSet[Any] = WeakSet()
    before(patch, Connection, "read_ended", lambda connection: ended.add(connection.channel))

    def write(real: Any, channel: TLSChannel, data: bytes) -> int:
        return len(data) if channel in ended else int(real(data))

    around(patch, TLSChannel, "write", write)


# -- TLS-04: both ends at once ---------------------------------------------------------------------


@secure("TLS-04")
def the_end_below_ends_both_halves(patch: Patch) -> None:
    """An end of stream below is a loss, whatever came before it."""
    after(patch, Connection, "read_ended", reads_on)
    around(patch, TLSChannel, "read_ended", lambda _, channel: channel.failed(None))


# -- TLS-05: truncation ----------------------------------------------------------------------------


@secure("TLS-05")
def truncation_is_an_end(patch: Patch) -> None:
    """An end of stream below is the peer's end of stream, as asyncio has it."""
    with_tls(patch, truncation="eof")


@secure("TLS-05")
def truncation_is_always_an_error(patch: Patch) -> None:
    """The option that takes an end below for the peer's is overlooked."""
    with_tls(patch, truncation="error")


@secure("TLS-05")
def a_record_may_end_anywhere(patch: Patch) -> None:
    """Whether an end comes inside a record is not looked at."""

    def next_piece(real: Any, records: Records, data: memoryview) -> Any:
        size = real(data)
        records.inside = False
        return size

    around(patch, Records, "next_piece", next_piece)


@secure("TLS-05")
def a_head_comes_whole(patch: Patch) -> None:
    """The head of a record is taken to come in one piece."""

    def next_piece(real: Any, records: Records, data: memoryview) -> Any:
        return real(data) if len(data) >= 5 else len(data)

    around(patch, Records, "next_piece", next_piece)


@secure("TLS-05")
def truncation_is_a_reset(patch: Patch) -> None:
    """The cause of a loss by truncation is that of a reset."""
    around(patch, TLSChannel, "read_ended", lambda _, channel: channel.failed(None))


# -- TLS-06: half-closing loses no input -----------------------------------------------------------


@secure("TLS-06")
def half_closing_meets_a_record(patch: Patch) -> None:
    """All records that have come wait inside OpenSSL while close_notify is made."""
    around(patch, Records, "next_piece", lambda _, records, data: len(data))
    patch.edit(Engine.end, "kept = self.incoming.read()", "kept = b''")


@secure("TLS-06")
def half_closing_throws_records_away(patch: Patch) -> None:
    """Records that wait are thrown away when close_notify is made."""
    before(patch, TLSChannel, "end_write", lambda channel: setattr(channel, "_rest", None))


# -- TLS-07: after our close_notify ----------------------------------------------------------------


@secure("TLS-07")
def key_updates_are_answered(patch: Patch) -> None:
    """What OpenSSL has to say after our close_notify is sent."""
    patch.edit(Engine.produced, 'b"" if self._muted else said', "said")


@secure("TLS-07")
def what_comes_late_is_fatal(patch: Patch) -> None:
    """A message of TLS itself that comes after our close_notify is taken for an error."""
    ended: WeakSet[Engine] = WeakSet()
    after(patch, Engine, "end", ended.add)

    def decrypt(real: Any, engine: Engine) -> bytes | None:
        data: bytes | None = real()
        if data is None and engine in ended:
            raise ssl.SSLError("unexpected message")
        return data

    around(patch, Engine, "decrypt", decrypt)


# -- TLS-08: after the peer's close_notify ---------------------------------------------------------


@secure("TLS-08")
def what_follows_the_end_is_delivered(patch: Patch) -> None:
    """Bytes after the peer's close_notify are taken for what the protocol wants in plain."""
    ended: WeakKeyDictionary[Any, Connection] = WeakKeyDictionary()

    def read_ended(connection: Connection) -> None:
        channel: Any = connection.channel
        ended[channel] = connection

    after(patch, Connection, "read_ended", read_ended)
    after(patch, Connection, "read_ended", reads_on)

    def received(real: Any, channel: TLSChannel, data: bytes) -> None:
        if channel in ended:
            protocol: Any = ended[channel].protocol
            protocol.dataReceived(data)
        else:
            real(data)

    around(patch, TLSChannel, "received", received)


@secure("TLS-08")
def what_follows_the_end_is_fatal(patch: Patch) -> None:
    """Bytes after the peer's close_notify break the connection."""
    ended: WeakSet[Any] = WeakSet()

    after(patch, Connection, "read_ended", lambda connection: ended.add(connection.channel))
    after(patch, Connection, "read_ended", reads_on)

    def received(real: Any, channel: TLSChannel, data: bytes) -> None:
        if channel in ended:
            channel.failed(None)
            ended.discard(channel)
        real(data)

    around(patch, TLSChannel, "received", received)


# -- TLS-09: closing -------------------------------------------------------------------------------


@secure("TLS-09", silent="connectionLost")
def a_close_waits_for_the_peers(patch: Patch) -> None:
    """A connection that has sent its close_notify is not over before the peer's has come."""
    around(patch, TLSChannel, "end_write", lambda real, _: real() and False)


@secure("TLS-09")
def a_close_sends_no_close_notify(patch: Patch) -> None:
    """loseConnection ends the stream below, and that has to do."""
    around(patch, Engine, "end", lambda *_: b"")


@mutant("TLS-09", on="tls")
def lingering_decrypts(patch: Patch) -> None:
    """A channel that lingers decrypts what comes, and resets where it cannot."""
    over: WeakSet[TLSChannel] = WeakSet()
    before(patch, TLSChannel, "linger", lambda channel, _: over.add(channel))

    def received(real: Any, channel: TLSChannel, data: bytes) -> None:
        engine: Any = channel.get_tls()
        if channel in over:
            try:
                engine.incoming.write(data[:PIECE])
                engine.decrypt()
            except ssl.SSLError:
                below_of(channel).abort()
                return
        real(data)

    around(patch, TLSChannel, "received", received)


# -- TLS-10: a client that never reads -------------------------------------------------------------


@secure("TLS-10")
def a_client_does_not_linger(patch: Patch) -> None:
    """A channel is closed with the tickets of the server unread."""
    with_options(patch, lambda options: replace(options, linger_timeout=0))


# -- TLS-11: aborting ------------------------------------------------------------------------------


@secure("TLS-11")
def an_abort_says_goodbye(patch: Patch) -> None:
    """close_notify goes out before the reset."""

    def abort(channel: TLSChannel) -> None:
        with suppress(OSError):
            channel.end_write()

    before(patch, TLSChannel, "abort", abort)


@secure("TLS-11")
def an_abort_is_a_close(patch: Patch) -> None:
    """The channel below is closed, and not reset."""
    around(patch, TLSChannel, "abort", lambda _, channel: channel.close())


# -- TLS-12: a fatal error -------------------------------------------------------------------------


@mutant("TLS-12", on="tls")
def a_reset_overtakes_the_alert(patch: Patch) -> None:
    """The channel below is reset as soon as the alert was handed over."""
    around(patch, TLSChannel, "abort", lambda _, channel: below_of(channel).abort())


@secure("TLS-12", silent="connectionLost")
def a_changed_record_is_the_end(patch: Patch) -> None:
    """A record that cannot be decrypted ends the peer's half."""

    def decrypt(real: Any, _: Engine) -> bytes | None:
        try:
            data: bytes | None = real()
        except ssl.SSLError:
            return b""
        return data

    around(patch, Engine, "decrypt", decrypt)


@secure("TLS-12")
def the_cause_is_forgotten(patch: Patch) -> None:
    """The protocol is not told what was wrong with a record."""

    def failed(real: Any, _: Connection, error: Exception | None) -> None:
        real(None if isinstance(error, ssl.SSLError) else error)

    around(patch, Connection, "failed", failed)


# -- TLS-13: a handshake fails ---------------------------------------------------------------------


@secure("TLS-13")
def any_error_is_like_any_other(patch: Patch) -> None:
    """A failed handshake is a plain ConnectError."""
    patch.put(connecting, "TLSError", ConnectError)


@secure("TLS-13")
def the_verifier_is_not_heard(patch: Patch) -> None:
    """The message says that the handshake has failed, and not why."""
    patch.put(connecting, "told", lambda error: "the handshake has failed")


@secure("TLS-13")
def a_listener_is_silent(patch: Patch) -> None:
    """A listener does not log the handshakes that fail."""
    patch.put(accepting, "_log", logging.Logger("nobody listens to this"))


@secure("TLS-13", silent="the end of connect")
def a_handshake_has_time(patch: Patch) -> None:
    """handshake_timeout is overlooked."""
    with_tls(patch, handshake_timeout=1e6)


# -- TLS-14: no client certificate -----------------------------------------------------------------


@secure("TLS-14")
def an_alert_is_a_reset(patch: Patch) -> None:
    """What the peer's alert says is told as if the peer had reset the connection."""

    def failed(real: Any, _: Connection, error: Exception | None) -> None:
        real(ConnectionResetError() if isinstance(error, ssl.SSLError) else error)

    around(patch, Connection, "failed", failed)


# -- TLS-15: asked for during the handshake --------------------------------------------------------


@secure("TLS-15")
def what_is_written_too_early_is_dropped(patch: Patch) -> None:
    """Bytes that are written during a handshake are thrown away."""

    def write(real: Any, channel: TLSChannel, data: bytes) -> int:
        return len(data) if channel.shaking_hands else int(real(data))

    around(patch, TLSChannel, "write", write)


@secure("TLS-15")
def an_end_does_not_wait_for_the_handshake(patch: Patch) -> None:
    """During a handshake our half is ended below."""

    def end_write(real: Any, channel: TLSChannel) -> bool:
        return below_of(channel).end_write() if channel.shaking_hands else bool(real())

    around(patch, TLSChannel, "end_write", end_write)


# -- TLS-16: startTLS ------------------------------------------------------------------------------


@secure("TLS-16", silent="in vain")
def what_is_given_back_is_forgotten(patch: Patch) -> None:
    """The beginning of the TLS, which the protocol has read already, is not used."""

    def start(real: Any, _: Connection, options: Any, **settings: Any) -> None:
        real(options, **{**settings, "received": b""})

    around(patch, Connection, "startTLS", start)


@secure("TLS-16", silent="connectionLost")
def plain_bytes_are_skipped(patch: Patch) -> None:
    """What stands before the first record is passed over."""

    def shake_hands(real: Any, _: TLSChannel, done: Any, **data: bytes) -> None:
        received = data.get("received", b"")
        data["received"] = received[max(0, received.find(b"\x16\x03")) :]
        real(done, **data)

    around(patch, TLSChannel, "shake_hands", shake_hands)


@secure("TLS-16", silent="in vain")
def writes_go_out_in_plain_until_the_handshake_is_over(patch: Patch) -> None:
    """What is written during the handshake is not encrypted."""

    def write(real: Any, channel: TLSChannel, data: bytes) -> int:
        return below_of(channel).write(data) if channel.shaking_hands else int(real(data))

    around(patch, TLSChannel, "write", write)


@secure("TLS-16")
def the_end_of_the_handshake_is_not_told(patch: Patch) -> None:
    """handshakeCompleted is never called."""
    event(patch, "handshakeCompleted", nothing)


# -- TLS-17: paused --------------------------------------------------------------------------------


@secure("TLS-17")
def a_pause_stops_at_tls(patch: Patch) -> None:
    """The channel below goes on reading while the protocol is paused."""
    around(patch, TLSChannel, "pause_reading", nothing)


# -- TLS-18: ALPN and the server's name ------------------------------------------------------------


@secure("TLS-18")
def the_protocol_is_not_told(patch: Patch) -> None:
    """What was chosen by ALPN is not known."""
    around(patch, Engine, "alpn", nothing)


@secure("TLS-18", silent="connectionMade")
def nothing_in_common_is_an_error(patch: Patch) -> None:
    """Without a protocol in common the handshake fails."""

    wanting: WeakSet[Engine] = WeakSet()

    def made(_: TLSChannel, __: Any, ___: Any, engine: Engine, tls: Any, *____: Any) -> None:
        if tls.alpn:
            wanting.add(engine)

    after(patch, TLSChannel, "__init__", made)

    def handshake(real: Any, engine: Engine) -> bool:
        over = bool(real())
        if over and engine.alpn is None and engine in wanting:
            raise ssl.SSLError("no protocol in common")
        return over

    around(patch, Engine, "handshake", handshake)


@secure("TLS-18")
def a_server_does_not_know_its_name(patch: Patch) -> None:
    """A server is not told for whom the client has asked."""
    patch.put(hello, "_name_in", nothing)


# -- TLS-19: a session is resumed ------------------------------------------------------------------


@secure("TLS-19")
def the_session_is_forgotten(patch: Patch) -> None:
    """A session that a program gives is not used."""

    def make(real: Any, _: Engine, context: Any, **options: Any) -> None:
        real(context, **{**options, "session": None})

    around(patch, Engine, "__init__", make)


# -- TLS-20: on every type of channel --------------------------------------------------------------


@secure("TLS-20")
def tls_cannot_half_close(patch: Patch) -> None:
    """Over TLS, the capability to half-close is declared off."""

    def made(channel: TLSChannel, *_: object) -> None:
        channel.capabilities = replace(channel.capabilities, can_half_close=False)

    after(patch, TLSChannel, "__init__", made)


# -- TLS-21: memory --------------------------------------------------------------------------------


@secure("TLS-21")
def big_pieces_at_once(patch: Patch) -> None:
    """What is written at once is encrypted at once."""
    patch.put(channels, "PIECE", 1 << 20)


@secure("TLS-21")
def each_has_a_buffer(patch: Patch) -> None:
    """Each channel keeps a buffer for its next read."""
    buffers: WeakKeyDictionary[TLSChannel, bytes] = WeakKeyDictionary()
    after(
        patch,
        TLSChannel,
        "__init__",
        lambda channel, *_: buffers.setdefault(channel, bytes(1 << 15)),
    )


# -- TLS-22: no one to tell ------------------------------------------------------------------------


@secure("TLS-22")
def an_end_that_cannot_be_sent_is_a_loss(patch: Patch) -> None:
    """A peer that has gone away after its own end is taken for one that was cut off."""

    def end_write(real: Any, channel: TLSChannel) -> bool:
        error = channel.look_for_error()
        if error is not None:
            raise error
        return bool(real())

    around(patch, TLSChannel, "end_write", end_write)
