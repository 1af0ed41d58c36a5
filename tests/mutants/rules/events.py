"""Mistakes about events and their order."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, finalize, proxy

from halfclose.backend import Backend
from halfclose.channel import Channel, ChannelHandler
from halfclose.connection import Connection
from halfclose.interfaces import HalfCloseableProtocol, Protocol
from halfclose.io.socket_channel import SocketChannel
from halfclose.lifecycle import TABLE, Move, State
from halfclose.memory.backend import MemoryBackend
from halfclose.memory.channel import MemoryChannel
from halfclose.reasons import ConnectionAborted, ConnectionDone, ConnectionLost
from mutants.mutant import mutant
from mutants.patching import Patch
from mutants.wrapping import (
    Wrapper,
    after,
    around,
    before,
    called,
    event,
    inside,
    loop_of,
    nothing,
    outgoing_of,
    undelivered,
)


def _hears_of_halves(connection: Connection) -> bool:
    return isinstance(connection.protocol, HalfCloseableProtocol)


def _twice(real: Wrapper, connection: Connection, *args: object) -> None:
    real(*args)
    real(*args)


# -- EVT-01: connectionMade ------------------------------------------------------------------------


@mutant("EVT-01")
def made_before_the_state_is_open(patch: Patch) -> None:
    """The protocol is told of a connection that does not know yet that it is open."""
    telling: WeakSet[Connection] = WeakSet()

    def make(real: Wrapper, connection: Connection, transport: Connection) -> None:
        telling.add(connection)
        real(transport)
        telling.discard(connection)

    def state(real: Wrapper, connection: Connection) -> object:
        return State.CONNECTING if connection in telling else real()

    event(patch, "makeConnection", make)
    around(patch, Connection, "state", state)


@mutant("EVT-01")
def made_twice(patch: Patch) -> None:
    """connectionMade is called after makeConnection, which has done so itself."""

    def make(real: Wrapper, connection: Connection, transport: Connection) -> None:
        real(transport)
        real.__self__.connectionMade()  # type: ignore[attr-defined]

    event(patch, "makeConnection", make)


@mutant("EVT-01")
def made_after_the_first_data(patch: Patch) -> None:
    """connectionMade is put off for a moment, and reading is not."""
    event(
        patch,
        "connectionMade",
        lambda real, connection: loop_of(connection).call_later(0.01, real),
    )


# -- EVT-02: the peer's end of stream --------------------------------------------------------------


@mutant("EVT-02", silent="readConnectionLost")
def the_peers_end_is_forgotten(patch: Patch) -> None:
    """The end of stream is taken for a read that has brought nothing."""
    patch.put(Connection, "read_ended", nothing)


@mutant("EVT-02")
def the_peers_end_is_told_twice(patch: Patch) -> None:
    """One readConnectionLost for the end of stream, and one for the hang-up that comes with it."""
    event(patch, "readConnectionLost", _twice)


@mutant("EVT-02")
def the_peers_end_is_the_end(patch: Patch) -> None:
    """As most frameworks have it: where one half has ended, the connection has."""
    patch.put(Connection, "read_ended", lambda connection: connection.loseConnection())


@mutant("EVT-02")
def half_closed_by_the_peer_takes_no_writes(patch: Patch) -> None:
    """A connection that reads no more is taken for one that writes no more."""
    dropped: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()

    def write(real: Wrapper, connection: Connection, data: bytes) -> None:
        if connection.state is State.READ_CLOSED:
            dropped[connection] = dropped.get(connection, 0) + len(data)
        else:
            real(data)

    around(patch, Connection, "write", write)
    around(
        patch,
        Connection,
        "droppedBytes",
        lambda real, connection: real() + dropped.get(connection, 0),
    )


@mutant("EVT-02")
def the_peers_end_ends_our_half_too(patch: Patch) -> None:
    """The channel shuts both halves down at the peer's end of stream."""
    before(patch, Connection, "read_ended", lambda connection: connection.channel.end_write())


# -- EVT-03: data and the end of stream together ---------------------------------------------------


def _later(real: Wrapper, connection: Connection, *args: object) -> None:
    loop_of(connection).call_later(0.01, real, *args)


@mutant("EVT-03")
def the_end_overtakes_the_data(patch: Patch) -> None:
    """The data is delivered in the next turn, and the end at once."""
    event(patch, "dataReceived", _later)


@mutant("EVT-03")
def the_last_read_is_not_delivered(patch: Patch) -> None:
    """A hang-up is taken for an end of stream that has been read."""

    def received(real: Wrapper, connection: Connection, data: bytes) -> None:
        handle: Any = connection.channel.get_handle()
        if not handle.at_end:
            real(data)

    around(patch, Connection, "received", received)


@mutant("EVT-03", on="tcp")
def a_hang_up_is_the_end_after_one_read(patch: Patch) -> None:
    """When the peer has hung up, one read is taken for all that there is."""

    def received(connection: Connection, data: bytes) -> None:
        poll = select.poll()
        handle: Any = connection.channel.get_handle()
        poll.register(handle, select.POLLRDHUP)
        if poll.poll(0):
            connection.channel.pause_reading()
            connection.read_ended()

    after(patch, Connection, "received", received)


# -- EVT-04: our end of stream ---------------------------------------------------------------------


@mutant("EVT-04")
def our_end_is_told_before_it_is_sent(patch: Patch) -> None:
    """writeConnectionLost is told once the end was asked for."""
    after(
        patch,
        Connection,
        "loseWriteConnection",
        lambda connection: loop_of(connection).call_soon(connection.write_ended),
    )


@mutant("EVT-04", silent="writeConnectionLost")
def our_end_is_never_told(patch: Patch) -> None:
    """The end of stream is sent, and the protocol hears nothing of it."""

    def end_write(real: Wrapper, channel: Channel) -> bool:
        real()
        return False

    around(patch, MemoryChannel, "end_write", end_write)


@mutant("EVT-04")
def our_end_is_told_twice(patch: Patch) -> None:
    """One writeConnectionLost when the end was sent, one when it was acknowledged."""
    event(patch, "writeConnectionLost", _twice)


@mutant("EVT-04", silent="raw peer")
def our_end_is_not_sent(patch: Patch) -> None:
    """writeConnectionLost is told, and no end of stream is sent: that is left to the close."""
    patch.put(MemoryChannel, "end_write", lambda channel: True)


@mutant("EVT-04", silent="dataReceived")
def our_end_ends_reading_too(patch: Patch) -> None:
    """Once our end of stream is sent, the descriptor is watched no more."""
    after(patch, MemoryChannel, "end_write", lambda channel: channel.pause_reading())


# -- EVT-05: both halves have ended ----------------------------------------------------------------


@mutant("EVT-05", silent="connectionLost")
def both_halves_end_and_nothing_follows(patch: Patch) -> None:
    """The connection waits for a loseConnection that nobody owes it."""
    for state, move in (
        (State.WRITE_CLOSED, Move.READ_ENDED),
        (State.READ_CLOSED, Move.WRITE_ENDED),
        (State.READ_CLOSED_WRITE_CLOSING, Move.WRITE_ENDED),
    ):
        patch.put_item(TABLE[state], move, State.CLOSING)


@mutant("EVT-05")
def both_halves_end_and_the_descriptor_stays(patch: Patch) -> None:
    """A channel that nobody aborts is taken to have ended by itself."""
    patch.put(MemoryChannel, "close", nothing)


@mutant("EVT-05")
def the_descriptor_stays_until_the_end_of_the_program(patch: Patch) -> None:
    """The channel of a connection that ended by itself is released when the backend is left."""
    close: Any = MemoryChannel.close

    def attach(connection: Connection, protocol: Protocol) -> None:
        loop_of(connection).on_leaving(partial(close, connection.channel))

    patch.put(MemoryChannel, "close", nothing)
    before(patch, Connection, "attach", attach)


@mutant("EVT-05")
def both_halves_end_uncleanly(patch: Patch) -> None:
    """Whatever ends without loseConnection is told as a loss."""
    closed = called(patch, "loseConnection")

    def lost(real: Wrapper, connection: Connection, reason: BaseException) -> None:
        real(reason if connection in closed else ConnectionLost("the connection was lost"))

    event(patch, "connectionLost", lost)


# -- EVT-06: connectionLost ------------------------------------------------------------------------


@mutant("EVT-06")
def lost_again_by_a_second_verb(patch: Patch) -> None:
    """abortConnection of a connection that has ended is told as well."""

    def abort(connection: Connection) -> None:
        protocol: Any = connection.protocol
        loop_of(connection).call_soon(protocol.connectionLost, ConnectionAborted("again"))

    before(patch, Connection, "abortConnection", abort)


@mutant("EVT-06")
def data_after_connection_lost(patch: Patch) -> None:
    """What a channel still reports after the end is delivered, so that nothing is lost."""

    def lost(real: Wrapper, connection: Connection, reason: BaseException) -> None:
        protocol: Any = connection.protocol
        real(reason)
        loop_of(connection).call_soon(protocol.dataReceived, b"left over")

    event(patch, "connectionLost", lost)


@mutant("EVT-06", silent="connectionLost")
def a_close_inside_data_received_is_not_noticed(patch: Patch) -> None:
    """What became due inside an event is delivered after the next one, which never comes."""
    due: WeakSet[Connection] = WeakSet()

    def received(real: Wrapper, connection: Connection, data: bytes) -> None:
        real(data)
        if connection.disconnecting:
            due.add(connection)

    def lost(real: Wrapper, connection: Connection, reason: BaseException) -> None:
        if connection not in due:
            real(reason)

    event(patch, "dataReceived", received)
    event(patch, "connectionLost", lost)


@mutant("EVT-06", silent="connectionLost")
def a_reset_is_the_end_of_the_reading(patch: Patch) -> None:
    """A read that fails stops the reading, and nobody is told."""
    patch.put(Connection, "failed", nothing)


# -- EVT-07: no event inside a verb or another event -----------------------------------------------


@mutant("EVT-07")
def events_inside_events(patch: Patch) -> None:
    """Nothing is kept for the next turn, not even inside an event."""
    delivering: WeakSet[Connection] = WeakSet()

    def received(real: Wrapper, connection: Connection, data: bytes) -> None:
        delivering.add(connection)
        real(data)
        delivering.discard(connection)

    def end(connection: Connection) -> None:
        if connection in delivering:
            protocol: Any = connection.protocol
            protocol.writeConnectionLost()

    event(patch, "dataReceived", received)
    after(patch, Connection, "loseWriteConnection", end)


@mutant("EVT-07")
def events_inside_verbs(patch: Patch) -> None:
    """What a verb makes due is delivered at once, which spares a turn of the loop."""
    verbs = inside(patch, "loseWriteConnection", "loseConnection", "abortConnection")

    def call_soon(
        real: Wrapper, backend: Backend, function: Callable[..., object], *args: object
    ) -> None:
        (function if verbs else partial(real, function))(*args)

    around(patch, MemoryBackend, "call_soon", call_soon)


@mutant("EVT-07")
def our_end_is_told_inside_the_verb(patch: Patch) -> None:
    """writeConnectionLost comes inside loseWriteConnection, where no bytes are pending."""

    def end(connection: Connection) -> None:
        if not outgoing_of(connection).size:
            connection.write_ended()

    after(patch, Connection, "loseWriteConnection", end)


@mutant("EVT-07")
def resume_reads_at_once(patch: Patch) -> None:
    """resumeProducing reads what is there, which spares a turn of the loop."""

    def resume(connection: Connection) -> None:
        handle: Any = connection.channel.get_handle()
        if handle.unread:
            connection.received(handle.recv())

    after(patch, Connection, "resumeProducing", resume)


@mutant("EVT-07")
def a_failed_write_is_told_inside_it(patch: Patch) -> None:
    """connectionLost comes inside the write that has found the connection lost."""

    def write(connection: Connection, data: bytes) -> None:
        if isinstance(connection.failure, ConnectionLost):
            connection.write_failed(connection.failure)

    after(patch, Connection, "write", write)


# -- EVT-08: a verb in each of the last events -----------------------------------------------------


@mutant("EVT-08")
def lost_inside_the_last_event(patch: Patch) -> None:
    """loseConnection has nothing to wait for when both halves have ended, and does not wait."""
    told: WeakSet[Connection] = WeakSet()

    def close(connection: Connection) -> None:
        if connection.state is State.ENDED:
            protocol: Any = connection.protocol
            protocol.connectionLost(ConnectionDone("the connection was closed"))

    def lost(real: Wrapper, connection: Connection, reason: BaseException) -> None:
        if connection not in told:
            told.add(connection)
            real(reason)

    before(patch, Connection, "loseConnection", close)
    event(patch, "connectionLost", lost)


@mutant("EVT-08")
def lost_for_the_ends_and_for_the_verb(patch: Patch) -> None:
    """A loseConnection that comes too late gets a connectionLost of its own."""

    def close(connection: Connection) -> None:
        if connection.disconnecting:
            protocol: Any = connection.protocol
            loop_of(connection).call_soon(protocol.connectionLost, ConnectionDone("closed"))

    before(patch, Connection, "loseConnection", close)


# -- EVT-09: what dataReceived gets ----------------------------------------------------------------


@mutant("EVT-09")
def data_is_a_bytearray(patch: Patch) -> None:
    """The buffer that was read into is handed up without a copy."""
    event(patch, "dataReceived", lambda real, connection, data: real(bytearray(data)))


@mutant("EVT-09")
def the_end_is_empty_data_too(patch: Patch) -> None:
    """The read that has found the end is delivered like every other."""
    before(patch, Connection, "read_ended", lambda connection: connection.received(b""))


@mutant("EVT-09")
def data_after_the_end(patch: Patch) -> None:
    """What came with the end is delivered in the next turn, after it."""
    event(patch, "dataReceived", _later)


# -- EVT-10: no reference is needed ----------------------------------------------------------------


@mutant("EVT-10")
def nobody_holds_the_connection(patch: Patch) -> None:
    """The backend and the channel know connections only as long as somebody else does."""

    def start(real: Wrapper, channel: Channel, handler: ChannelHandler) -> None:
        finalize(handler, channel.abort)
        real(proxy(handler))

    patch.put(Backend, "hold", nothing)
    around(patch, MemoryChannel, "start", start)


# -- EVT-11: chunks --------------------------------------------------------------------------------


def _reads(patch: Patch, change: Callable[[bytes], bytes]) -> None:
    """What a channel has read is what *change* makes of it; nothing, if that is empty."""

    def received(real: Wrapper, connection: Connection, data: bytes) -> None:
        if changed := change(data):
            real(changed)

    around(patch, Connection, "received", received)


@mutant("EVT-11")
def one_byte_is_no_data(patch: Patch) -> None:
    """A read of a single byte is taken for a probe."""
    _reads(patch, lambda data: data if len(data) > 1 else b"")


@mutant("EVT-11")
def a_full_buffer_loses_its_last_byte(patch: Patch) -> None:
    """The last byte of the buffer was to be the end of a string."""
    _reads(patch, lambda data: data[:65535])


@mutant("EVT-11")
def lines_are_waited_for(patch: Patch) -> None:
    """A read that does not end a line is kept for the next one, and lost at the end."""
    lines: WeakKeyDictionary[Connection, bytes] = WeakKeyDictionary()

    def received(real: Wrapper, connection: Connection, data: bytes) -> None:
        line = lines.pop(connection, b"") + data
        if line.endswith(b"\xff"):
            real(line)
        else:
            lines[connection] = line

    around(patch, Connection, "received", received)


# -- EVT-12: a protocol that is not half-closeable -------------------------------------------------


@mutant("EVT-12")
def every_protocol_is_half_closeable(patch: Patch) -> None:
    """A protocol without the events of the halves is called for them."""

    def attach(connection: Connection, protocol: Protocol) -> None:
        # In the process of this one rule, which ends with it.
        HalfCloseableProtocol.register(type(protocol))

    before(patch, Connection, "attach", attach)


@mutant("EVT-12")
def the_peers_end_cuts_a_plain_protocol_off(patch: Patch) -> None:
    """The peer's end of stream aborts what a plain protocol was still sending."""

    def read_ended(connection: Connection) -> None:
        if not _hears_of_halves(connection):
            connection.abortConnection()

    before(patch, Connection, "read_ended", read_ended)


@mutant("EVT-12")
def a_plain_protocol_cannot_end_one_half(patch: Patch) -> None:
    """loseWriteConnection of a protocol that hears of no halves is loseConnection."""

    def end(real: Wrapper, connection: Connection) -> None:
        if _hears_of_halves(connection):
            real()
        else:
            connection.loseConnection()

    around(patch, Connection, "loseWriteConnection", end)


# -- EVT-13: early input ---------------------------------------------------------------------------


def _recv(channel: Channel, size: int, flags: int = 0) -> bytes | None:
    """What a read of *channel*'s socket gives; None if there is nothing to read."""
    handle: Any = channel.get_handle()
    try:
        data: bytes = handle.recv(size, flags)
    except BlockingIOError:
        return None
    return data


@mutant("EVT-13", on="tcp")
def early_input_is_taken_away(patch: Patch) -> None:
    """Whether a new connection is alive is found out by a read, and what was read is forgotten."""
    before(patch, SocketChannel, "start", lambda channel, handler: _recv(channel, 4))


@mutant("EVT-13", on="tcp")
def whoever_has_ended_early_is_gone(patch: Patch) -> None:
    """A new connection that has nothing but an end of stream is not served."""

    def start(channel: Channel, handler: ChannelHandler) -> None:
        if _recv(channel, 1, socket.MSG_PEEK) == b"":
            raise ConnectionResetError("the peer has gone")

    before(patch, SocketChannel, "start", start)


# -- EVT-14: after closing -------------------------------------------------------------------------


@mutant("EVT-14")
def input_is_delivered_while_closing(patch: Patch) -> None:
    """loseConnection ends the writing; what is read meanwhile is delivered."""

    def received(real: Wrapper, connection: Connection, data: bytes) -> None:
        if connection.state is State.CLOSING:
            protocol: Any = connection.protocol
            protocol.dataReceived(data)
        else:
            real(data)

    around(patch, Connection, "received", received)


@mutant("EVT-14")
def what_was_read_is_delivered_after_closing(patch: Patch) -> None:
    """loseConnection forgets what waits to be delivered."""
    waiting = undelivered(patch)

    def close(connection: Connection) -> None:
        protocol: Any = connection.protocol
        for data in waiting.get(connection, ()):
            loop_of(connection).call_soon(protocol.dataReceived, data)

    before(patch, Connection, "loseConnection", close)


@mutant("EVT-14")
def our_end_is_told_after_closing(patch: Patch) -> None:
    """An end of stream that was asked for is told, whatever came after."""

    def close(connection: Connection) -> None:
        if connection.state is State.WRITE_CLOSING:
            protocol: Any = connection.protocol
            loop_of(connection).call_soon(protocol.writeConnectionLost)

    before(patch, Connection, "loseConnection", close)
    before(patch, Connection, "abortConnection", close)


@mutant("EVT-14")
def the_peers_end_is_told_after_closing(patch: Patch) -> None:
    """The end of stream that loseConnection waits for is told to the protocol as well."""

    def read_ended(connection: Connection) -> None:
        if connection.state is State.CLOSING:
            protocol: Any = connection.protocol
            protocol.readConnectionLost()

    before(patch, Connection, "read_ended", read_ended)


# -- EVT-15: whenClosed ----------------------------------------------------------------------------


@mutant("EVT-15")
def when_closed_raises(patch: Patch) -> None:
    """An exception instance is raised, as one would think."""

    async def when_closed(real: Wrapper, connection: Connection) -> BaseException:
        raise await real()

    around(patch, Connection, "whenClosed", when_closed)


@mutant("EVT-15")
def when_closed_before_connection_lost(patch: Patch) -> None:
    """whenClosed returns when there is a reason, before the protocol has heard of it."""
    event(patch, "connectionLost", _later)


@mutant("EVT-15", silent="whenClosed")
def a_cancelled_waiter_takes_the_event_along(patch: Patch) -> None:
    """Whoever waits no longer clears up, although others wait for the same event."""
    closed: WeakKeyDictionary[Connection, Any] = WeakKeyDictionary()

    async def when_closed(real: Wrapper, connection: Connection) -> object:
        if connection.state is not State.CLOSED:
            shared = closed.setdefault(connection, loop_of(connection).create_event())
            try:
                await shared.wait()
            finally:
                closed.pop(connection, None)
        return await real()

    def lost(real: Wrapper, connection: Connection, reason: BaseException) -> None:
        real(reason)
        if connection in closed:
            closed[connection].set()

    around(patch, Connection, "whenClosed", when_closed)
    event(patch, "connectionLost", lost)


@mutant("EVT-15", silent="whenClosed")
def when_closed_answers_once(patch: Patch) -> None:
    """Whoever asks after the end waits for an end that has been."""

    async def when_closed(real: Wrapper, connection: Connection) -> object:
        if connection.state is State.CLOSED:
            await loop_of(connection).create_event().wait()
        return await real()

    around(patch, Connection, "whenClosed", when_closed)


# -- EVT-16: a context of its own ------------------------------------------------------------------


def _forgetting_the_context(patch: Patch, name: str) -> None:
    around(patch, MemoryBackend, name, lambda real, backend, *args: Context().run(real, *args))


@mutant("EVT-16")
def timers_forget_the_context(patch: Patch) -> None:
    """What call_later is given runs in the loop's own context."""
    _forgetting_the_context(patch, "call_later")


@mutant("EVT-16")
def the_next_turn_forgets_the_context(patch: Patch) -> None:
    """What call_soon is given runs in the loop's own context."""
    _forgetting_the_context(patch, "call_soon")


@mutant("EVT-16")
def tasks_forget_the_context(patch: Patch) -> None:
    """A task begins with an empty context."""
    _forgetting_the_context(patch, "start_soon")


@mutant("EVT-16")
def accepted_in_the_context_of_the_moment(patch: Patch) -> None:
    """A connection that was accepted gets whatever context its bytes have arrived in."""
    around(
        patch,
        Backend,
        "accept",
        lambda real, backend, channel, factory, options, context: real(channel, factory, options),
    )


@mutant("EVT-16")
def all_of_a_listener_share_a_context(patch: Patch) -> None:
    """Each connection of a listener gets the listener's context, and not a copy."""
    contexts: dict[object, Context] = {}

    def accept(
        real: Wrapper, backend: Backend, channel: object, factory: object, *rest: Any
    ) -> object:
        options, context = rest
        return real(channel, factory, options, contexts.setdefault(factory, context))

    around(patch, Backend, "accept", accept)


@mutant("EVT-16")
def connected_in_an_empty_context(patch: Patch) -> None:
    """A context of its own is taken to be a new one, also where the program connects."""
    patch.edit(Backend.connect, "context = copy_context()", "context = Context()")


@mutant("EVT-16")
def the_factory_is_called_outside(patch: Patch) -> None:
    """The context is the connection's, and a factory is called before there is one."""

    def accept(
        real: Wrapper,
        backend: Backend,
        channel: object,
        factory: Callable[[], object],
        *rest: object,
    ) -> object:
        protocol = factory()
        return real(channel, lambda: protocol, *rest)

    around(patch, Backend, "accept", accept)


@mutant("EVT-16")
def a_producer_is_paused_where_its_writer_is(patch: Patch) -> None:
    """A producer is called from a verb in the context of whoever has called that."""
    callers: WeakKeyDictionary[Connection, Context] = WeakKeyDictionary()

    def write(connection: Connection, data: bytes) -> None:
        callers[connection] = copy_context()

    def register(connection: Connection, producer: Any, streaming: bool) -> None:
        pause = producer.pauseProducing

        def paused() -> None:
            callers[connection].run(pause)

        producer.pauseProducing = paused

    before(patch, Connection, "write", write)
    before(patch, Connection, "registerProducer", register)
