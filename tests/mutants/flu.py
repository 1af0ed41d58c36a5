"""Mistakes about flushing and back-pressure."""

from __future__ import annotations

from halfclose.backend import Backend
from halfclose.channel import Capabilities
from halfclose.connection import Connection
from halfclose.io import sockets, stdio, syscalls
from halfclose.io.poller import EpollPoller
from halfclose.io.sockets import SocketChannel
from halfclose.io.stdio import StdioChannel
from halfclose.io.syscalls import end_is_real, end_stream
from halfclose.memory.channel import MemoryChannel
from halfclose.outgoing import Outgoing
from mutants.mutant import mutant
from mutants.patching import Patch

# -- FLU-01: a lot, then our end -------------------------------------------------------------------


@mutant("FLU-01")
def a_partial_send_is_taken_for_a_whole_one(patch: Patch) -> None:
    """send says how much it took, and nobody looks."""
    patch.edit(Outgoing.flush, "self.size -= taken", "self.size -= len(piece) if taken else 0")
    patch.edit(
        Outgoing.flush,
        "memoryview(piece)[taken:] if taken else piece",
        "piece[:0] if taken else piece",
    )


@mutant("FLU-01")
def the_rest_is_sent_after_what_follows(patch: Patch) -> None:
    """What did not fit goes to the end of the queue."""
    patch.edit(Outgoing.flush, "self._queue.appendleft(", "self._queue.append(")


@mutant("FLU-01")
def the_rest_begins_one_byte_too_early(patch: Patch) -> None:
    """A byte that the channel has taken is sent once more."""
    patch.edit(Outgoing.keep, "memoryview(data)[taken:]", "memoryview(data)[taken - 1 :]")
    patch.edit(Outgoing.keep, "len(data) - taken", "len(data) - taken + bool(taken)")


@mutant("FLU-01")
def a_write_overtakes_what_waits(patch: Patch) -> None:
    """The short way to the channel is taken although earlier bytes wait."""
    patch.edit(Connection._look_whether_plain, "and not self._outgoing.size", "")


@mutant("FLU-01")
def our_end_overtakes_the_rest(patch: Patch) -> None:
    """The end of stream is sent once the rest is thought to fit into the kernel."""
    patch.edit(
        Connection._end_write_if_due,
        "if self._outgoing.size or",
        "if self._outgoing.size > 8 << 20 or",
    )
    patch.edit(
        Connection._after_sending,
        "if not self._outgoing.size:\n        self._end",
        "if True:\n        self._end",
    )


@mutant("FLU-01", on="tcp", silent="raw peer")
def writable_is_told_once(patch: Patch) -> None:
    """A channel that was blocked twice tells only the first time that it can take more."""
    patch.edit(
        SocketChannel.write,
        "self._want(self._events | WRITE)",
        "protocol = self._sink._protocol\n"
        "        if not hasattr(protocol, 'told'):\n"
        "            protocol.told = True\n"
        "            self._want(self._events | WRITE)",
    )


# -- FLU-02: a lot, then the close -----------------------------------------------------------------


@mutant("FLU-02")
def the_close_does_not_wait(patch: Patch) -> None:
    """loseConnection closes, whatever is still to be sent."""
    patch.edit(
        Connection._close,
        "# The peer may be unable",
        "self._outgoing.clear()\n    # The peer may be unable",
    )


@mutant("FLU-02", on="tcp")
def every_close_is_a_reset(patch: Patch) -> None:
    """The channel closes with SO_LINGER set to zero, so that no port stays in use."""
    patch.edit(
        SocketChannel.close,
        "self._sock.close()",
        "reset(self._sock)\n        self._sock.close()",
    )


# -- FLU-03: pending bytes at the peer's end -------------------------------------------------------


@mutant("FLU-03")
def the_peers_end_discards_what_is_pending(patch: Patch) -> None:
    """Whoever sends no more is taken to read no more."""
    patch.edit(
        Connection._deliver_read_ended,
        "self._enter(Move.READ_ENDED)",
        "self._enter(Move.READ_ENDED)\n    self._outgoing.clear()",
    )


@mutant("FLU-03", on="tcp", silent="raw peer")
def the_peers_end_stops_the_sending(patch: Patch) -> None:
    """A descriptor that was read to its end is watched no more, for writing either."""
    patch.edit(SocketChannel._end, "self._want(self._events & ~READ)", "self._want(0)")


# -- FLU-04: our end while a send is blocked -------------------------------------------------------


@mutant("FLU-04")
def our_end_cuts_a_blocked_send_off(patch: Patch) -> None:
    """loseWriteConnection shuts down at once what is blocked."""
    patch.edit(
        Connection.loseWriteConnection,
        "self._end_write_if_due()",
        "self._outgoing.clear()\n        self._end_write_if_due()",
    )


@mutant("FLU-04", silent="raw peer")
def our_end_is_forgotten_behind_a_blocked_send(patch: Patch) -> None:
    """Whether an end of stream is due is only looked at by the verb."""
    patch.edit(Connection._after_sending, "self._end_write_if_due()", "pass")


# -- FLU-05: a program that is left in the middle --------------------------------------------------


@mutant("FLU-05", on="tcp")
def left_with_a_close(patch: Patch) -> None:
    """A backend that is left closes what is still there."""
    patch.edit(
        Backend._abort_all,
        "connection.abandon(",
        "connection._channel.close()\n        connection.abandon(",
    )


@mutant("FLU-05", on="tcp")
def left_out_of_sight(patch: Patch) -> None:
    """A connection that is closing is not the backend's to abort any more."""
    patch.edit(
        Connection._close,
        "inbox, self._inbox = self._inbox, None",
        "inbox = self._inbox = self._backend._connections.pop(self, None)",
    )


# -- FLU-06: data and the end while paused ---------------------------------------------------------


@mutant("FLU-06")
def the_end_is_told_although_paused(patch: Patch) -> None:
    """Only data is held back while reading is paused."""
    patch.edit(
        Connection.read_ended,
        "self._direct and not self._busy and not self._inbox",
        "self._life.state in READING and not self._busy",
    )
    patch.edit(Connection.pauseProducing, "self._channel.pause_reading()", "pass")


@mutant("FLU-06")
def data_is_delivered_although_paused(patch: Patch) -> None:
    """pauseProducing takes effect when what the kernel holds has been read."""
    patch.edit(Connection.pauseProducing, "self._paused = True\n    self._direct = False", "pass")
    patch.edit(Connection.pauseProducing, "self._channel.pause_reading()", "pass")


@mutant("FLU-06", silent="connectionLost")
def resume_forgets_to_read(patch: Patch) -> None:
    """resumeProducing delivers what was kept, and leaves the channel paused."""
    patch.edit(Connection.resumeProducing, "self._channel.resume_reading()", "pass")


@mutant("FLU-06")
def paused_in_connection_made_is_not_paused(patch: Patch) -> None:
    """Reading begins after connectionMade, whatever was said in it."""
    patch.edit(
        Connection.attach,
        "in READING and not self._paused:",
        "in READING:\n                self._direct = True",
    )


# -- FLU-07: idle costs nothing --------------------------------------------------------------------


@mutant("FLU-07", on="tcp")
def an_end_is_read_again_and_again(patch: Patch) -> None:
    """A descriptor at its end of stream is still watched, and is always ready."""
    patch.edit(SocketChannel._end, "self._want(self._events & ~READ)", "pass")


@mutant("FLU-07", on="tcp")
def a_hang_up_wakes_for_ever(patch: Patch) -> None:
    """A descriptor of which nothing is wanted stays registered, level-triggered."""
    patch.edit(EpollPoller.want, "events or _EDGE", "events")


@mutant("FLU-07")
def the_end_is_told_again_on_resume(patch: Patch) -> None:
    """What was told while paused is told again when reading goes on."""
    patch.edit(
        Connection.resumeProducing,
        "reset = self._channel.look_for_error()",
        "self._backend.call_soon(self._protocol.readConnectionLost)\n"
        "            reset = self._channel.look_for_error()",
    )


@mutant("FLU-07", on="stdio")
def a_pipe_without_reader_wakes_for_ever(patch: Patch) -> None:
    """The end of a pipe stays watched when it was told."""
    patch.edit(StdioChannel._read, "self._input_ended = True\n        self.pause_reading()", "pass")


# -- FLU-08: paused inside dataReceived ------------------------------------------------------------


@mutant("FLU-08", on="tcp")
def a_loop_of_reads_is_not_stopped(patch: Patch) -> None:
    """A channel reads until there is nothing, and hands it all up."""
    patch.edit(
        SocketChannel.ready,
        "if again and self._events & READ:\n            self._read()",
        "for _ in range(4):\n            self._read()",
    )
    patch.edit(Connection.pauseProducing, "self._paused = True\n    self._direct = False", "pass")


@mutant("FLU-08")
def a_pause_inside_an_event_is_forgotten(patch: Patch) -> None:
    """pauseProducing inside dataReceived is undone when that returns."""
    patch.edit(
        Connection.pauseProducing,
        "if self._paused or",
        "if self._busy or self._paused or",
    )


@mutant("FLU-08")
def the_end_does_not_wait_for_the_resume(patch: Patch) -> None:
    """An end of stream behind the data that was paused at is delivered with it."""
    patch.edit(
        Connection.pauseProducing,
        "self._channel.pause_reading()",
        "self._backend.call_soon(self._channel.resume_reading)",
    )
    patch.edit(Connection._step, "if not self._paused:", "if not self._paused or head is _END:")


@mutant("FLU-08", silent="dataReceived")
def what_comes_while_paused_is_lost(patch: Patch) -> None:
    """A channel that gives something although it was paused gives it to nobody."""
    patch.edit(Connection.received, "self._keep(data)", "pass")


@mutant("FLU-08")
def what_comes_overtakes_what_was_kept(patch: Patch) -> None:
    """After resumeProducing, what is read next is delivered before what was kept."""
    patch.edit(Connection.received, " and not self._inbox", "")


@mutant("FLU-08")
def an_event_forgets_the_pause(patch: Patch) -> None:
    """After each event that ends a half, what comes is delivered, paused or not."""
    patch.edit(Connection._enter, " and not self._paused", "")


@mutant("FLU-08", silent="dataReceived")
def what_was_kept_waits_for_more(patch: Patch) -> None:
    """resumeProducing delivers what was kept when something else comes."""
    patch.edit(Connection.resumeProducing, "self._soon()", "pass")


# -- FLU-09: the input first -----------------------------------------------------------------------


@mutant("FLU-09", on="tcp")
def a_failed_send_is_the_end(patch: Patch) -> None:
    """Once nothing can be sent, nothing is read either."""
    patch.edit(
        Connection._note_write_error,
        "if self._life.state not in READING or not self._awaits_input():",
        "if True:",
    )


@mutant("FLU-09", on="tcp")
def an_error_comes_before_its_input(patch: Patch) -> None:
    """A descriptor that is in error is given up, with what is still to be read from it."""
    patch.edit(
        SocketChannel._look_for_error, "if not self._ended and self.has_input():", "if False:"
    )


@mutant("FLU-09", on="tcp")
def the_end_behind_a_failed_send_is_not_told(patch: Patch) -> None:
    """After a failed send, every end of stream is doubted."""
    patch.edit(end_is_real, "error is None or", "error is None or False and")


@mutant("FLU-09", on="tcp")
def no_end_is_doubted(patch: Patch) -> None:
    """A send that has taken the reset out of the socket leaves an end that nobody has sent."""
    patch.edit(end_is_real, "return error is None or", "return True or error is None or")


@mutant("FLU-09", on="tcp", silent="connectionLost")
def the_failed_send_is_forgotten(patch: Patch) -> None:
    """When the input and its end were told, nobody remembers that the sending has failed."""
    patch.edit(
        Connection._deliver_read_ended,
        'self._context.run(self._backend.hooks.half_closed, self, "read")\n'
        "    if self._write_error is not None:",
        "if False:",
    )


@mutant("FLU-09")
def keeps_input_although_it_says_not(patch: Patch) -> None:
    """A channel that keeps the input of a failed send says that it does not."""
    patch.put(MemoryChannel, "capabilities", Capabilities(keeps_input=False))


# -- FLU-10: a paused reader bounds the memory -----------------------------------------------------


@mutant("FLU-10")
def read_ahead_while_paused(patch: Patch) -> None:
    """While reading is paused, what comes is read and kept."""
    patch.edit(Connection.pauseProducing, "self._channel.pause_reading()", "pass")


@mutant("FLU-10", on="tcp")
def paused_too_late(patch: Patch) -> None:
    """The channel goes on reading until a look finds nothing to read."""
    patch.edit(
        SocketChannel.pause_reading,
        "self._want(self._events & ~READ)",
        "if not self.has_input():\n        self._want(self._events & ~READ)",
    )


@mutant("FLU-10")
def bounds_input_although_it_says_not(patch: Patch) -> None:
    """A channel that leaves the input to the kernel says that it does not."""
    patch.put(MemoryChannel, "capabilities", Capabilities(bounds_input=False))


# -- FLU-11: a reset is told -----------------------------------------------------------------------


def _nothing_is_told_early(patch: Patch) -> None:
    patch.edit(SocketChannel.ready, "if events & ERROR:", "if False:")


@mutant("FLU-11", on="tcp", silent="no connectionLost")
def nothing_is_asked_on_resume(patch: Patch) -> None:
    """resumeProducing after the end of stream has nothing to resume."""
    _nothing_is_told_early(patch)
    patch.edit(Connection.resumeProducing, "reset = self._channel.look_for_error()", "reset = None")


@mutant("FLU-11", on="unix")
def our_end_does_not_ask(patch: Patch) -> None:
    """shutdown(2) is asked alone, which says nothing of a reset of a unix socket."""
    _nothing_is_told_early(patch)
    patch.edit(end_stream, "if error is not None:", "if False:")


@mutant("FLU-11", on="tcp", silent="no connectionLost")
def a_reset_found_by_a_write_is_no_news(patch: Patch) -> None:
    """A write that fails is dropped, as all that follow it are."""
    _nothing_is_told_early(patch)
    patch.edit(Connection.write, "self._send_failed(error)", "self._drop(len(data))")


@mutant("FLU-11", on="tcp")
def a_reset_found_by_the_close_is_clean(patch: Patch) -> None:
    """Whoever closes does not care how the peer has ended."""
    _nothing_is_told_early(patch)
    patch.edit(
        Connection._end_write_if_due,
        "self._send_failed(error)",
        "self._write_ended = True\n            self._schedule_end()",
    )


@mutant("FLU-11")
def a_reset_behind_the_end_is_clean(patch: Patch) -> None:
    """Once the peer has ended, whatever follows is its end."""
    patch.edit(
        Connection.failed,
        "self._reason = _lost(error)",
        "self._reason = ConnectionDone() if self._life.state in _READ_CLOSED else _lost(error)",
    )
    patch.edit(
        Connection._note_write_error,
        "self._finish(_lost(error), abort=True)",
        "self._finish(ConnectionDone() if self._peer_ended else _lost(error), abort=True)",
    )


# -- FLU-12: no signal -----------------------------------------------------------------------------


@mutant("FLU-12", on="tcp")
def a_send_may_signal(patch: Patch) -> None:
    """A send to a socket says nothing of the signal."""
    patch.put(sockets, "NO_SIGNAL", 0)


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
