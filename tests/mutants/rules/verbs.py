"""Mistakes about what a protocol may call, when, and what comes of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from halfclose.backend import Backend
from halfclose.channel import Capabilities, Channel
from halfclose.connection import Connection
from halfclose.interfaces import Producer
from halfclose.io.addresses import peer_of
from halfclose.io.socket_channel import SocketChannel
from halfclose.io.syscalls import end_stream
from halfclose.lifecycle import ACCEPTING, ENDED, State
from halfclose.memory.channel import MemoryChannel
from halfclose.reasons import ConnectionAborted, ConnectionDone, ConnectionLost, Unsupported
from mutants.mutant import mutant
from mutants.patching import Patch
from mutants.wrapping import (
    Wrapper,
    after,
    around,
    before,
    called,
    event,
    loop_of,
    outgoing_of,
    producing,
)

_ENDS_WRITING = frozenset(
    {State.WRITE_CLOSING, State.WRITE_CLOSED, State.READ_CLOSED_WRITE_CLOSING}
)
"""States after loseWriteConnection, in which the other half goes on."""

_log = logging.getLogger("halfclose")

# -- VRB-01: loseWriteConnection twice -------------------------------------------------------------


@mutant("VRB-01")
def a_second_end_is_an_error(patch: Patch) -> None:
    """loseWriteConnection is made once, and says so."""

    def end(connection: Connection) -> None:
        if connection.state in _ENDS_WRITING:
            raise RuntimeError("our half has ended")

    before(patch, Connection, "loseWriteConnection", end)


@mutant("VRB-01")
def a_second_end_closes(patch: Patch) -> None:
    """Whoever ends a half that has ended is taken to mean the other one."""

    def end(connection: Connection) -> None:
        if connection.state in _ENDS_WRITING:
            connection.loseConnection()

    before(patch, Connection, "loseWriteConnection", end)


@mutant("VRB-01")
def a_second_end_is_told_again(patch: Patch) -> None:
    """Each loseWriteConnection gets its writeConnectionLost."""

    def end(connection: Connection) -> None:
        if connection.state in _ENDS_WRITING:
            protocol: Any = connection.protocol
            loop_of(connection).call_soon(protocol.writeConnectionLost)

    before(patch, Connection, "loseWriteConnection", end)


# -- VRB-02: loseWriteConnection too late ----------------------------------------------------------


@mutant("VRB-02")
def an_end_after_the_close_is_an_error(patch: Patch) -> None:
    """loseWriteConnection of a connection that is closing is a mistake, and raises."""

    def end(connection: Connection) -> None:
        if connection.disconnecting:
            raise RuntimeError("too late")

    before(patch, Connection, "loseWriteConnection", end)


@mutant("VRB-02")
def an_end_after_the_loss_is_an_error(patch: Patch) -> None:
    """loseWriteConnection reaches for a channel that is gone."""

    def end(connection: Connection) -> None:
        if connection.state is State.CLOSED:
            raise OSError("the connection is closed")

    before(patch, Connection, "loseWriteConnection", end)


@mutant("VRB-02")
def an_end_during_the_close_cuts_off(patch: Patch) -> None:
    """loseWriteConnection while loseConnection waits sends the end of stream at once."""

    def end(connection: Connection) -> None:
        if connection.state is State.CLOSING:
            connection.channel.end_write()

    before(patch, Connection, "loseWriteConnection", end)


# -- VRB-03: loseWriteConnection after a reset -----------------------------------------------------


def _raises_out_of(patch: Patch, verb: str, expected: tuple[type[OSError], ...] = ()) -> None:
    """What shutdown(2) says goes to whoever has called *verb*, unless it is *expected*."""
    said: list[OSError] = []

    def end_write(real: Wrapper, channel: Channel) -> object:
        try:
            return real()
        except OSError as error:
            said.append(error)
            raise

    def wrapper(real: Wrapper, connection: Connection) -> None:
        said.clear()
        real()
        if said and not isinstance(said[0], expected):
            raise said.pop()

    around(patch, SocketChannel, "end_write", end_write)
    around(patch, Connection, verb, wrapper)


@mutant("VRB-03", on="tcp")
def the_reset_escapes(patch: Patch) -> None:
    """What shutdown(2) says goes to whoever has called the verb."""
    _raises_out_of(patch, "loseWriteConnection")


@mutant("VRB-03", on="unix")
def the_reset_is_not_asked_for(patch: Patch) -> None:
    """shutdown(2) is asked alone, which says nothing of a reset of a unix socket."""
    patch.edit(end_stream, "if error is not None:", "if False:")


@mutant("VRB-03")
def the_reset_is_taken_for_our_end(patch: Patch) -> None:
    """A shutdown(2) that fails is one that has nothing to do any more."""

    def end_write(real: Wrapper, channel: Channel) -> object:
        try:
            return real()
        except OSError:
            return True

    around(patch, MemoryChannel, "end_write", end_write)


# -- VRB-04: errors of shutdown(2) -----------------------------------------------------------------

_RESETS = (ConnectionResetError, BrokenPipeError)


@mutant("VRB-04", on="tcp")
def shutdown_raises_out_of_the_verb(patch: Patch) -> None:
    """Only a reset is expected of shutdown(2), not that the socket is not connected."""
    _raises_out_of(patch, "loseWriteConnection", _RESETS)


@mutant("VRB-04", on="tcp")
def shutdown_raises_out_of_the_close(patch: Patch) -> None:
    """Likewise where it is loseConnection that ends our half."""
    _raises_out_of(patch, "loseConnection", _RESETS)


# -- VRB-05: late writes ---------------------------------------------------------------------------


def _takes_late_writes(patch: Patch, state: State) -> None:
    """While something waits to be sent in *state*, more is taken, and sent behind it."""

    def write(real: Wrapper, connection: Connection, data: bytes) -> None:
        outgoing = outgoing_of(connection)
        if connection.state is state and outgoing.size:
            outgoing.write(data)
        else:
            real(data)

    around(patch, Connection, "write", write)


@mutant("VRB-05")
def written_after_the_end_behind_what_is_pending(patch: Patch) -> None:
    """As long as the end of stream is not sent, bytes can go before it."""
    _takes_late_writes(patch, State.WRITE_CLOSING)


@mutant("VRB-05")
def written_in_the_turn_of_the_end(patch: Patch) -> None:
    """The verb is carried out in the next turn, and what is written before that is sent."""
    around(
        patch,
        Connection,
        "loseWriteConnection",
        lambda real, connection: loop_of(connection).call_soon(real),
    )


@mutant("VRB-05")
def written_after_the_close(patch: Patch) -> None:
    """loseConnection closes when all is sent, and so takes more to be sent."""
    _takes_late_writes(patch, State.CLOSING)


@mutant("VRB-05")
def dropped_without_a_word(patch: Patch) -> None:
    """Nobody is warned of what was dropped."""
    patch.put(_log, "warning", lambda *_: None)


@mutant("VRB-05")
def dropped_with_too_many_words(patch: Patch) -> None:
    """Each write that comes too late is warned of."""

    def write(real: Wrapper, connection: Connection, data: bytes) -> None:
        dropped = connection.droppedBytes
        real(data)
        if connection.droppedBytes > dropped:
            _log.warning("bytes for %s were dropped", connection)

    around(patch, Connection, "write", write)


@mutant("VRB-05")
def writes_are_counted_for_bytes(patch: Patch) -> None:
    """droppedBytes counts how often something was dropped."""
    drops: Counter[Connection] = Counter()

    def write(connection: Connection, data: bytes) -> None:
        drops[connection] += connection.state not in ACCEPTING

    before(patch, Connection, "write", write)
    around(patch, Connection, "droppedBytes", lambda real, connection: drops[connection])


@mutant("VRB-05")
def not_counted_after_the_loss(patch: Patch) -> None:
    """What is written to a connection that is gone is not counted as dropped."""

    def write(real: Wrapper, connection: Connection, data: bytes) -> None:
        if connection.state is not State.CLOSED:
            real(data)

    around(patch, Connection, "write", write)


@mutant("VRB-05")
def pending_bytes_are_counted_as_dropped(patch: Patch) -> None:
    """What is still to be sent when the end is asked for is counted as well."""
    pending: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()

    def end(connection: Connection) -> None:
        pending.setdefault(connection, outgoing_of(connection).size)

    before(patch, Connection, "loseWriteConnection", end)
    around(
        patch,
        Connection,
        "droppedBytes",
        lambda real, connection: real() + pending.get(connection, 0),
    )


@mutant("VRB-05")
def a_producers_writes_are_dropped(patch: Patch) -> None:
    """Once the end was asked for, a producer that is still registered writes in vain."""
    before(
        patch,
        Connection,
        "loseWriteConnection",
        lambda connection: connection.unregisterProducer(),
    )


@mutant("VRB-05")
def a_producers_writes_are_taken_after_the_abort(patch: Patch) -> None:
    """Whoever is registered is taken to be waited for."""
    registered = producing(patch)

    def write(real: Wrapper, connection: Connection, data: bytes) -> None:
        if connection.state is not State.ENDED or connection not in registered:
            real(data)

    around(patch, Connection, "write", write)


# -- VRB-06: nothing written -----------------------------------------------------------------------


@mutant("VRB-06")
def an_empty_write_is_a_late_one(patch: Patch) -> None:
    """Whether there are bytes is looked at only after whether they would be taken."""

    def write(connection: Connection, data: bytes) -> None:
        if not data and connection.state not in ACCEPTING:
            _log.warning("%d bytes for %s were dropped", len(data), connection)

    before(patch, Connection, "write", write)


@mutant("VRB-06")
def an_empty_write_ends_the_stream(patch: Patch) -> None:
    """As on some streams: to send nothing is to say that nothing follows."""

    def write(connection: Connection, data: bytes) -> None:
        if not data:
            connection.loseWriteConnection()

    before(patch, Connection, "write", write)


@mutant("VRB-06")
def an_empty_sequence_is_a_mistake(patch: Patch) -> None:
    """writeSequence looks at its first piece, and there is none."""

    def write_sequence(real: Wrapper, connection: Connection, data: Iterable[bytes]) -> None:
        first, *others = data
        real([first, *others])

    around(patch, Connection, "writeSequence", write_sequence)


# -- VRB-07: what write takes ----------------------------------------------------------------------


def _takes(patch: Patch, convert: Callable[[Any], Any]) -> None:
    """write takes what *convert* makes of what it is given."""
    around(patch, Connection, "write", lambda real, connection, data: real(convert(data)))


@mutant("VRB-07")
def the_callers_buffer_is_kept(patch: Patch) -> None:
    """A bytearray is sent as it is when its turn comes, without a copy."""

    def write(real: Wrapper, connection: Connection, data: Any) -> None:
        if isinstance(data, bytearray) and connection.state in ACCEPTING:
            outgoing_of(connection).write(memoryview(data))  # type: ignore[arg-type]
        else:
            real(data)

    around(patch, Connection, "write", write)


@mutant("VRB-07")
def views_are_taken_for_bytes(patch: Patch) -> None:
    """The length of a memoryview is taken for its size in bytes."""
    _takes(patch, lambda data: bytes(data)[: len(data)] if isinstance(data, memoryview) else data)


@mutant("VRB-07")
def text_is_encoded(patch: Patch) -> None:
    """A string is meant as UTF-8."""
    _takes(patch, lambda data: data.encode() if isinstance(data, str) else data)


@mutant("VRB-07")
def nothing_is_checked_once_closed(patch: Patch) -> None:
    """What is dropped anyhow is not looked at."""

    def write(real: Wrapper, connection: Connection, data: bytes) -> None:
        if connection.state not in ENDED:
            real(data)

    around(patch, Connection, "write", write)


@mutant("VRB-07")
def pieces_of_a_sequence_are_not_checked(patch: Patch) -> None:
    """Whatever bytes() takes is a piece of a sequence: a list of numbers, and a number."""

    def write_sequence(real: Wrapper, connection: Connection, data: Iterable[Any]) -> None:
        real([piece if isinstance(piece, str) else bytes(piece) for piece in data])

    around(patch, Connection, "writeSequence", write_sequence)


# -- VRB-08: closing again -------------------------------------------------------------------------


@mutant("VRB-08")
def a_second_close_is_an_error(patch: Patch) -> None:
    """loseConnection is made once, and says so."""

    def close(connection: Connection) -> None:
        if connection.disconnecting:
            raise RuntimeError("it is closed")

    before(patch, Connection, "loseConnection", close)


@mutant("VRB-08", silent="connectionLost")
def a_close_is_not_aborted(patch: Patch) -> None:
    """A connection that is closing is left to do so in peace."""

    def abort(real: Wrapper, connection: Connection) -> None:
        if connection.state is not State.CLOSING:
            real()

    around(patch, Connection, "abortConnection", abort)


@mutant("VRB-08")
def an_abort_replaces_the_reason(patch: Patch) -> None:
    """abortConnection tells why it ended, whatever ended it before."""
    aborted = called(patch, "abortConnection")

    async def when_closed(real: Wrapper, connection: Connection) -> BaseException:
        reason: BaseException = await real()
        return ConnectionAborted("aborted") if connection in aborted else reason

    around(patch, Connection, "whenClosed", when_closed)


# -- VRB-09: what is always known ------------------------------------------------------------------


@mutant("VRB-09", on="tcp")
def the_peer_is_asked_for_each_time(patch: Patch) -> None:
    """getPeer asks the channel, which asks the socket, which may not know any more."""
    patch.put(Connection, "getPeer", lambda connection: connection.channel.get_peer())
    patch.put(SocketChannel, "get_peer", lambda channel: peer_of(channel.get_handle()))


@mutant("VRB-09")
def peer_and_host_are_mixed_up(patch: Patch) -> None:
    """getPeer gives this end's address, and getHost the other's."""
    get_peer, get_host = Connection.getPeer, Connection.getHost
    patch.put(Connection, "getPeer", get_host)
    patch.put(Connection, "getHost", get_peer)


@mutant("VRB-09")
def the_state_is_gone_with_the_connection(patch: Patch) -> None:
    """After connectionLost there is nothing left that has a state."""
    gone: WeakSet[Connection] = WeakSet()

    def state(real: Wrapper, connection: Connection) -> object:
        return None if connection in gone else real()

    after(patch, Backend, "release", lambda backend, connection: gone.add(connection))
    around(patch, Connection, "state", state)


# -- VRB-10: a stream that cannot half-close -------------------------------------------------------


def _able(connection: Connection) -> Capabilities:
    return replace(connection.capabilities, can_half_close=True)


@mutant("VRB-10")
def a_stream_that_cannot_half_close_is_tried(patch: Patch) -> None:
    """What the channel declares is not looked at."""

    def end(connection: Connection) -> None:
        channel: Any = connection.channel
        channel.capabilities = _able(connection)

    before(patch, Connection, "loseWriteConnection", end)


@mutant("VRB-10")
def unsupported_comes_too_late(patch: Patch) -> None:
    """Unsupported is raised when the end was noted already."""

    def end(real: Wrapper, connection: Connection) -> None:
        channel: Any = connection.channel
        declared, was = connection.capabilities, connection.state
        channel.capabilities = _able(connection)
        real()
        channel.capabilities = declared
        if not declared.can_half_close and connection.state is not was:
            raise Unsupported("the stream cannot end one half alone")

    around(patch, Connection, "loseWriteConnection", end)


@mutant("VRB-10")
def unsupported_even_when_closed(patch: Patch) -> None:
    """A stream that cannot half-close complains also where the verb is too late for any."""

    def end(connection: Connection) -> None:
        if not connection.capabilities.can_half_close:
            raise Unsupported("never")

    before(patch, Connection, "loseWriteConnection", end)


@mutant("VRB-10")
def declared_off_although_it_works(patch: Patch) -> None:
    """A channel that can half-close says that it cannot."""
    patch.put(MemoryChannel, "capabilities", Capabilities(can_half_close=False))


# -- VRB-11: failure -------------------------------------------------------------------------------


@mutant("VRB-11")
def a_failure_is_known_when_it_is_told(patch: Patch) -> None:
    """failure is what connectionLost was given, and nothing before."""

    def failure(real: Wrapper, connection: Connection) -> object:
        return real() if connection.state in ENDED else None

    around(patch, Connection, "failure", failure)


@mutant("VRB-11")
def a_clean_end_is_a_failure(patch: Patch) -> None:
    """failure is the reason, whatever that is."""

    def failure(real: Wrapper, connection: Connection) -> object:
        over = connection.state in ENDED
        return real() or (ConnectionDone("the connection was closed") if over else None)

    around(patch, Connection, "failure", failure)


@mutant("VRB-11")
def a_failed_send_is_no_failure(patch: Patch) -> None:
    """While input is still to be told, nobody learns that the sending has failed."""
    broken = called(patch, "failed")

    def failure(real: Wrapper, connection: Connection) -> object:
        return real() if connection.state in ENDED or connection in broken else None

    around(patch, Connection, "failure", failure)


@mutant("VRB-11")
def a_reset_is_no_failure_yet(patch: Patch) -> None:
    """A reset is known when the input before it was told."""
    reset = called(patch, "failed")

    def failure(real: Wrapper, connection: Connection) -> object:
        return None if connection in reset and connection.state not in ENDED else real()

    around(patch, Connection, "failure", failure)


@mutant("VRB-11")
def the_last_error_is_the_failure(patch: Patch) -> None:
    """The reset that follows a failed send is told in its place."""
    last: WeakKeyDictionary[Connection, ConnectionLost] = WeakKeyDictionary()

    def failed(connection: Connection, error: Exception | None) -> None:
        last[connection] = ConnectionLost(str(error))

    def lost(real: Wrapper, connection: Connection, reason: BaseException) -> None:
        real(last.get(connection, reason))

    before(patch, Connection, "failed", failed)
    event(patch, "connectionLost", lost)


# -- VRB-12: verbs after the run -------------------------------------------------------------------


@mutant("VRB-12")
def a_late_close_wants_its_backend(patch: Patch) -> None:
    """loseConnection first makes sure that the backend is there."""
    before(patch, Connection, "loseConnection", lambda connection: loop_of(connection).check_open())


@mutant("VRB-12")
def a_late_producer_waits_for_a_turn(patch: Patch) -> None:
    """A producer that comes too late is told so in the next turn, also where none is to come."""

    def register(
        real: Wrapper, connection: Connection, producer: Producer, streaming: bool
    ) -> None:
        if connection.state is State.CLOSED:
            loop_of(connection).call_soon(producer.stopProducing)
        else:
            real(producer, streaming)

    around(patch, Connection, "registerProducer", register)
