"""Mistakes about flushing and back-pressure."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from halfclose.channel import Capabilities, Channel
from halfclose.connection import Connection
from halfclose.connection.outgoing import Outgoing
from halfclose.io import socket_channel, stdio, syscalls
from halfclose.io.poller import ERROR, READ, EpollPoller
from halfclose.io.socket_channel import SocketChannel
from halfclose.io.stdio import StdioChannel
from halfclose.io.syscalls import end_is_real, end_stream, reset
from halfclose.lifecycle import ACCEPTING, READING, State
from halfclose.memory.channel import MemoryChannel
from halfclose.reasons import ConnectionDone
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
    paused,
    undelivered,
)

_READ_CLOSED = frozenset({State.READ_CLOSED, State.READ_CLOSED_WRITE_CLOSING})

# -- FLU-01: a lot, then our end -------------------------------------------------------------------


@mutant("FLU-01")
def a_partial_send_is_taken_for_a_whole_one(patch: Patch) -> None:
    """send says how much it took, and nobody looks."""
    around(
        patch, MemoryChannel, "write", lambda real, channel, data: len(data) if real(data) else 0
    )


@mutant("FLU-01")
def the_rest_is_sent_after_what_follows(patch: Patch) -> None:
    """What did not fit goes to the end of the queue."""
    patch.edit(Outgoing.flush, "self._queue.appendleft(", "self._queue.append(")


@mutant("FLU-01")
def the_rest_begins_one_byte_too_early(patch: Patch) -> None:
    """A byte that the channel has taken is sent once more."""

    def write(real: Wrapper, channel: Channel, data: bytes) -> int:
        taken: int = real(data)
        return taken - (0 < taken < len(data))

    around(patch, MemoryChannel, "write", write)


@mutant("FLU-01")
def a_write_overtakes_what_waits(patch: Patch) -> None:
    """The short way to the channel is taken although earlier bytes wait."""

    def write(real: Wrapper, connection: Connection, data: bytes) -> None:
        outgoing = outgoing_of(connection)
        if outgoing.size and connection.state in ACCEPTING:
            outgoing.keep(data, connection.channel.write(data))
        else:
            real(data)

    around(patch, Connection, "write", write)


@mutant("FLU-01")
def our_end_overtakes_the_rest(patch: Patch) -> None:
    """The end of stream is sent once the rest is thought to fit into the kernel."""

    def writable(connection: Connection) -> None:
        if connection.state is State.WRITE_CLOSING and 0 < outgoing_of(connection).size <= 8 << 20:
            connection.channel.end_write()

    after(patch, Connection, "writable", writable)


@mutant("FLU-01", silent="raw peer")
def writable_is_told_once(patch: Patch) -> None:
    """A channel that was blocked twice tells only the first time that it can take more."""
    told: WeakSet[Connection] = WeakSet()

    def writable(real: Wrapper, connection: Connection) -> None:
        if connection not in told:
            told.add(connection)
            real()

    around(patch, Connection, "writable", writable)


# -- FLU-02: a lot, then the close -----------------------------------------------------------------


@mutant("FLU-02")
def the_close_does_not_wait(patch: Patch) -> None:
    """loseConnection closes, whatever is still to be sent."""
    before(patch, Connection, "loseConnection", lambda connection: outgoing_of(connection).clear())


@mutant("FLU-02", on="tcp")
def every_close_is_a_reset(patch: Patch) -> None:
    """The channel closes with SO_LINGER set to zero, so that no port stays in use."""

    def close(channel: SocketChannel) -> None:
        sock = channel.get_handle()
        if sock.fileno() >= 0:
            reset(sock)

    before(patch, SocketChannel, "close", close)


# -- FLU-03: pending bytes at the peer's end -------------------------------------------------------


@mutant("FLU-03")
def the_peers_end_discards_what_is_pending(patch: Patch) -> None:
    """Whoever sends no more is taken to read no more."""
    before(patch, Connection, "read_ended", lambda connection: outgoing_of(connection).clear())


@mutant("FLU-03", silent="raw peer")
def the_peers_end_stops_the_sending(patch: Patch) -> None:
    """A descriptor that was read to its end is watched no more, for writing either."""
    ended = called(patch, "read_ended")

    def writable(real: Wrapper, connection: Connection) -> None:
        if connection not in ended:
            real()

    around(patch, Connection, "writable", writable)


# -- FLU-04: our end while a send is blocked -------------------------------------------------------


@mutant("FLU-04")
def our_end_cuts_a_blocked_send_off(patch: Patch) -> None:
    """loseWriteConnection shuts down at once what is blocked."""
    before(
        patch, Connection, "loseWriteConnection", lambda connection: outgoing_of(connection).clear()
    )


@mutant("FLU-04", silent="raw peer")
def our_end_is_forgotten_behind_a_blocked_send(patch: Patch) -> None:
    """Whether an end of stream is due is only looked at by the verb."""
    asking = inside(patch, "loseWriteConnection")
    around(patch, MemoryChannel, "end_write", lambda real, channel: bool(asking) and real())


# -- FLU-05: a program that is left in the middle --------------------------------------------------


@mutant("FLU-05")
def left_with_a_close(patch: Patch) -> None:
    """A backend that is left closes what is still there."""
    before(patch, Connection, "abandon", lambda connection, reason: connection.channel.close())


@mutant("FLU-05")
def left_out_of_sight(patch: Patch) -> None:
    """A connection that is closing is not the backend's to abort any more."""

    def close(connection: Connection) -> None:
        if connection.state is State.CLOSING:
            loop_of(connection).release(connection)

    after(patch, Connection, "loseConnection", close)


# -- FLU-06: data and the end while paused ---------------------------------------------------------


@mutant("FLU-06")
def the_end_is_told_although_paused(patch: Patch) -> None:
    """Only data is held back while reading is paused."""
    held_back = paused(patch)

    def read_ended(connection: Connection) -> None:
        if connection in held_back:
            protocol: Any = connection.protocol
            protocol.readConnectionLost()

    before(patch, Connection, "read_ended", read_ended)
    patch.put(MemoryChannel, "pause_reading", nothing)


@mutant("FLU-06")
def data_is_delivered_although_paused(patch: Patch) -> None:
    """pauseProducing takes effect when what the kernel holds has been read."""
    patch.put(Connection, "pauseProducing", nothing)


@mutant("FLU-06", silent="connectionLost")
def resume_forgets_to_read(patch: Patch) -> None:
    """resumeProducing delivers what was kept, and leaves the channel paused."""
    after(
        patch,
        Connection,
        "resumeProducing",
        lambda connection: connection.channel.pause_reading(),
    )


@mutant("FLU-06")
def paused_in_connection_made_is_not_paused(patch: Patch) -> None:
    """Reading begins after connectionMade, whatever was said in it."""
    after(patch, Connection, "attach", lambda connection, protocol: connection.resumeProducing())


# -- FLU-07: idle costs nothing --------------------------------------------------------------------


@mutant("FLU-07", on="tcp")
def an_end_is_read_again_and_again(patch: Patch) -> None:
    """A descriptor at its end of stream is still watched, and is always ready."""
    ended: WeakSet[Channel] = WeakSet()

    def want(real: Wrapper, channel: SocketChannel, events: int) -> None:
        real(events | READ if channel in ended else events)

    before(patch, Connection, "read_ended", lambda connection: ended.add(connection.channel))
    around(patch, SocketChannel, "want", want)


@mutant("FLU-07", on="tcp")
def a_hang_up_wakes_for_ever(patch: Patch) -> None:
    """A descriptor of which nothing is wanted stays registered, level-triggered."""
    patch.edit(EpollPoller.want, "events or _EDGE", "events")


@mutant("FLU-07")
def the_end_is_told_again_on_resume(patch: Patch) -> None:
    """What was told while paused is told again when reading goes on."""

    def resume(connection: Connection) -> None:
        if connection.state in _READ_CLOSED:
            protocol: Any = connection.protocol
            loop_of(connection).call_soon(protocol.readConnectionLost)

    before(patch, Connection, "resumeProducing", resume)


@mutant("FLU-07", on="stdio")
def a_pipe_without_reader_wakes_for_ever(patch: Patch) -> None:
    """The end of a pipe stays watched when it was told."""
    asking = inside(patch, "pauseProducing", "loseConnection")

    def pause(real: Wrapper, channel: Channel) -> None:
        if asking:
            real()

    around(patch, StdioChannel, "pause_reading", pause)


# -- FLU-08: paused inside dataReceived ------------------------------------------------------------


@mutant("FLU-08", on="tcp")
def a_loop_of_reads_is_not_stopped(patch: Patch) -> None:
    """A channel reads until there is nothing, and hands it all up."""

    def received(connection: Connection, data: bytes) -> None:
        sock: Any = connection.channel.get_handle()
        with suppress(BlockingIOError):
            if more := sock.recv(1 << 16):
                connection.received(more)

    after(patch, Connection, "received", received)
    patch.put(Connection, "pauseProducing", lambda connection: connection.channel.pause_reading())


@mutant("FLU-08")
def a_pause_inside_an_event_is_forgotten(patch: Patch) -> None:
    """pauseProducing inside dataReceived is undone when that returns."""

    def received(real: Wrapper, connection: Connection, data: bytes) -> None:
        real(data)
        connection.resumeProducing()

    event(patch, "dataReceived", received)


@mutant("FLU-08")
def the_end_does_not_wait_for_the_resume(patch: Patch) -> None:
    """An end of stream behind the data that was paused at is delivered with it."""

    def look(connection: Connection) -> None:
        handle: Any = connection.channel.get_handle()
        if handle.at_end:
            protocol: Any = connection.protocol
            protocol.readConnectionLost()

    def pause(connection: Connection) -> None:
        loop_of(connection).call_soon(look, connection)

    after(patch, Connection, "pauseProducing", pause)


@mutant("FLU-08", silent="dataReceived")
def what_comes_while_paused_is_lost(patch: Patch) -> None:
    """A channel that gives something although it was paused gives it to nobody."""
    not_reading = paused(patch)

    def received(real: Wrapper, connection: Connection, data: bytes) -> None:
        if connection not in not_reading:
            real(data)

    around(patch, Connection, "received", received)


@mutant("FLU-08")
def what_comes_overtakes_what_was_kept(patch: Patch) -> None:
    """After resumeProducing, what is read next is delivered before what was kept."""
    not_reading = paused(patch)
    kept = undelivered(patch)

    def received(real: Wrapper, connection: Connection, data: bytes) -> None:
        if connection not in not_reading and kept.get(connection):
            # What the protocol gets next is this, and what was kept is still to come.
            kept[connection].append(data)
            protocol: Any = connection.protocol
            protocol.dataReceived(data)
        else:
            real(data)

    around(patch, Connection, "received", received)


@mutant("FLU-08")
def an_event_forgets_the_pause(patch: Patch) -> None:
    """After each event that ends a half, what comes is delivered, paused or not."""
    half_ended: WeakSet[Connection] = WeakSet()

    def ended(real: Wrapper, connection: Connection) -> None:
        half_ended.add(connection)
        real()

    def received(real: Wrapper, connection: Connection, data: bytes) -> None:
        if connection in half_ended:
            protocol: Any = connection.protocol
            protocol.dataReceived(data)
        else:
            real(data)

    event(patch, "writeConnectionLost", ended)
    around(patch, Connection, "received", received)


@mutant("FLU-08", silent="dataReceived")
def what_was_kept_waits_for_more(patch: Patch) -> None:
    """resumeProducing delivers what was kept when something else comes."""
    kept = undelivered(patch)
    postponed: WeakKeyDictionary[Connection, Wrapper] = WeakKeyDictionary()

    def resume(real: Wrapper, connection: Connection) -> None:
        if kept.get(connection):
            postponed[connection] = real
        else:
            real()

    def received(connection: Connection, data: bytes) -> None:
        if connection in postponed:
            postponed.pop(connection)()

    around(patch, Connection, "resumeProducing", resume)
    after(patch, Connection, "received", received)


# -- FLU-09: the input first -----------------------------------------------------------------------


@mutant("FLU-09")
def a_failed_send_is_the_end(patch: Patch) -> None:
    """Once nothing can be sent, nothing is read either."""

    def write(connection: Connection, data: bytes) -> None:
        if connection.failure is not None and connection.state in READING:
            loop_of(connection).call_soon(connection.failed, None)

    after(patch, Connection, "write", write)


@mutant("FLU-09")
def an_error_comes_before_its_input(patch: Patch) -> None:
    """A descriptor that is in error is given up, with what is still to be read from it."""
    patch.put(MemoryChannel, "has_input", lambda channel: False)


@mutant("FLU-09", on="tcp")
def the_end_behind_a_failed_send_is_not_told(patch: Patch) -> None:
    """After a failed send, every end of stream is doubted."""
    patch.edit(end_is_real, "error is None or", "error is None or False and")


@mutant("FLU-09", on="tcp")
def no_end_is_doubted(patch: Patch) -> None:
    """A send that has taken the reset out of the socket leaves an end that nobody has sent."""
    patch.edit(end_is_real, "return error is None or", "return True or error is None or")


@mutant("FLU-09", silent="connectionLost")
def the_failed_send_is_forgotten(patch: Patch) -> None:
    """When the input and its end were told, nobody remembers that the sending has failed."""
    ended: WeakSet[Connection] = WeakSet()

    def read_lost(real: Wrapper, connection: Connection) -> None:
        ended.add(connection)
        real()

    def lost(real: Wrapper, connection: Connection, reason: BaseException) -> None:
        if connection not in ended or connection.failure is None:
            real(reason)

    event(patch, "readConnectionLost", read_lost)
    event(patch, "connectionLost", lost)


@mutant("FLU-09")
def keeps_input_although_it_says_not(patch: Patch) -> None:
    """A channel that keeps the input of a failed send says that it does not."""
    patch.put(MemoryChannel, "capabilities", Capabilities(keeps_input=False))


# -- FLU-10: a paused reader bounds the memory -----------------------------------------------------


@mutant("FLU-10")
def read_ahead_while_paused(patch: Patch) -> None:
    """While reading is paused, what comes is read and kept."""
    patch.put(MemoryChannel, "pause_reading", nothing)


@mutant("FLU-10", on="tcp")
def paused_too_late(patch: Patch) -> None:
    """The channel goes on reading until a look finds nothing to read."""

    def pause(real: Wrapper, channel: Channel) -> None:
        if not channel.has_input():
            real()

    around(patch, SocketChannel, "pause_reading", pause)


@mutant("FLU-10")
def bounds_input_although_it_says_not(patch: Patch) -> None:
    """A channel that leaves the input to the kernel says that it does not."""
    patch.put(MemoryChannel, "capabilities", Capabilities(bounds_input=False))


# -- FLU-11: a reset is told -----------------------------------------------------------------------


def _nothing_is_told_early(patch: Patch) -> None:
    around(patch, SocketChannel, "ready", lambda real, channel, events: real(events & ~ERROR))


@mutant("FLU-11", on="tcp", silent="no connectionLost")
def nothing_is_asked_on_resume(patch: Patch) -> None:
    """resumeProducing after the end of stream has nothing to resume."""
    _nothing_is_told_early(patch)

    def resume(real: Wrapper, connection: Connection) -> None:
        if connection.state not in _READ_CLOSED:
            real()

    around(patch, Connection, "resumeProducing", resume)


@mutant("FLU-11", on="unix")
def our_end_does_not_ask(patch: Patch) -> None:
    """shutdown(2) is asked alone, which says nothing of a reset of a unix socket."""
    _nothing_is_told_early(patch)
    patch.edit(end_stream, "if error is not None:", "if False:")


@mutant("FLU-11", on="tcp", silent="no connectionLost")
def a_reset_found_by_a_write_is_no_news(patch: Patch) -> None:
    """A write that fails is dropped, as all that follow it are."""
    _nothing_is_told_early(patch)

    def write(real: Wrapper, channel: Channel, data: bytes) -> object:
        try:
            return real(data)
        except OSError:
            return len(data)

    around(patch, SocketChannel, "write", write)


@mutant("FLU-11", on="tcp")
def a_reset_found_by_the_close_is_clean(patch: Patch) -> None:
    """Whoever closes does not care how the peer has ended."""
    _nothing_is_told_early(patch)
    closing = inside(patch, "loseConnection")

    def end_write(real: Wrapper, channel: Channel) -> object:
        try:
            return real()
        except OSError:
            if not closing:
                raise
            return True

    around(patch, SocketChannel, "end_write", end_write)


@mutant("FLU-11")
def a_reset_behind_the_end_is_clean(patch: Patch) -> None:
    """Once the peer has ended, whatever follows is its end."""
    ended = called(patch, "read_ended")

    def lost(real: Wrapper, connection: Connection, reason: BaseException) -> None:
        real(ConnectionDone("the connection was closed") if connection in ended else reason)

    event(patch, "connectionLost", lost)


# -- FLU-12: no signal -----------------------------------------------------------------------------


@mutant("FLU-12", on="tcp")
def a_send_may_signal(patch: Patch) -> None:
    """A send to a socket says nothing of the signal."""
    patch.put(socket_channel, "NO_SIGNAL", 0)


@mutant("FLU-12", on="stdio")
def a_write_may_signal(patch: Patch) -> None:
    """A pipe is written to as it is."""
    patch.put(stdio, "without_sigpipe", lambda write, data: write(data))


@mutant("FLU-12", on="stdio")
def the_signal_waits_for_somebody_else(patch: Patch) -> None:
    """The signal is held back, and comes when it is let through again."""
    patch.edit(syscalls.without_sigpipe, "signal.sigwait({signal.SIGPIPE})", "pass")


@mutant("FLU-12", on="stdio")
def the_signal_stays_blocked(patch: Patch) -> None:
    """What was blocked for one write stays blocked, for the program and what it starts."""
    patch.edit(
        syscalls.without_sigpipe, "signal.pthread_sigmask(signal.SIG_SETMASK, before)", "pass"
    )
