"""Mistakes about producers.

Most are made between the transport and the producer, where what the one tells the other passes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from halfclose import HIGH_WATER, HalfCloseableProtocol, State
from halfclose.backend import Backend
from halfclose.connection import Connection
from halfclose.io.socket_channel import SocketChannel
from halfclose.lifecycle import ACCEPTING, ENDED, READING
from mutants.mutant import mutant
from mutants.options import with_options
from mutants.patching import Patch
from mutants.producers import Between, put_between, watch_registrations
from mutants.wrapping import around, loop_of, outgoing_of

_WRITE_CLOSING = (State.WRITE_CLOSING, State.READ_CLOSED_WRITE_CLOSING)
"""After loseWriteConnection, before our end of stream."""

# -- PRD-01: a streaming producer ------------------------------------------------------------------


@mutant("PRD-01")
def paused_in_the_next_turn(patch: Patch) -> None:
    """The producer is told that it is too fast when it has written everything."""

    class Later(Between):
        def pauseProducing(self) -> None:
            self.soon(super().pauseProducing)

    put_between(patch, Later)


@mutant("PRD-01")
def paused_by_each_write(patch: Patch) -> None:
    """Each write of a producer that is paused pauses it once more."""
    registered = put_between(patch)

    def write(real: Any, connection: Connection, data: bytes) -> None:
        producer: Any = registered.get(connection)
        again = producer is not None and producer.paused
        real(data)
        if again:
            producer.pauseProducing()

    around(patch, Connection, "write", write)


@mutant("PRD-01", silent="raw peer")
def never_resumed(patch: Patch) -> None:
    """A producer that was paused stays so."""

    class Paused(Between):
        def resumeProducing(self) -> None:
            pass

    put_between(patch, Paused)


@mutant("PRD-01")
def resumed_inside_a_verb(patch: Patch) -> None:
    """A producer that writes although it was paused is told to go on."""
    registered = put_between(patch)

    def write(real: Any, connection: Connection, data: bytes) -> None:
        producer: Any = registered.get(connection)
        paused = producer is not None and producer.paused
        real(data)
        if paused:
            producer.resumeProducing()

    around(patch, Connection, "write", write)


@mutant("PRD-01")
def resumed_above_the_low_water_mark(patch: Patch) -> None:
    """The producer is resumed when anything was sent."""
    with_options(patch, lambda options: replace(options, low_water=options.high_water - 1))


@mutant("PRD-01")
def resumed_twice(patch: Patch) -> None:
    """A producer that goes on is resumed by everything that is sent."""
    registered = put_between(patch)

    def writable(real: Any, connection: Connection) -> None:
        producer: Any = registered.get(connection)
        goes_on = producer is not None and producer.streaming and not producer.paused
        real()
        if goes_on:
            producer.soon(producer.resumeProducing)

    around(patch, Connection, "writable", writable)


@mutant("PRD-01")
def the_marks_are_not_the_connections_own(patch: Patch) -> None:
    """What the options say of the high-water mark is not looked at."""
    with_options(patch, lambda options: replace(options, high_water=HIGH_WATER))


@mutant("PRD-01")
def the_next_producer_is_taken_for_paused(patch: Patch) -> None:
    """What the last producer was told is taken to hold for the next one."""
    paused = WeakKeyDictionary[Connection, bool]()

    class Following(Between):
        def __init__(self, real: Any, transport: Connection, streaming: bool) -> None:
            super().__init__(real, transport, streaming)
            self.paused = paused.get(transport, False)

        def pauseProducing(self) -> None:
            if not self.paused:
                super().pauseProducing()
            paused[self.transport] = True

        def resumeProducing(self) -> None:
            paused[self.transport] = False
            super().resumeProducing()

    put_between(patch, Following)


@mutant("PRD-01")
def a_failed_send_resumes_for_good(patch: Patch) -> None:
    """A producer that was paused is resumed, and no write pauses it again."""

    class GoesOn(Between):
        failed = False

        def pauseProducing(self) -> None:
            if not self.failed:
                super().pauseProducing()

        def stopProducing(self) -> None:
            if self.transport.state in ENDED:
                super().stopProducing()
            else:
                self.failed = True
                self.resumeProducing()

    put_between(patch, GoesOn)


@mutant("PRD-01")
def a_failed_write_lets_the_loop_go_on(patch: Patch) -> None:
    """Only a buffer that is too full pauses a producer."""

    class ForTheBuffer(Between):
        def pauseProducing(self) -> None:
            if outgoing_of(self.transport).size > HIGH_WATER:
                super().pauseProducing()

    put_between(patch, ForTheBuffer)


@mutant("PRD-01")
def the_short_way_passes_the_producer_by(patch: Patch) -> None:
    """A write that finds nothing pending is the channel's, and the producer hears nothing of it."""
    short: list[Connection] = []

    class PassedBy(Between):
        def pauseProducing(self) -> None:
            if self.transport not in short:
                super().pauseProducing()

    put_between(patch, PassedBy)

    def write(real: Any, connection: Connection, data: bytes) -> None:
        if connection.state not in ACCEPTING or outgoing_of(connection).size:
            real(data)
            return
        short.append(connection)
        try:
            real(data)
        finally:
            short.remove(connection)

    around(patch, Connection, "write", write)


class _NotTold(Between):
    """Not told that nothing can be sent any more, only that the connection is lost."""

    def stopProducing(self) -> None:
        if self.transport.state in ENDED:
            super().stopProducing()


@mutant("PRD-01")
def a_failed_send_leaves_it_paused(patch: Patch) -> None:
    """While the input is kept, nobody tells the producer that there is nothing to wait for."""
    put_between(patch, _NotTold)


# -- PRD-02: a pull producer -----------------------------------------------------------------------


@mutant("PRD-02")
def a_failed_send_asks_no_more(patch: Patch) -> None:
    """While the input is kept, a pull producer whose answer was thrown away waits."""
    put_between(patch, _NotTold)


@mutant("PRD-02")
def asked_inside_its_answer(patch: Patch) -> None:
    """A pull producer is asked again as soon as it has answered, which recurses."""
    registered = put_between(patch)

    def write(real: Any, connection: Connection, data: bytes) -> None:
        real(data)
        producer: Any = registered.get(connection)
        if producer is not None and not producer.streaming and not outgoing_of(connection).size:
            producer.resumeProducing()

    around(patch, Connection, "write", write)


@mutant("PRD-02")
def asked_twice_a_turn(patch: Patch) -> None:
    """A question for the registration, and one for the empty buffer that was found then."""
    registered = put_between(patch)

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        real(producer, streaming)
        if not streaming and connection in registered:
            registered[connection].soon(registered[connection].resumeProducing)

    around(patch, Connection, "registerProducer", register)


@mutant("PRD-02", silent="raw peer")
def asked_once(patch: Patch) -> None:
    """A pull producer is asked when it is registered, and then only behind a blocked send."""

    class Once(Between):
        due = True

        def resumeProducing(self) -> None:
            if self.due or self.streaming:
                self.due = False
                super().resumeProducing()

    registered = put_between(patch, Once)

    def writable(real: Any, connection: Connection) -> None:
        if connection in registered:
            registered[connection].due = True
        real()

    around(patch, Connection, "writable", writable)


@mutant("PRD-02")
def asked_before_the_buffer_is_empty(patch: Patch) -> None:
    """A pull producer is asked while its last answer is still being sent."""
    registered = put_between(patch)

    def write(real: Any, connection: Connection, data: bytes) -> None:
        real(data)
        producer: Any = registered.get(connection)

        def ask() -> None:
            if connection in registered and registered[connection] is producer:
                producer.resumeProducing()

        if producer is not None and not producer.streaming and outgoing_of(connection).size:
            producer.soon(ask)

    around(patch, Connection, "write", write)


@mutant("PRD-02", silent="condition")
def not_asked_behind_a_blocked_send(patch: Patch) -> None:
    """Whether the buffer has emptied is looked at by write only."""

    class AskedByWrite(Between):
        emptied = False

        def resumeProducing(self) -> None:
            if self.emptied:
                self.emptied = False
            else:
                super().resumeProducing()

    registered = put_between(patch, AskedByWrite)

    def writable(real: Any, connection: Connection) -> None:
        waited = outgoing_of(connection).size
        real()
        if connection in registered and waited and not outgoing_of(connection).size:
            registered[connection].emptied = True

    around(patch, Connection, "writable", writable)


@mutant("PRD-02")
def asked_for_each_reason(patch: Patch) -> None:
    """A question for the registration, and one for the write that left nothing pending."""
    registered = put_between(patch)

    def write(real: Any, connection: Connection, data: bytes) -> None:
        producer: Any = registered.get(connection)
        asked = producer is not None and connection in new
        real(data)
        if asked and not outgoing_of(connection).size:
            producer.soon(producer.resumeProducing)

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        real(producer, streaming)
        if not streaming:
            new.add(connection)
            loop_of(connection).call_soon(new.discard, connection)

    new: set[Connection] = set()
    around(patch, Connection, "write", write)
    around(patch, Connection, "registerProducer", register)


@mutant("PRD-02")
def the_one_that_follows_is_asked(patch: Patch) -> None:
    """What was to be asked of a pull producer is asked of the streaming one that came after it."""
    registered = put_between(patch)
    asked: set[Connection] = set()

    def unregister(real: Any, connection: Connection) -> None:
        if connection in registered and not registered[connection].streaming:
            asked.add(connection)
            loop_of(connection).call_soon(asked.discard, connection)
        real()

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        real(producer, streaming)
        if connection in asked:
            registered[connection].soon(registered[connection].resumeProducing)

    around(patch, Connection, "unregisterProducer", unregister)
    around(patch, Connection, "registerProducer", register)


# -- PRD-03: our end waits -------------------------------------------------------------------------


def _does_not_wait(patch: Patch, verb: str) -> None:
    """Have *verb* go on as if nobody produced."""

    def end(real: Any, connection: Connection) -> None:
        connection.unregisterProducer()
        real()

    around(patch, Connection, verb, end)


def _waits_for_a_further_write(patch: Patch, *states: State) -> None:
    """Have unregisterProducer, in one of *states*, change nothing until something is written."""
    waiting: list[Connection] = []

    def unregister(real: Any, connection: Connection) -> None:
        if connection.state in states:
            waiting.append(connection)
        else:
            real()

    def write(real: Any, connection: Connection, data: bytes) -> None:
        real(data)
        if connection in waiting:
            waiting.remove(connection)
            unregister_really(connection)

    unregister_really = Connection.unregisterProducer
    around(patch, Connection, "unregisterProducer", unregister)
    around(patch, Connection, "write", write)


@mutant("PRD-03")
def our_end_does_not_wait_for_the_producer(patch: Patch) -> None:
    """loseWriteConnection sends the end of stream when the bytes are sent."""
    _does_not_wait(patch, "loseWriteConnection")


@mutant("PRD-03", silent="raw peer")
def our_end_waits_for_a_further_write(patch: Patch) -> None:
    """unregisterProducer leaves the end of stream to what is written next."""
    _waits_for_a_further_write(patch, *_WRITE_CLOSING)


# -- PRD-04: the close waits -----------------------------------------------------------------------


@mutant("PRD-04")
def the_close_does_not_wait_for_the_producer(patch: Patch) -> None:
    """loseConnection closes when the bytes are sent."""
    _does_not_wait(patch, "loseConnection")


@mutant("PRD-04", silent="raw peer")
def the_close_waits_for_a_further_write(patch: Patch) -> None:
    """unregisterProducer leaves the close to what is written next."""
    _waits_for_a_further_write(patch, State.CLOSING)


@mutant("PRD-04")
def a_closing_connection_takes_no_more_from_its_producer(patch: Patch) -> None:
    """What a producer writes after loseConnection is dropped."""

    def write(real: Any, connection: Connection, data: bytes) -> None:
        if connection.state is not State.CLOSING:
            real(data)

    around(patch, Connection, "write", write)


@mutant("PRD-04")
def a_plain_protocols_producer_is_cut_off(patch: Patch) -> None:
    """The peer's end of stream ends a plain protocol, whatever still produces for it."""

    def read_ended(real: Any, connection: Connection) -> None:
        if not isinstance(connection.protocol, HalfCloseableProtocol):
            connection.unregisterProducer()
        real()

    around(patch, Connection, "read_ended", read_ended)


# -- PRD-05: registered too late -------------------------------------------------------------------


@mutant("PRD-05")
def registered_although_too_late(patch: Patch) -> None:
    """A producer is taken until the end of stream is sent."""

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        if connection.state not in (*_WRITE_CLOSING, State.CLOSING):
            real(producer, streaming)

    around(patch, Connection, "registerProducer", register)


def _too_late(patch: Patch, instead: Any) -> None:
    """Have ``instead(transport, producer)`` called for a producer that comes too late."""

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        if connection.state in ACCEPTING:
            real(producer, streaming)
        else:
            instead(connection, producer)

    around(patch, Connection, "registerProducer", register)


@mutant("PRD-05")
def stopped_inside_its_registration(patch: Patch) -> None:
    """A producer that comes too late is stopped at once."""
    _too_late(patch, lambda transport, producer: producer.stopProducing())


@mutant("PRD-05")
def refused_without_a_word(patch: Patch) -> None:
    """A producer that comes too late is told nothing."""
    _too_late(patch, lambda transport, producer: None)


@mutant("PRD-05")
def refused_after_the_loss_with_an_error(patch: Patch) -> None:
    """registerProducer of a connection that is gone raises."""

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        if connection.state is State.CLOSED:
            raise RuntimeError("the connection is lost")
        real(producer, streaming)

    around(patch, Connection, "registerProducer", register)


# -- PRD-06: the connection is lost ----------------------------------------------------------------


@mutant("PRD-06")
def never_stopped(patch: Patch) -> None:
    """Who produces for a connection that is lost finds out by itself."""

    class NeverStopped(Between):
        def stopProducing(self) -> None:
            pass

    put_between(patch, NeverStopped)


@mutant("PRD-06")
def stopped_after_connection_lost(patch: Patch) -> None:
    """The protocol hears of the loss before its producer does."""

    class Later(Between):
        def stopProducing(self) -> None:
            self.soon(super().stopProducing)

    put_between(patch, Later)


@mutant("PRD-06")
def stopped_by_the_abort_and_by_the_loss(patch: Patch) -> None:
    """abortConnection stops the producer, and connectionLost does."""
    registered = put_between(patch)

    def abort(real: Any, connection: Connection) -> None:
        if connection in registered:
            registered[connection].soon(registered[connection].stopProducing)
        real()

    around(patch, Connection, "abortConnection", abort)


@mutant("PRD-06")
def a_pull_producer_is_not_stopped(patch: Patch) -> None:
    """Only a streaming producer goes on by itself, and only it is stopped."""

    class OnlyStreaming(Between):
        def stopProducing(self) -> None:
            if self.streaming:
                super().stopProducing()

    put_between(patch, OnlyStreaming)


# -- PRD-07: a second producer ---------------------------------------------------------------------


@mutant("PRD-07")
def the_second_replaces_the_first(patch: Patch) -> None:
    """The last producer that was registered is the one."""

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        connection.unregisterProducer()
        real(producer, streaming)

    around(patch, Connection, "registerProducer", register)


@mutant("PRD-07")
def the_second_is_refused_and_the_first_is_gone(patch: Patch) -> None:
    """registerProducer raises when it has already put the second in place."""

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        try:
            real(producer, streaming)
        except RuntimeError:
            connection.unregisterProducer()
            real(producer, streaming)
            raise

    around(patch, Connection, "registerProducer", register)


@mutant("PRD-07")
def the_same_producer_may_come_again(patch: Patch) -> None:
    """Who is registered already is no second producer."""
    registered = watch_registrations(patch)

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        if registered.get(connection) is not producer:
            real(producer, streaming)

    around(patch, Connection, "registerProducer", register)


@mutant("PRD-07")
def unregistering_nobody_is_an_error(patch: Patch) -> None:
    """unregisterProducer without a producer raises."""
    registered = watch_registrations(patch)

    def unregister(real: Any, connection: Connection) -> None:
        assert connection in registered, "no producer is registered"
        real()

    around(patch, Connection, "unregisterProducer", unregister)


# -- PRD-08: the abort does not wait ---------------------------------------------------------------


def _the_abort_waits(patch: Patch, *states: State) -> None:
    """Have abortConnection, in one of *states*, wait until the producer has unregistered."""
    registered = watch_registrations(patch)
    waiting: list[Connection] = []

    def abort(real: Any, connection: Connection) -> None:
        if connection in registered and connection.state in states:
            waiting.append(connection)
        else:
            real()

    def unregister(real: Any, connection: Connection) -> None:
        real()
        if connection in waiting:
            connection.abortConnection()

    around(patch, Connection, "abortConnection", abort)
    around(patch, Connection, "unregisterProducer", unregister)


@mutant("PRD-08", silent="connectionLost")
def the_abort_waits_for_the_producer(patch: Patch) -> None:
    """abortConnection is noted, and made when the producer has unregistered."""
    _the_abort_waits(patch, *State)


@mutant("PRD-08", silent="connectionLost")
def the_abort_waits_while_closing(patch: Patch) -> None:
    """abortConnection waits for a producer that loseConnection waits for already."""
    _the_abort_waits(patch, State.CLOSING)


# -- PRD-09: a transport is a producer -------------------------------------------------------------


class _Source(Between):
    """In front of a transport that produces, so that its consumer sees a producer like others."""

    def stopProducing(self) -> None:
        if self.transport.failure is None:
            self.real.stopProducing()
        else:
            self.real.cut_off()


def _put_before_sources(patch: Patch, *, at_its_end: bool = True, at_its_loss: bool = True) -> None:
    """Have a `_Source` in front of each transport that produces, and unregister it here instead.

    :param at_its_end: whether its end of stream unregisters it, where it hears of that.
    :param at_its_loss: whether its loss does.
    """
    registered = watch_registrations(patch)

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        in_time = connection.state in ACCEPTING
        if in_time and isinstance(producer, Connection) and producer.state in READING:
            producer = _Source(producer, connection, streaming)
        real(producer, streaming)

    def unregister(source: Connection) -> None:
        for consumer, producer in list(registered.items()):
            if isinstance(producer, _Source) and producer.real is source:
                consumer.unregisterProducer()

    def read_ended(real: Any, connection: Connection) -> None:
        real()
        if at_its_end and isinstance(connection.protocol, HalfCloseableProtocol):
            unregister(connection)

    def release(real: Any, backend: Backend, connection: Connection) -> None:
        real(connection)
        if at_its_loss:
            unregister(connection)

    around(patch, Connection, "registerProducer", register)
    around(patch, Connection, "read_ended", read_ended)
    around(patch, Backend, "release", release)


@mutant("PRD-09")
def a_transport_that_is_stopped_aborts(patch: Patch) -> None:
    """stopProducing discards what is still to be sent."""
    around(
        patch, Connection, "stopProducing", lambda real, connection: connection.abortConnection()
    )


@mutant("PRD-09", silent="raw peer")
def a_transport_cannot_be_stopped(patch: Patch) -> None:
    """stopProducing stops the reading, and no more."""
    around(patch, Connection, "stopProducing", lambda real, connection: connection.pauseProducing())


@mutant("PRD-09", silent="writeConnectionLost")
def its_end_does_not_unregister_it(patch: Patch) -> None:
    """A transport that will read no more stays registered with the other one."""
    _put_before_sources(patch, at_its_end=False)


@mutant("PRD-09", silent="writeConnectionLost")
def its_loss_does_not_unregister_it(patch: Patch) -> None:
    """A transport that is lost stays registered with the other one."""
    _put_before_sources(patch, at_its_loss=False)


@mutant("PRD-09", silent="raw peer")
def it_is_registered_after_its_end(patch: Patch) -> None:
    """A transport that reads no more is registered, and never unregisters."""

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        if isinstance(producer, Connection) and producer.state not in READING:
            producer = _Source(producer, connection, streaming)
        real(producer, streaming)

    around(patch, Connection, "registerProducer", register)


@mutant("PRD-09")
def a_proxy_is_not_held_back(patch: Patch) -> None:
    """pauseProducing of a transport that produces for another one does not reach its reads."""
    registered = watch_registrations(patch)

    def pause(real: Any, connection: Connection) -> None:
        if connection not in registered.values():
            real()

    around(patch, Connection, "pauseProducing", pause)


@mutant("PRD-09")
def two_that_wait_for_each_other(patch: Patch) -> None:
    """A plain proxy's side waits for the other one, which waits for it."""
    # Its close ends neither the wait of the other one, nor its own.
    _put_before_sources(patch)


@mutant("PRD-09")
def a_consumer_whose_peer_has_ended_does_not_wait(patch: Patch) -> None:
    """Where the consumer's own reading has ended, a transport that produces for it is cut off."""

    def end(real: Any, connection: Connection) -> None:
        if connection.state is State.READ_CLOSED:
            connection.unregisterProducer()
        real()

    around(patch, Connection, "loseWriteConnection", end)


@mutant("PRD-09")
def a_plain_consumer_does_not_wait(patch: Patch) -> None:
    """A transport that produces for a protocol that is not half-closeable is cut off."""

    def close(real: Any, connection: Connection) -> None:
        if not isinstance(connection.protocol, HalfCloseableProtocol):
            connection.unregisterProducer()
        real()

    around(patch, Connection, "loseConnection", close)


def _not_cut_off(patch: Patch, *, the_producer: bool) -> None:
    """Have a transport closed where it is to be cut off.

    :param the_producer: whether it is the one that produces; else the one that waits for it.
    """
    registered = watch_registrations(patch)

    def cut_off(real: Any, connection: Connection) -> None:
        if (connection in registered.values()) is the_producer:
            connection.loseConnection()
        else:
            real()

    around(patch, Connection, "cut_off", cut_off)


@mutant("PRD-09")
def a_reset_goes_on_as_a_stop(patch: Patch) -> None:
    """A transport whose consumer was reset is stopped, as every producer is: a clean end."""
    _not_cut_off(patch, the_producer=True)


@mutant("PRD-09")
def a_reset_of_the_producer_unregisters_it(patch: Patch) -> None:
    """A transport that waits for another one ends cleanly, however that one was lost."""
    _not_cut_off(patch, the_producer=False)


@mutant("PRD-09", silent="raw peer")
def whoever_reads_no_more_produces_for_nobody(patch: Patch) -> None:
    """A reset is not told to a transport whose own read side had ended when it was registered."""

    def register(real: Any, connection: Connection, producer: Any, streaming: bool) -> None:
        late = connection.state not in ACCEPTING
        if late or not isinstance(producer, Connection) or producer.state in READING:
            real(producer, streaming)

    around(patch, Connection, "registerProducer", register)


@mutant("PRD-09")
def an_end_forgets_for_whom_it_produced(patch: Patch) -> None:
    """A transport at its end of stream is unregistered, and its consumer's loss is none of it."""
    registered = watch_registrations(patch)

    def read_ended(real: Any, connection: Connection) -> None:
        for consumer, producer in list(registered.items()):
            if producer is connection:
                consumer.unregisterProducer()
        real()

    around(patch, Connection, "read_ended", read_ended)


@mutant("PRD-09")
def a_reset_overtakes_what_was_written(patch: Patch) -> None:
    """A transport whose consumer was reset is aborted at once."""
    around(patch, Connection, "cut_off", lambda real, connection: connection.abortConnection())


@mutant("PRD-09", on="tcp")
def nothing_is_ever_unsent(patch: Patch) -> None:
    """A channel says that all has arrived that the kernel has taken."""
    patch.put(SocketChannel, "unsent", lambda channel: 0)
