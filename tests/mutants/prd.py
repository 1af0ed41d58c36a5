"""Mistakes about producers."""

from __future__ import annotations

from halfclose.connection import Connection
from halfclose.io.sockets import SocketChannel
from mutants.mutant import mutant
from mutants.patching import Patch

# -- PRD-01: a streaming producer ------------------------------------------------------------------


@mutant("PRD-01")
def paused_in_the_next_turn(patch: Patch) -> None:
    """The producer is told that it is too fast when it has written everything."""
    patch.edit(
        Connection._write, "self._pause_producer()", "self._backend.call_soon(self._pause_producer)"
    )


@mutant("PRD-01")
def paused_by_each_write(patch: Patch) -> None:
    """Each write above the high-water mark pauses once more."""
    patch.edit(Connection._write, "if not self._producer_paused and", "if")


@mutant("PRD-01", silent="raw peer")
def never_resumed(patch: Patch) -> None:
    """A producer that was paused stays so."""
    patch.edit(Connection._after_sending, "self._resume_due = True", "pass")


@mutant("PRD-01")
def resumed_inside_a_verb(patch: Patch) -> None:
    """A producer that writes although it was paused is told to go on."""
    patch.edit(
        Connection._write,
        "taken = outgoing.write(data)",
        "taken = outgoing.write(data)\n"
        "        if self._producer_paused:\n"
        "            self._producer.resumeProducing()",
    )


@mutant("PRD-01")
def resumed_above_the_low_water_mark(patch: Patch) -> None:
    """The producer is resumed when anything was sent."""
    patch.edit(
        Connection._after_sending,
        "self._outgoing.size <= self._options.low_water",
        "self._outgoing.size <= self._options.high_water",
    )


@mutant("PRD-01")
def resumed_twice(patch: Patch) -> None:
    """A producer that goes on is resumed by everything that is sent."""
    patch.edit(Connection._after_sending, "if self._producer_paused and", "if")


@mutant("PRD-01")
def the_marks_are_not_the_connections_own(patch: Patch) -> None:
    """What the options say of the marks is not looked at."""
    patch.edit(Connection._write, "> self._options.high_water", "> 65536")


@mutant("PRD-01")
def the_next_producer_is_taken_for_paused(patch: Patch) -> None:
    """What the last producer was told is taken to hold for the next one."""
    patch.edit(Connection._register, "self._producer_paused = self._resume_due = False", "pass")


@mutant("PRD-01")
def a_failed_send_resumes_for_good(patch: Patch) -> None:
    """A producer that was paused is resumed, and no write pauses it again."""
    patch.edit(
        Connection._note_write_error,
        "self._dismiss_producer()",
        "self._after_sending()\n        self._soon()",
    )


@mutant("PRD-01")
def a_failed_write_lets_the_loop_go_on(patch: Patch) -> None:
    """Only a buffer that is too full pauses a producer."""
    patch.edit(Connection._halt_producer, "self._pause_producer()", "pass")


@mutant("PRD-01")
def the_short_way_passes_the_producer_by(patch: Patch) -> None:
    """The short way to the channel is taken although a producer is to be told."""
    patch.edit(Connection._register, "self._plain = False", "pass")


@mutant("PRD-01")
def a_failed_send_leaves_it_paused(patch: Patch) -> None:
    """While the input is kept, nobody tells the producer that there is nothing to wait for."""
    patch.edit(Connection._note_write_error, "self._dismiss_producer()", "pass")


# -- PRD-02: a pull producer -----------------------------------------------------------------------


@mutant("PRD-02")
def a_failed_send_asks_no_more(patch: Patch) -> None:
    """While the input is kept, a pull producer whose answer was thrown away waits."""
    patch.edit(Connection._note_write_error, "self._dismiss_producer()", "pass")


@mutant("PRD-02")
def asked_inside_its_answer(patch: Patch) -> None:
    """A pull producer is asked again as soon as it has answered, which recurses."""
    patch.edit(Connection._ask, "self._backend.call_soon(self._pull)", "self._pull()")


@mutant("PRD-02")
def asked_twice_a_turn(patch: Patch) -> None:
    """A question for the registration, and one for the empty buffer that was found then."""
    patch.edit(Connection._ask, "if not self._asked:", "if True:")
    patch.edit(
        Connection._ask,
        "self._backend.call_soon(self._pull)",
        "self._backend.call_soon(self._pull)\n            self._backend.call_soon(self._pull)",
    )


@mutant("PRD-02", silent="raw peer")
def asked_once(patch: Patch) -> None:
    """A pull producer is asked when it is registered, and then only behind a blocked send."""
    patch.edit(Connection._write, "elif not outgoing.size:", "elif False:")


@mutant("PRD-02")
def asked_before_the_buffer_is_empty(patch: Patch) -> None:
    """A pull producer is asked while its last answer is still being sent."""
    patch.edit(Connection._write, "elif not outgoing.size:", "else:")
    patch.edit(
        Connection._pull,
        "if self._producer is None or self._streaming or self._outgoing.size:",
        "if self._producer is None or self._streaming:",
    )


@mutant("PRD-02", silent="condition")
def not_asked_behind_a_blocked_send(patch: Patch) -> None:
    """Whether the buffer has emptied is looked at by write only."""
    patch.edit(Connection._after_sending, "self._ask()", "pass")


@mutant("PRD-02")
def asked_for_each_reason(patch: Patch) -> None:
    """A question for the registration, and one for the write that left nothing pending."""
    patch.edit(Connection._ask, "if not self._asked:", "if True:")


@mutant("PRD-02")
def the_one_that_follows_is_asked(patch: Patch) -> None:
    """What was to be asked of a pull producer is asked of the streaming one that came after it."""
    patch.edit(Connection._pull, "or self._streaming ", "")


# -- PRD-03: our end waits -------------------------------------------------------------------------


@mutant("PRD-03")
def our_end_does_not_wait_for_the_producer(patch: Patch) -> None:
    """loseWriteConnection sends the end of stream when the bytes are sent."""
    patch.edit(
        Connection._awaits_producer,
        "return not (",
        "return self._life.state is State.CLOSING and not (",
    )


@mutant("PRD-03", silent="raw peer")
def our_end_waits_for_a_further_write(patch: Patch) -> None:
    """unregisterProducer leaves the end of stream to what is written next."""
    patch.edit(
        Connection._unregister,
        "self._end_write_if_due()",
        "self._life.state is State.CLOSING and self._end_write_if_due()",
    )


# -- PRD-04: the close waits -----------------------------------------------------------------------


@mutant("PRD-04")
def the_close_does_not_wait_for_the_producer(patch: Patch) -> None:
    """loseConnection closes when the bytes are sent."""
    patch.edit(
        Connection._awaits_producer,
        "return not (",
        "return self._life.state is not State.CLOSING and not (",
    )


@mutant("PRD-04", silent="raw peer")
def the_close_waits_for_a_further_write(patch: Patch) -> None:
    """unregisterProducer leaves the close to what is written next."""
    patch.edit(
        Connection._unregister,
        "self._end_write_if_due()",
        "self._life.state is not State.CLOSING and self._end_write_if_due()",
    )


@mutant("PRD-04")
def a_closing_connection_takes_no_more_from_its_producer(patch: Patch) -> None:
    """What a producer writes after loseConnection is dropped."""
    patch.edit(
        Connection._waits_for_producer,
        "self._producer is not None",
        "self._life.state is not State.CLOSING and self._producer is not None",
    )


@mutant("PRD-04")
def a_plain_protocols_producer_is_cut_off(patch: Patch) -> None:
    """The peer's end of stream ends a plain protocol, whatever still produces for it."""
    patch.edit(Connection._awaits_producer, " and isinstance(self._producer, Connection)", "")


# -- PRD-05: registered too late -------------------------------------------------------------------


@mutant("PRD-05")
def registered_although_too_late(patch: Patch) -> None:
    """A producer is taken until the end of stream is sent."""
    patch.edit(
        Connection._register,
        "if not self._accepting:",
        "if not self._accepting and (self._end_requested or self._life.state in ENDED):",
    )


@mutant("PRD-05")
def stopped_inside_its_registration(patch: Patch) -> None:
    """A producer that comes too late is stopped at once."""
    patch.edit(
        Connection._register,
        "self._stop_soon(producer)",
        "self._stop(producer)",
    )


@mutant("PRD-05")
def refused_without_a_word(patch: Patch) -> None:
    """A producer that comes too late is told nothing."""
    patch.edit(Connection._register, "self._stop_soon(producer)", "pass")


@mutant("PRD-05")
def refused_after_the_loss_with_an_error(patch: Patch) -> None:
    """registerProducer of a connection that is gone raises."""
    patch.edit(
        Connection.registerProducer,
        "if self._producer is not None:",
        "if self._life.state is State.CLOSED:\n"
        "        raise RuntimeError('the connection is lost')\n"
        "    if self._producer is not None:",
    )


# -- PRD-06: the connection is lost ----------------------------------------------------------------


@mutant("PRD-06")
def never_stopped(patch: Patch) -> None:
    """Who produces for a connection that is lost finds out by itself."""
    patch.edit(Connection._release_producer, "self._stop(producer)", "pass")


@mutant("PRD-06")
def stopped_after_connection_lost(patch: Patch) -> None:
    """The protocol hears of the loss before its producer does."""
    patch.edit(
        Connection._release_producer,
        "self._stop(producer)",
        "self._backend.call_soon(self._stop, producer)",
    )


@mutant("PRD-06")
def stopped_by_the_abort_and_by_the_loss(patch: Patch) -> None:
    """abortConnection stops the producer, and connectionLost does."""
    patch.edit(
        Connection.abortConnection,
        "self._finish(",
        "if self._producer is not None:\n"
        "            self._backend.call_soon(self._stop, self._producer)\n"
        "        self._finish(",
    )


@mutant("PRD-06")
def a_pull_producer_is_not_stopped(patch: Patch) -> None:
    """Only a streaming producer goes on by itself, and only it is stopped."""
    patch.edit(
        Connection._release_producer,
        "elif producer is not None:",
        "elif producer is not None and self._streaming:",
    )


# -- PRD-07: a second producer ---------------------------------------------------------------------


@mutant("PRD-07")
def the_second_replaces_the_first(patch: Patch) -> None:
    """The last producer that was registered is the one."""
    patch.edit(Connection.registerProducer, "if self._producer is not None:", "if False:")


@mutant("PRD-07")
def the_second_is_refused_and_the_first_is_gone(patch: Patch) -> None:
    """registerProducer raises when it has already put the second in place."""
    patch.edit(
        Connection.registerProducer,
        "if self._producer is not None:",
        "if self._producer is not None:\n        self._producer = producer",
    )


@mutant("PRD-07")
def the_same_producer_may_come_again(patch: Patch) -> None:
    """Who is registered already is no second producer."""
    patch.edit(
        Connection.registerProducer,
        "if self._producer is not None:",
        "if self._producer is not None and self._producer is not producer:",
    )


@mutant("PRD-07")
def unregistering_nobody_is_an_error(patch: Patch) -> None:
    """unregisterProducer without a producer raises."""
    patch.edit(
        Connection.unregisterProducer,
        "if producer is None:\n        return",
        "assert producer is not None",
    )


# -- PRD-08: the abort does not wait ---------------------------------------------------------------


@mutant("PRD-08", silent="connectionLost")
def the_abort_waits_for_the_producer(patch: Patch) -> None:
    """abortConnection is noted, and made when the producer has unregistered."""
    patch.edit(
        Connection.abortConnection,
        "self._finish(",
        "if self._producer is not None:\n            return\n        self._finish(",
    )


@mutant("PRD-08", silent="connectionLost")
def the_abort_waits_while_closing(patch: Patch) -> None:
    """abortConnection waits for a producer that loseConnection waits for already."""
    patch.edit(
        Connection.abortConnection,
        "self._finish(",
        "if self._life.state is State.CLOSING and self._producer:\n"
        "            return\n        self._finish(",
    )


# -- PRD-09: a transport is a producer -------------------------------------------------------------


@mutant("PRD-09")
def a_transport_that_is_stopped_aborts(patch: Patch) -> None:
    """stopProducing discards what is still to be sent."""
    patch.edit(Connection.stopProducing, "self.loseConnection()", "self.abortConnection()")


@mutant("PRD-09", silent="raw peer")
def a_transport_cannot_be_stopped(patch: Patch) -> None:
    """stopProducing stops the reading, and no more."""
    patch.edit(Connection.stopProducing, "self.loseConnection()", "self.pauseProducing()")


@mutant("PRD-09", silent="writeConnectionLost")
def its_end_does_not_unregister_it(patch: Patch) -> None:
    """A transport that will read no more stays registered with the other one."""
    patch.edit(
        Connection._deliver_read_ended,
        "if self._consumers:",
        "if False:",
    )


@mutant("PRD-09", silent="writeConnectionLost")
def its_loss_does_not_unregister_it(patch: Patch) -> None:
    """A transport that is lost stays registered with the other one."""
    patch.edit(Connection._deliver_lost, "self._release_consumers(reason)", "pass")


@mutant("PRD-09", silent="raw peer")
def it_is_registered_after_its_end(patch: Patch) -> None:
    """A transport that reads no more is registered, and never unregisters."""
    patch.edit(Connection._register, "if producer._life.state not in READING:", "if False:")


@mutant("PRD-09")
def a_proxy_is_not_held_back(patch: Patch) -> None:
    """pauseProducing of a transport that produces for another one does not reach its reads."""
    patch.edit(
        Connection.pauseProducing,
        "if self._paused or",
        "if self._consumers or self._paused or",
    )


@mutant("PRD-09")
def two_that_wait_for_each_other(patch: Patch) -> None:
    """A plain proxy's side waits for the other one, which waits for it."""
    patch.edit(Connection._awaits_producer, "self._peer_ended and", "False and")
    patch.edit(Connection._close, "self._release_consumers(self._write_error)", "pass")


@mutant("PRD-09")
def a_sink_whose_peer_has_ended_does_not_wait(patch: Patch) -> None:
    """Where the sink's own reading has ended, a transport that produces for it is cut off."""
    patch.edit(Connection._awaits_producer, " and not self._half_closeable", "")


@mutant("PRD-09")
def a_plain_sink_does_not_wait(patch: Patch) -> None:
    """A transport that produces for a protocol that is not half-closeable is cut off."""
    patch.edit(Connection._awaits_producer, "self._peer_ended and ", "")


@mutant("PRD-09")
def a_reset_goes_on_as_a_stop(patch: Patch) -> None:
    """A transport whose consumer was reset is stopped, as every producer is: a clean end."""
    patch.edit(
        Connection._release_producer,
        "if source is not None and not isinstance(reason, ConnectionDone):",
        "if False:",
    )
    patch.edit(
        Connection._stop,
        "if isinstance(producer, Connection) and self.failure is not None:",
        "if False:",
    )


@mutant("PRD-09")
def a_reset_of_the_producer_unregisters_it(patch: Patch) -> None:
    """A transport that waits for another one ends cleanly, however that one was lost."""
    patch.edit(Connection._release_consumers, "broken = self._cut_off or", "broken = False and")


@mutant("PRD-09", silent="raw peer")
def whoever_reads_no_more_produces_for_nobody(patch: Patch) -> None:
    """A reset is not told to a transport whose own read side had ended when it was registered."""
    patch.edit(
        Connection._register,
        "if producer._life.state not in READING:",
        "if producer._life.state not in READING:\n            self._fed_by = None",
    )


@mutant("PRD-09")
def an_end_forgets_for_whom_it_produced(patch: Patch) -> None:
    """A transport at its end of stream is unregistered, and its consumer's loss is none of it."""
    patch.edit(
        Connection._released,
        "self._unregister()",
        "self._unregister()\n        self._fed_by = None",
    )


@mutant("PRD-09")
def a_reset_overtakes_what_was_written(patch: Patch) -> None:
    """A transport whose consumer was reset is aborted at once."""
    patch.edit(Connection.cut_off, "self.loseConnection()", "self.abortConnection()")


@mutant("PRD-09", on="tcp")
def nothing_is_ever_unsent(patch: Patch) -> None:
    """A channel says that all has arrived that the kernel has taken."""
    patch.edit(SocketChannel.unsent, "return ", "return 0 and ")
