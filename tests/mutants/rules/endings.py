"""Mistakes about closing without losing anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from threading import Event, Thread
from typing import Any
from weakref import WeakKeyDictionary

from halfclose.backend import Backend
from halfclose.channel import Capabilities
from halfclose.connection import Connection
from halfclose.deadline import Deadline
from halfclose.interfaces import HalfCloseableProtocol
from halfclose.io import lingering as limits
from halfclose.io.lingering import Lingering
from halfclose.lifecycle import State
from halfclose.memory.backend import MemoryBackend
from halfclose.memory.channel import MemoryChannel
from halfclose.memory.listener import MemoryListener
from halfclose.reasons import (
    CloseTimeout,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    HalfCloseTimeout,
)
from mutants.deadlines import arm, made, no_progress_inside, queues_never_shrink
from mutants.lingerers import lingerers, told
from mutants.mutant import mutant
from mutants.options import with_options
from mutants.patching import Patch
from mutants.producers import Between, put_between
from mutants.raising import change_reasons
from mutants.wrapping import (
    after,
    around,
    before,
    event,
    inside,
    loop_of,
    nothing,
    outgoing_of,
    paused,
    producing,
)

# -- END-01: the peer reads the whole reply --------------------------------------------------------


@mutant("END-01")
def no_lingering(patch: Patch) -> None:
    """A channel is closed when all is sent, with what the peer still sends unread."""
    with_options(patch, lambda options: replace(options, linger_timeout=0))


@mutant("END-01", silent="no more")
def nothing_is_read_while_closing(patch: Patch) -> None:
    """After loseConnection nothing is read until all is sent, which waits for the reading."""

    def closed(connection: Connection) -> None:
        if connection.state is State.CLOSING:
            connection.channel.pause_reading()

    after(patch, Connection, "loseConnection", closed)


@mutant("END-01", silent="no more")
def paused_stays_paused_while_closing(patch: Patch) -> None:
    """A protocol that has paused the reading before its close never resumes it."""
    not_reading = paused(patch)

    def closed(connection: Connection) -> None:
        if connection.state is State.CLOSING and connection in not_reading:
            connection.channel.pause_reading()

    after(patch, Connection, "loseConnection", closed)


# -- END-02: lingering -----------------------------------------------------------------------------


@mutant("END-02", silent="connectionLost")
def lost_when_the_peer_has_ended(patch: Patch) -> None:
    """connectionLost comes when lingering is over."""

    def lost(real: Any, connection: Connection, reason: BaseException) -> None:
        loop = loop_of(connection)
        if loop.lingering:
            loop.call_later(0.1, lost, real, connection, reason)
        else:
            real(reason)

    event(patch, "connectionLost", lost)


@mutant("END-02", silent="no more")
def not_drained(patch: Patch) -> None:
    """A channel that lingers is kept, and not read."""
    after(patch, Lingering, "add", lambda lingering, channel, _: channel.pause_reading())


@mutant("END-02", silent="still held")
def lingers_after_the_peers_end(patch: Patch) -> None:
    """The peer's end of stream is read and discarded with all else."""
    told(patch, "read_ended", nothing)


@mutant("END-02")
def what_is_discarded_is_kept(patch: Patch) -> None:
    """What lingering reads is collected, in case somebody asks."""
    kept: list[bytes] = []

    def received(real: Any, channel: MemoryChannel, data: bytes) -> None:
        kept.append(data)
        real(data)

    told(patch, "received", received)


@mutant("END-02", silent="still held")
def lingers_for_ever(patch: Patch) -> None:
    """A peer that neither ends nor sends is waited for."""
    around(patch, Deadline, "expire", nothing)


@mutant("END-02")
def lingers_when_it_is_turned_off(patch: Patch) -> None:
    """A linger_timeout of 0 is taken for the one by default."""
    with_options(
        patch, lambda options: replace(options, linger_timeout=options.linger_timeout or 5.0)
    )


@mutant("END-02")
def input_is_no_progress(patch: Patch) -> None:
    """A peer that goes on sending is given up as if it were silent."""
    around(patch, Deadline, "touch", nothing)


@mutant("END-02")
def a_shorter_queue_is_no_progress(patch: Patch) -> None:
    """A peer that goes on reading is given up as if it did not."""
    queues_never_shrink(patch)


@mutant("END-02")
def given_up_too_early(patch: Patch) -> None:
    """A peer is given up when it is first looked whether it was silent for too long."""
    around(patch, Deadline, "look", lambda real, deadline: deadline.expire())


def _only_silence_ends_it(patch: Patch) -> None:
    """Have no deadline end anything by looking at it, however long it has waited in all."""
    looking: list[Deadline] = []

    def look(real: Any, deadline: Deadline) -> None:
        looking.append(deadline)
        try:
            real()
        finally:
            looking.remove(deadline)

    def call_soon(real: Any, backend: MemoryBackend, *args: object) -> None:
        if not looking:
            real(*args)

    around(patch, Deadline, "look", look)
    around(patch, MemoryBackend, "call_soon", call_soon)


@mutant("END-02")
def a_peer_that_sends_for_ever_is_read_for_ever(patch: Patch) -> None:
    """Nothing but silence ends the lingering."""
    _only_silence_ends_it(patch)


@mutant("END-02")
def any_number_linger(patch: Patch) -> None:
    """Nobody counts how many linger."""

    def add(real: Any, lingering: Lingering, *args: object) -> None:
        limit, limits.LIMIT = limits.LIMIT, sys.maxsize
        try:
            real(*args)
        finally:
            limits.LIMIT = limit

    around(patch, Lingering, "add", add)


@mutant("END-02")
def the_newest_goes(patch: Patch) -> None:
    """Where too many linger, the one that came last makes room."""
    begun = lingerers(patch)

    def add(lingering: Lingering, *_: object) -> None:
        if len(lingering) >= limits.LIMIT:
            begun.pop().done()

    before(patch, Lingering, "add", add)


@mutant("END-02")
def drains_although_it_says_not(patch: Patch) -> None:
    """A channel that may read and discard says that it may not."""
    patch.put(MemoryChannel, "capabilities", Capabilities(drains=False))


# -- END-07: lingering ends ------------------------------------------------------------------------


@mutant("END-07")
def a_drop_is_progress(patch: Patch) -> None:
    """A byte now and then, from a peer that has read everything, is waited for."""

    def received(real: Any, channel: MemoryChannel, data: bytes) -> None:
        real(data)
        for deadline in deadlines:
            deadline.touch()

    deadlines: list[Deadline] = []
    after(patch, Deadline, "__init__", lambda deadline, *_: deadlines.append(deadline))
    told(patch, "received", received)


@mutant("END-07")
def what_is_unread_is_waited_for_without_end(patch: Patch) -> None:
    """A peer that never reads may send a byte now and then, for as long as it likes."""
    _only_silence_ends_it(patch)


@mutant("END-07")
def input_is_no_progress_while_ours_is_unread(patch: Patch) -> None:
    """A peer that has to send before it can read is given up."""

    def received(real: Any, channel: MemoryChannel, data: bytes) -> None:
        if not channel.unsent():
            real(data)

    told(patch, "received", received)


@mutant("END-07")
def any_number_of_bytes_is_discarded(patch: Patch) -> None:
    """Nobody counts what is read and discarded."""
    with_options(patch, lambda options: replace(options, linger_bytes=sys.maxsize))


@mutant("END-07", on="tcp")
def who_lingers_keeps_his_descriptor(patch: Patch) -> None:
    """Where no descriptor is left, those that linger keep theirs."""
    around(patch, Lingering, "make_room", nothing)


# -- END-03: leaving -------------------------------------------------------------------------------


@mutant("END-03")
def a_listener_closes_what_it_has_accepted(patch: Patch) -> None:
    """aclose ends the connections too."""
    connections: list[Connection] = []

    def closed(listener: MemoryListener) -> None:
        for connection in connections:
            connection.loseConnection()

    after(patch, Connection, "attach", lambda connection, _: connections.append(connection))
    after(patch, MemoryListener, "close", closed)


@mutant("END-03")
def a_listener_goes_on(patch: Patch) -> None:
    """aclose is put off until the backend is left."""
    put_off: list[Any] = []

    def close(real: Any, listener: MemoryListener) -> None:
        put_off.append(real)

    async def stop(real: Any, backend: MemoryBackend, error: BaseException | None) -> None:
        for close in put_off:
            close()
        await real(error)

    around(patch, MemoryListener, "close", close)
    around(patch, MemoryBackend, "stop", stop)


@mutant("END-03")
def leaving_aborts(patch: Patch) -> None:
    """Leaving a backend waits for nobody."""

    def leave(real: Any, backend: Backend, channel_type: Any, error: Any, traceback: Any) -> Any:
        return real(channel_type, error or Exception("it was left"), traceback)

    around(patch, Backend, "__aexit__", leave)


@mutant("END-03", silent="program's end")
def leaving_closes_nobody(patch: Patch) -> None:
    """Leaving a backend waits for connections that do not know of it, and aborts them."""
    around(patch, Connection, "leave", nothing)


@mutant("END-03")
def leaving_does_not_wait_for_those_that_linger(patch: Patch) -> None:
    """A connection that was told its end is thought to be over."""
    around(patch, Lingering, "__len__", lambda *_: 0)


@mutant("END-03")
def those_that_were_lost_are_waited_for(patch: Patch) -> None:
    """The backend keeps its connections, and does not know which of them are over."""
    around(patch, Backend, "release", nothing)


@mutant("END-03", silent="program's end")
def grace_is_for_ever(patch: Patch) -> None:
    """Leaving a backend waits until all have ended."""

    def make(real: Any, backend: Backend, name: str, options: Any = None) -> None:
        real(name, {**(options or {}), "grace": 600})

    around(patch, Backend, "__init__", make)


@mutant("END-03")
def leaving_cuts_off_without_a_reset(patch: Patch) -> None:
    """What remains after the grace is closed."""

    def abandon(connection: Connection, reason: ConnectionLost) -> None:
        if type(reason) is ConnectionAborted:
            connection.channel.close()

    before(patch, Connection, "abandon", abandon)


@mutant("END-03", silent="program's end")
def a_body_that_raised_is_waited_for(patch: Patch) -> None:
    """Leaving is the same, however the body has ended."""

    def leave(real: Any, backend: Backend, *_: object) -> Any:
        return real(None, None, None)

    around(patch, Backend, "__aexit__", leave)


@mutant("END-03")
def what_the_body_raised_comes_in_a_group(patch: Patch) -> None:
    """What has ended the body comes with whatever the tasks have raised."""

    async def stop(real: Any, backend: MemoryBackend, error: BaseException | None) -> None:
        await real(error)
        if isinstance(error, Exception):
            raise ExceptionGroup("the program", [error])

    around(patch, MemoryBackend, "stop", stop)


@mutant("END-03")
def leaving_leaves_a_descriptor(patch: Patch) -> None:
    """A descriptor, made to be given away, is closed by nobody."""
    before(patch, MemoryBackend, "stop", lambda *_: os.dup(2))


@mutant("END-03")
def leaving_leaves_a_thread(patch: Patch) -> None:
    """A thread that helps the backend is a daemon, and ends with the process."""

    def start(*_: object) -> None:
        Thread(target=Event().wait, daemon=True).start()

    before(patch, MemoryBackend, "start", start)


# -- END-04: close_timeout -------------------------------------------------------------------------


@mutant("END-04", silent="connectionLost")
def no_close_timeout(patch: Patch) -> None:
    """close_timeout is not looked at."""
    with_options(patch, lambda options: replace(options, close_timeout=None))


@mutant("END-04", silent="connectionLost")
def a_producers_wait_is_not_limited(patch: Patch) -> None:
    """close_timeout begins when there are bytes to be sent."""
    closing = made(patch, inside(patch, "loseConnection"))
    with_producers = producing(patch)

    def expire(real: Any, deadline: Deadline) -> None:
        if not any(one is deadline and each in with_producers for one, each in closing):
            real()

    around(patch, Deadline, "expire", expire)


@mutant("END-04")
def what_is_sent_is_no_progress_of_a_close(patch: Patch) -> None:
    """close_timeout is how long the whole close may take."""
    no_progress_inside(patch, "writable")
    queues_never_shrink(patch)


@mutant("END-04")
def what_a_producer_writes_is_no_progress(patch: Patch) -> None:
    """A write that is taken at once does not touch the timer."""
    no_progress_inside(patch, "write")


@mutant("END-04")
def input_is_progress_of_a_close(patch: Patch) -> None:
    """A peer that goes on sending, and reads nothing, holds a close up for ever."""
    closing = made(patch, inside(patch, "loseConnection"))

    def received(connection: Connection, data: bytes) -> None:
        for deadline, each in closing:
            if each is connection:
                deadline.touch()

    before(patch, Connection, "received", received)


@mutant("END-04", on="tcp")
def the_kernels_queue_is_not_looked_at(patch: Patch) -> None:
    """Only what the kernel takes is progress, not what it gets rid of."""
    queues_never_shrink(patch)


@mutant("END-04")
def a_close_that_is_late_is_an_abort(patch: Patch) -> None:
    """close_timeout is told as ConnectionAborted."""

    def change(connection: Connection, reason: BaseException) -> BaseException:
        return ConnectionAborted(*reason.args) if type(reason) is CloseTimeout else reason

    change_reasons(patch, change)


@mutant("END-04")
def a_close_that_is_late_is_clean(patch: Patch) -> None:
    """When close_timeout is over, what is pending is forgotten, and the end of stream sent."""

    def abandon(connection: Connection, reason: ConnectionLost) -> None:
        if type(reason) is CloseTimeout:
            connection.channel.end_write()
            connection.channel.close()

    before(patch, Connection, "abandon", abandon)


@mutant("END-04")
def a_close_timeout_by_default(patch: Patch) -> None:
    """A close without a timeout of its own gets one."""
    with_options(
        patch, lambda options: replace(options, close_timeout=options.close_timeout or 0.1)
    )


# -- END-05: half_close_timeout --------------------------------------------------------------------


@mutant("END-05")
def the_short_way_is_no_progress(patch: Patch) -> None:
    """A write that finds nothing pending is the channel's, and no timer is touched."""
    short: list[Connection] = []

    def write(real: Any, connection: Connection, data: bytes) -> None:
        if outgoing_of(connection).size:
            real(data)
            return
        short.append(connection)
        try:
            real(data)
        finally:
            short.remove(connection)

    def touch(real: Any, deadline: Deadline) -> None:
        if not short:
            real()

    around(patch, Connection, "write", write)
    around(patch, Deadline, "touch", touch)


@mutant("END-05", silent="connectionLost")
def no_half_close_timeout(patch: Patch) -> None:
    """half_close_timeout is not looked at."""
    with_options(patch, lambda options: replace(options, half_close_timeout=None))


def _armed_too_early(patch: Patch, name: str) -> None:
    """Have the half_close_timeout begin after the connection's method *name*."""
    seconds: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    def make(real: Any, connection: Connection, backend: Any, channel: Any, *rest: Any) -> None:
        real(backend, channel, *rest)
        if rest[0].half_close_timeout is not None:
            seconds[connection] = rest[0].half_close_timeout

    def begin(connection: Connection, *_: object) -> None:
        if connection in seconds:
            arm(connection, seconds[connection], lambda: HalfCloseTimeout("it was idle"))

    around(patch, Connection, "__init__", make)
    after(patch, Connection, name, begin)


@mutant("END-05")
def armed_while_open_both_ways(patch: Patch) -> None:
    """half_close_timeout ends a connection that is idle."""
    _armed_too_early(patch, "attach")


@mutant("END-05")
def armed_by_the_verb(patch: Patch) -> None:
    """half_close_timeout begins when our end was asked for, not when it was sent."""
    _armed_too_early(patch, "loseWriteConnection")


@mutant("END-05")
def input_does_not_reset_it(patch: Patch) -> None:
    """half_close_timeout is how long a half-closed connection may live, whatever it reads."""
    no_progress_inside(patch, "received")


@mutant("END-05")
def output_does_not_reset_it(patch: Patch) -> None:
    """half_close_timeout is how long a half-closed connection may live, whatever it writes."""
    no_progress_inside(patch, "write")


@mutant("END-05", on="tcp")
def slow_output_does_not_reset_it(patch: Patch) -> None:
    """Only what the kernel takes is progress, not what it gets rid of."""
    queues_never_shrink(patch)


@mutant("END-05")
def half_closed_for_too_long_is_clean(patch: Patch) -> None:
    """half_close_timeout is told as ConnectionDone."""

    def change(connection: Connection, reason: BaseException) -> BaseException:
        return ConnectionDone(*reason.args) if type(reason) is HalfCloseTimeout else reason

    change_reasons(patch, change)


@mutant("END-05", silent="connectionLost")
def a_plain_protocol_is_never_reaped(patch: Patch) -> None:
    """half_close_timeout is for those that hear of their halves."""

    def abandon(real: Any, connection: Connection, reason: ConnectionLost) -> None:
        told = isinstance(connection.protocol, HalfCloseableProtocol)
        if told or type(reason) is not HalfCloseTimeout:
            real(reason)

    around(patch, Connection, "abandon", abandon)


@mutant("END-05")
def a_half_close_timeout_by_default(patch: Patch) -> None:
    """A connection without a timeout of its own gets one."""
    with_options(
        patch,
        lambda options: replace(options, half_close_timeout=options.half_close_timeout or 0.1),
    )


# -- END-06: producers at leaving ------------------------------------------------------------------


@mutant("END-06")
def leaving_only_closes(patch: Patch) -> None:
    """A connection is closed, and its producer hears of it when the grace is over."""
    around(patch, Connection, "leave", lambda real, connection: connection.loseConnection())


def _stopped_at_leaving(patch: Patch, which: Callable[[Between], bool]) -> None:
    """Have the producers of which *which* is true stopped, too, when the backend is left."""
    registered = put_between(patch)

    def stop(connection: Connection, producer: Between) -> None:
        producer.stopProducing()
        connection.unregisterProducer()

    def leave(connection: Connection) -> None:
        producer: Any = registered.get(connection)
        if producer is not None and which(producer):
            producer.soon(lambda: stop(connection, producer))

    after(patch, Connection, "leave", leave)


@mutant("END-06")
def leaving_stops_whoever_is_paused(patch: Patch) -> None:
    """Every streaming producer is stopped, also one that has more and waits for room."""
    _stopped_at_leaving(patch, lambda producer: producer.streaming and producer.paused)


@mutant("END-06")
def leaving_stops_pull_producers(patch: Patch) -> None:
    """A pull producer is stopped before it has given all."""
    _stopped_at_leaving(patch, lambda producer: not producer.streaming)


@mutant("END-06")
def stopped_and_still_waited_for(patch: Patch) -> None:
    """A producer that was told to stop is trusted to unregister."""
    registered = put_between(patch)

    def leave(real: Any, connection: Connection) -> None:
        connection.loseConnection()
        producer: Any = registered.get(connection)
        if producer is not None and producer.streaming and not producer.paused:
            producer.soon(producer.stopProducing)

    around(patch, Connection, "leave", leave)


@mutant("END-06")
def resumed_and_never_told(patch: Patch) -> None:
    """Only those are told that are not paused when the backend is left."""

    def forget(connection: Connection) -> None:
        loop_of(connection).leaving = False

    after(patch, Connection, "leave", forget)
