"""Mistakes about events and their order."""

from __future__ import annotations

import textwrap
from contextvars import Context

from halfclose.backend import Backend
from halfclose.connection import Connection
from halfclose.host import ConnectionHost
from halfclose.io.sockets import SocketChannel
from halfclose.memory.backend import MemoryBackend
from mutants.mutant import mutant
from mutants.patching import Patch

# -- EVT-01: connectionMade ------------------------------------------------------------------------


@mutant("EVT-01")
def made_before_the_state_is_open(patch: Patch) -> None:
    """The protocol is told of a connection that does not know yet that it is open."""
    patch.edit(Connection.attach, "self._enter(Move.MADE)", "self._accepting = True")
    patch.edit(
        Connection.attach,
        "self._context.run(protocol.makeConnection, self)",
        "self._context.run(protocol.makeConnection, self)\n            self._enter(Move.MADE)",
    )


@mutant("EVT-01")
def made_twice(patch: Patch) -> None:
    """connectionMade is called after makeConnection, which has done so itself."""
    patch.edit(
        Connection.attach,
        "self._context.run(protocol.makeConnection, self)",
        "self._context.run(protocol.makeConnection, self)\n"
        "            self._context.run(protocol.connectionMade)",
    )


@mutant("EVT-01")
def made_after_the_first_data(patch: Patch) -> None:
    """connectionMade is put off for a moment, and reading is not."""
    patch.edit(
        Connection.attach,
        "self._context.run(protocol.makeConnection, self)",
        "protocol.transport = self\n"
        "            self._backend.call_later(0.01, protocol.connectionMade)",
    )


# -- EVT-02: the peer's end of stream --------------------------------------------------------------


@mutant("EVT-02", silent="readConnectionLost")
def the_peers_end_is_forgotten(patch: Patch) -> None:
    """The end of stream is taken for a read that has brought nothing."""
    patch.edit(Connection.read_ended, "self._peer_ended = True", "return")


@mutant("EVT-02")
def the_peers_end_is_told_twice(patch: Patch) -> None:
    """One readConnectionLost for the end of stream, and one for the hang-up that comes with it."""
    patch.edit(
        Connection._deliver_read_ended,
        'self._context.run(self._backend.hooks.half_closed, self, "read")',
        "self._call('readConnectionLost', self._protocol.readConnectionLost)",
    )


@mutant("EVT-02")
def the_peers_end_is_the_end(patch: Patch) -> None:
    """As most frameworks have it: where one half has ended, the connection has."""
    patch.edit(Connection._deliver_read_ended, "if not self._half_closeable:", "if True:")


@mutant("EVT-02")
def half_closed_by_the_peer_takes_no_writes(patch: Patch) -> None:
    """A connection that reads no more is taken for one that writes no more."""
    patch.edit(
        Connection._deliver_read_ended,
        "self._settle()",
        "self._settle()\n    self._accepting = self._plain = False",
    )


@mutant("EVT-02", on="tcp")
def the_peers_end_ends_our_half_too(patch: Patch) -> None:
    """The channel shuts both halves down at the peer's end of stream."""
    patch.edit(
        SocketChannel._end, "self._ended = True", "self._ended = True\n    self._sock.shutdown(1)"
    )


# -- EVT-03: data and the end of stream together ---------------------------------------------------

_HANG_UP = """
    import select
    poll = select.poll()
    poll.register(self._sock, select.POLLRDHUP)
    hung_up = bool(poll.poll(0))
"""
"""Asks a socket for the peer's end of stream, which can be there before its data was read."""


@mutant("EVT-03")
def the_end_overtakes_the_data(patch: Patch) -> None:
    """The data is delivered in the next turn, and the end at once."""
    patch.edit(
        Connection.received,
        "self._context.run(self._protocol.dataReceived, data)",
        "self._backend.call_later(0.01, self._protocol.dataReceived, data)",
    )


@mutant("EVT-03", on="tcp")
def the_last_read_is_not_delivered(patch: Patch) -> None:
    """A hang-up is taken for an end of stream that has been read."""
    patch.edit(
        SocketChannel._read,
        "    if not data:",
        f"{_HANG_UP}    if hung_up:\n        data = b''\n    if not data:",
    )


@mutant("EVT-03", on="tcp")
def a_hang_up_is_the_end_after_one_read(patch: Patch) -> None:
    """When the peer has hung up, one read is taken for all that there is."""
    patch.edit(
        SocketChannel._read,
        "self._sink.received(data)",
        f"self._sink.received(data)\n    if data:{textwrap.indent(_HANG_UP, '    ')}"
        "        if hung_up and self._events:\n"
        "            self._ended = True\n"
        "            self._want(0)\n"
        "            self._sink.read_ended()",
    )


# -- EVT-04: our end of stream ---------------------------------------------------------------------


@mutant("EVT-04")
def our_end_is_told_before_it_is_sent(patch: Patch) -> None:
    """writeConnectionLost is told once the end was asked for."""
    patch.edit(
        Connection.loseWriteConnection,
        "self._end_write_if_due()",
        "self._end_write_if_due()\n        self._write_ended = True\n        self._soon()",
    )


@mutant("EVT-04", silent="writeConnectionLost")
def our_end_is_never_told(patch: Patch) -> None:
    """The end of stream is sent, and the protocol hears nothing of it."""
    patch.edit(Connection._end_write_if_due, "self._write_ended = self", "self")


@mutant("EVT-04")
def our_end_is_told_twice(patch: Patch) -> None:
    """One writeConnectionLost when the end was sent, one when it was acknowledged."""
    patch.edit(
        Connection._deliver_write_ended,
        'self._context.run(self._backend.hooks.half_closed, self, "write")',
        "self._call('writeConnectionLost', self._protocol.writeConnectionLost)",
    )


@mutant("EVT-04", on="tcp", silent="raw peer")
def our_end_is_not_sent(patch: Patch) -> None:
    """writeConnectionLost is told, and no end of stream is sent: that is left to the close."""
    patch.edit(SocketChannel.end_write, "end_stream(self._sock)", "pass")


@mutant("EVT-04", on="tcp", silent="dataReceived")
def our_end_ends_reading_too(patch: Patch) -> None:
    """Once our end of stream is sent, the descriptor is watched no more."""
    patch.edit(SocketChannel.end_write, "return True", "self._want(0)\n    return True")


# -- EVT-05: both halves have ended ----------------------------------------------------------------


@mutant("EVT-05", silent="connectionLost")
def both_halves_end_and_nothing_follows(patch: Patch) -> None:
    """The connection waits for a loseConnection that nobody owes it."""
    patch.edit(Connection._step, "if state is State.ENDED:", "if self._reason is not None:")
    patch.edit(Connection._settle, "self._reason = self._clean_reason()", "pass")


@mutant("EVT-05")
def both_halves_end_and_the_descriptor_stays(patch: Patch) -> None:
    """A channel that nobody aborts is taken to have ended by itself."""
    patch.edit(Connection._let_go, "channel.close()", "pass")


@mutant("EVT-05")
def the_descriptor_stays_until_the_end_of_the_program(patch: Patch) -> None:
    """The channel of a connection that ended by itself is released when the backend is left."""
    patch.edit(
        Connection._let_go,
        "channel.close()",
        "self._backend.on_leaving(channel.close)",
    )


@mutant("EVT-05")
def both_halves_end_uncleanly(patch: Patch) -> None:
    """Whatever ends without loseConnection is told as a loss."""
    patch.edit(
        Connection._settle, "self._reason = self._clean_reason()", "self._reason = _lost(None)"
    )


# -- EVT-06: connectionLost ------------------------------------------------------------------------


@mutant("EVT-06")
def lost_again_by_a_second_verb(patch: Patch) -> None:
    """abortConnection of a connection that has ended is told as well."""
    patch.edit(
        Connection.abortConnection,
        "self._finish(",
        "self._backend.call_soon(self._protocol.connectionLost, ConnectionAborted())\n"
        "        self._finish(",
    )


@mutant("EVT-06")
def data_after_connection_lost(patch: Patch) -> None:
    """What a channel still reports after the end is delivered, so that nothing is lost."""
    patch.edit(
        Connection._deliver_lost,
        "run(self._backend.hooks.connection_lost, self, reason)",
        "self._backend.call_soon(protocol.dataReceived, b'left over')",
    )


@mutant("EVT-06", silent="connectionLost")
def a_close_inside_data_received_is_not_noticed(patch: Patch) -> None:
    """What became due inside an event is delivered after the next one, which never comes."""
    patch.edit(Connection.received, "if self._due:", "if False:")


@mutant("EVT-06", on="tcp", silent="connectionLost")
def a_reset_is_the_end_of_the_reading(patch: Patch) -> None:
    """A read that fails stops the reading, and nobody is told."""
    patch.edit(SocketChannel._read, "self._fail(error)\n        return False", "return self.stop()")


# -- EVT-07: no event inside a verb or another event -----------------------------------------------


@mutant("EVT-07")
def events_inside_events(patch: Patch) -> None:
    """Nothing is kept for the next turn, not even inside an event."""
    patch.edit(Connection._soon, "if self._busy:", "if False:")
    patch.edit(Connection._ask_for_turn, "self._backend.call_soon(self._turn)", "self._turn()")
    patch.edit(Connection._pump, "if self._busy:", "if False:")


@mutant("EVT-07")
def events_inside_verbs(patch: Patch) -> None:
    """What a verb makes due is delivered at once, which spares a turn of the loop."""
    patch.edit(Connection._ask_for_turn, "self._backend.call_soon(self._turn)", "self._turn()")


@mutant("EVT-07")
def our_end_is_told_inside_the_verb(patch: Patch) -> None:
    """writeConnectionLost comes inside loseWriteConnection, where no bytes are pending."""
    patch.edit(
        Connection.loseWriteConnection,
        "self._end_write_if_due()",
        "self._end_write_if_due()\n        self._pump()",
    )


@mutant("EVT-07", on="tcp")
def resume_reads_at_once(patch: Patch) -> None:
    """resumeProducing reads what is there, which spares a turn of the loop."""
    patch.edit(
        SocketChannel.resume_reading,
        "self._want(self._events | READ)",
        "self._want(self._events | READ)\n        self._read()",
    )


@mutant("EVT-07")
def a_failed_write_is_told_inside_it(patch: Patch) -> None:
    """connectionLost comes inside the write that has found the connection lost."""
    patch.edit(Connection._send_failed, "self._soon()", "self._pump()")


# -- EVT-08: a verb in each of the last events -----------------------------------------------------


@mutant("EVT-08")
def lost_inside_the_last_event(patch: Patch) -> None:
    """loseConnection has nothing to wait for when both halves have ended, and does not wait."""
    patch.edit(
        Connection.loseConnection,
        "if not self._life.can(Move.CLOSE):",
        "if self._life.state is State.ENDED:\n"
        "        self._context = self._context.copy()\n"
        "        self._deliver_lost()\n"
        "    if not self._life.can(Move.CLOSE):",
    )


@mutant("EVT-08")
def lost_for_the_ends_and_for_the_verb(patch: Patch) -> None:
    """A loseConnection that comes too late gets a connectionLost of its own."""
    patch.edit(
        Connection.loseConnection,
        "if not self._life.can(Move.CLOSE):",
        "if not self._life.can(Move.CLOSE):\n"
        "        self._backend.call_soon(self._protocol.connectionLost, ConnectionDone())",
    )


# -- EVT-09: what dataReceived gets ----------------------------------------------------------------


@mutant("EVT-09")
def data_is_a_bytearray(patch: Patch) -> None:
    """The buffer that was read into is handed up without a copy."""
    patch.edit(
        Connection.received,
        "self._context.run(self._protocol.dataReceived, data)",
        "self._context.run(self._protocol.dataReceived, bytearray(data))",
    )


@mutant("EVT-09")
def the_end_is_empty_data_too(patch: Patch) -> None:
    """The read that has found the end is delivered like every other."""
    patch.edit(
        Connection.read_ended,
        "self._deliver_read_ended()",
        "self._protocol.dataReceived(b''); self._deliver_read_ended()",
    )


@mutant("EVT-09")
def data_after_the_end(patch: Patch) -> None:
    """What came with the end is delivered in the next turn, after it."""
    patch.edit(
        Connection.received,
        "self._context.run(self._protocol.dataReceived, data)",
        "self._backend.call_later(0.01, self._protocol.dataReceived, data)",
    )


# -- EVT-10: no reference is needed ----------------------------------------------------------------


@mutant("EVT-10", on="tcp")
def nobody_holds_the_connection(patch: Patch) -> None:
    """The backend and the channel know connections only as long as somebody else does."""
    patch.edit(
        ConnectionHost.__init__,
        "self._connections: dict[HeldConnection, None] = {}",
        "import weakref; self._connections = weakref.WeakKeyDictionary()",
    )
    patch.edit(
        SocketChannel.start,
        "self._sink = sink",
        "import weakref; self._sink = weakref.proxy(sink)",
    )
    patch.edit(Backend.release, "pop(connection, None)", "pop(connection, None)")


# -- EVT-11: chunks --------------------------------------------------------------------------------


@mutant("EVT-11")
def one_byte_is_no_data(patch: Patch) -> None:
    """A read of a single byte is taken for a probe."""
    patch.edit(
        Connection.received,
        "if self._deadline is not None",
        "if len(data) == 1:\n        return\n    if self._deadline is not None",
    )


@mutant("EVT-11", on="tcp")
def a_full_buffer_loses_its_last_byte(patch: Patch) -> None:
    """The last byte of the buffer was to be the end of a string."""
    patch.edit(
        SocketChannel._read, "self._sink.received(data)", "self._sink.received(data[:65535])"
    )


@mutant("EVT-11")
def lines_are_waited_for(patch: Patch) -> None:
    """A read that does not end a line is kept for the next one, and lost at the end."""
    patch.edit(
        Connection.received,
        "if self._deadline is not None",
        "data = getattr(self._protocol, 'line', b'') + data\n"
        "    self._protocol.line = b'' if data.endswith(b'\\xff') else data\n"
        "    if self._protocol.line:\n"
        "        return\n"
        "    if self._deadline is not None",
    )


# -- EVT-12: a protocol that is not half-closeable -------------------------------------------------


@mutant("EVT-12")
def every_protocol_is_half_closeable(patch: Patch) -> None:
    """A protocol without the events of the halves is called for them."""
    patch.edit(Connection.attach, "isinstance(protocol, HalfCloseableProtocol)", "True")


@mutant("EVT-12")
def the_peers_end_cuts_a_plain_protocol_off(patch: Patch) -> None:
    """The peer's end of stream aborts what a plain protocol was still sending."""
    patch.edit(Connection._deliver_read_ended, "self.loseConnection()", "self.abortConnection()")


@mutant("EVT-12")
def a_plain_protocol_cannot_end_one_half(patch: Patch) -> None:
    """loseWriteConnection of a protocol that hears of no halves is loseConnection."""
    patch.edit(
        Connection.loseWriteConnection,
        "if not self._life.can(Move.END_WRITE):",
        "if not self._half_closeable:\n"
        "        return self.loseConnection()\n"
        "    if not self._life.can(Move.END_WRITE):",
    )


# -- EVT-13: early input ---------------------------------------------------------------------------


@mutant("EVT-13", on="tcp")
def early_input_is_taken_away(patch: Patch) -> None:
    """Whether a new connection is alive is found out by a read, and what was read is forgotten."""
    patch.edit(
        SocketChannel.start,
        "self._sink = sink",
        "self._sink = sink\n"
        "    try:\n"
        "        self._sock.recv(4)\n"
        "    except BlockingIOError:\n"
        "        pass",
    )


@mutant("EVT-13", on="tcp")
def whoever_has_ended_early_is_gone(patch: Patch) -> None:
    """A new connection that has nothing but an end of stream is not served."""
    patch.edit(
        SocketChannel.start,
        "self._sink = sink",
        "self._sink = sink\n"
        "    try:\n"
        "        if not self._sock.recv(1, socket.MSG_PEEK):\n"
        "            self._error = ConnectionResetError()\n"
        "    except BlockingIOError:\n"
        "        pass",
    )


# -- EVT-14: after closing -------------------------------------------------------------------------


@mutant("EVT-14")
def input_is_delivered_while_closing(patch: Patch) -> None:
    """loseConnection ends the writing; what is read meanwhile is delivered."""
    patch.edit(Connection.received, "elif self._life.state in READING:", "else:")
    patch.edit(Connection._step, "if self._write_ended and", "if self._write_ended and")


@mutant("EVT-14")
def what_was_read_is_delivered_after_closing(patch: Patch) -> None:
    """loseConnection forgets what waits to be delivered."""
    patch.edit(Connection._close, "inbox, self._inbox = self._inbox, None", "inbox = self._inbox")


@mutant("EVT-14")
def our_end_is_told_after_closing(patch: Patch) -> None:
    """An end of stream that was asked for is told, whatever came after."""
    patch.edit(
        Connection._finish,
        "self._enter(Move.FINISH)",
        "if self._end_requested and self._half_closeable:\n"
        "        self._backend.call_soon(self._protocol.writeConnectionLost)\n"
        "    self._enter(Move.FINISH)",
    )


@mutant("EVT-14")
def the_peers_end_is_told_after_closing(patch: Patch) -> None:
    """The end of stream that loseConnection waits for is told to the protocol as well."""
    patch.edit(
        Connection.read_ended,
        "self._peer_ended = True",
        "self._peer_ended = True\n"
        "    if self._life.state is State.CLOSING and self._half_closeable:\n"
        "        self._protocol.readConnectionLost()",
    )


# -- EVT-15: whenClosed ----------------------------------------------------------------------------


@mutant("EVT-15")
def when_closed_raises(patch: Patch) -> None:
    """An exception instance is raised, as one would think."""
    patch.edit(Connection.whenClosed, "return self._reason", "raise self._reason")


@mutant("EVT-15")
def when_closed_before_connection_lost(patch: Patch) -> None:
    """whenClosed returns when there is a reason, before the protocol has heard of it."""
    patch.edit(
        Connection._finish,
        "self._reason = reason",
        "self._reason = reason\n    if self._closed is not None:\n        self._closed.set()",
    )
    patch.edit(Connection._ask_for_turn, "call_soon(self._turn)", "call_later(0.01, self._turn)")


@mutant("EVT-15", silent="whenClosed")
def a_cancelled_waiter_takes_the_event_along(patch: Patch) -> None:
    """Whoever waits no longer clears up, although others wait for the same event."""
    patch.edit(
        Connection.whenClosed,
        "await self._closed.wait()",
        "try:\n"
        "            await self._closed.wait()\n"
        "        finally:\n"
        "            self._closed = None",
    )


@mutant("EVT-15", silent="whenClosed")
def when_closed_answers_once(patch: Patch) -> None:
    """Whoever asks after the end waits for an end that has been."""
    patch.edit(
        Connection.whenClosed, "if self._life.state is not State.CLOSED or self._busy:", "if True:"
    )


# -- EVT-16: a context of its own ------------------------------------------------------------------


def _forgetting_the_context(patch: Patch, name: str) -> None:
    real = getattr(MemoryBackend, name)

    def forgetting(self: MemoryBackend, *args: object) -> object:
        return Context().run(real, self, *args)

    patch.put(MemoryBackend, name, forgetting)


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
    patch.edit(Backend.listen, "settings, context.copy())", "settings)")


@mutant("EVT-16")
def all_of_a_listener_share_a_context(patch: Patch) -> None:
    """Each connection of a listener gets the listener's context, and not a copy."""
    patch.edit(Backend.listen, "settings, context.copy())", "settings, context)")


@mutant("EVT-16")
def connected_in_an_empty_context(patch: Patch) -> None:
    """A context of its own is taken to be a new one, also where the program connects."""
    patch.edit(Backend.connect, "context = copy_context()", "context = Context()")


@mutant("EVT-16")
def the_factory_is_called_outside(patch: Patch) -> None:
    """The context is the connection's, and a factory is called before there is one."""
    patch.edit(Backend.accept, "context.run(make_protocol, factory)", "make_protocol(factory)")


@mutant("EVT-16")
def a_producer_is_paused_where_its_writer_is(patch: Patch) -> None:
    """A producer is called from a verb in the context of whoever has called that."""
    patch.edit(Connection._call_producer, "_run_inside(self._context, function)", "function()")
