"""Mistakes about closing without losing anything."""

from __future__ import annotations

from typing import cast

from halfclose.backend import Backend
from halfclose.channel import Capabilities
from halfclose.connection import Connection
from halfclose.deadline import Deadline
from halfclose.io.lingering import Lingering, _Lingerer
from halfclose.io.listening import SocketListener
from halfclose.io.poller import EpollPoller
from halfclose.memory.channel import MemoryChannel
from halfclose_anyio.backend import AnyioBackend
from halfclose_anyio.on_asyncio import AsyncioLoop
from mutants.mutant import mutant
from mutants.patching import Patch

# -- END-01: the peer reads the whole reply --------------------------------------------------------


@mutant("END-01", on="tcp")
def no_lingering(patch: Patch) -> None:
    """A channel is closed when all is sent, with what the peer still sends unread."""
    patch.edit(Connection._lingers, "return (", "return False and (")


@mutant("END-01", silent="no more")
def nothing_is_read_while_closing(patch: Patch) -> None:
    """After loseConnection nothing is read until all is sent, which waits for the reading."""
    patch.edit(Connection._close, "self._channel.resume_reading()", "self._channel.pause_reading()")


@mutant("END-01", silent="no more")
def paused_stays_paused_while_closing(patch: Patch) -> None:
    """A protocol that has paused the reading before its close never resumes it."""
    patch.edit(
        Connection._close,
        "self._channel.resume_reading()",
        "self._paused or self._channel.resume_reading()",
    )


# -- END-02: lingering -----------------------------------------------------------------------------


@mutant("END-02", silent="connectionLost")
def lost_when_the_peer_has_ended(patch: Patch) -> None:
    """connectionLost comes when lingering is over."""
    patch.edit(
        Connection._step,
        "if state is State.ENDED:",
        "if state is State.ENDED and not self._backend.lingering:",
    )


@mutant("END-02", silent="no more")
def not_drained(patch: Patch) -> None:
    """A channel that lingers is kept, and not read."""
    patch.edit(_Lingerer.begin, "self._channel.resume_reading()", "self._channel.pause_reading()")


@mutant("END-02", silent="still held")
def lingers_after_the_peers_end(patch: Patch) -> None:
    """The peer's end of stream is read and discarded with all else."""
    patch.edit(_Lingerer.read_ended, "self._end()", "pass")


@mutant("END-02")
def what_is_discarded_is_kept(patch: Patch) -> None:
    """What lingering reads is collected, in case somebody asks."""
    patch.edit(
        _Lingerer.received,
        "size = len(data)",
        "size = len(data)\n    globals().setdefault('_all', []).append(data)",
    )


@mutant("END-02", silent="still held")
def lingers_for_ever(patch: Patch) -> None:
    """A peer that neither ends nor sends is waited for."""
    patch.edit(
        _Lingerer.__init__,
        "Deadline(backend, options.linger_timeout, self.done, self._look)",
        "Deadline(backend, options.linger_timeout, lambda: None, self._look)",
    )


@mutant("END-02")
def lingers_when_it_is_turned_off(patch: Patch) -> None:
    """A linger_timeout of 0 is taken for the one by default."""
    patch.edit(Connection._lingers, "self._options.linger_timeout > 0", "True")
    patch.edit(_Lingerer.__init__, "options.linger_timeout,", "options.linger_timeout or 5.0,")


@mutant("END-02")
def input_is_no_progress(patch: Patch) -> None:
    """A peer that goes on sending is given up as if it were silent."""
    touch = "self._deadline.touch()"
    patch.edit(
        _Lingerer.received, f"{touch}\n        at_speed = self._read", "at_speed = self._read"
    )
    patch.edit(_Lingerer.received, touch, "pass")


@mutant("END-02", on="tcp")
def a_shorter_queue_is_no_progress(patch: Patch) -> None:
    """A peer that goes on reading is given up as if it did not."""
    patch.edit(Deadline.look, "if remaining < self._last:", "if False:")


@mutant("END-02")
def given_up_too_early(patch: Patch) -> None:
    """The timeout begins when the connection was made."""
    patch.edit(Deadline.look, "left = self._touched + self._seconds - now", "left = 0")


@mutant("END-02")
def a_peer_that_sends_for_ever_is_read_for_ever(patch: Patch) -> None:
    """Nothing but silence ends the lingering."""
    patch.edit(_Lingerer._look, ">= AFTER_EMPTY", ">= 1e9")


@mutant("END-02")
def any_number_linger(patch: Patch) -> None:
    """Nobody counts how many linger."""
    patch.edit(Lingering._begin, "while len(self._everyone) >= LIMIT:", "while False:")


@mutant("END-02")
def the_newest_goes(patch: Patch) -> None:
    """Where too many linger, the one that came last makes room."""
    patch.edit(Lingering._oldest, "next(iter(self._everyone))", "next(reversed(self._everyone))")


@mutant("END-02")
def drains_although_it_says_not(patch: Patch) -> None:
    """A channel that may read and discard says that it may not."""
    patch.put(MemoryChannel, "capabilities", Capabilities(drains=False))


# -- END-07: lingering ends ------------------------------------------------------------------------


@mutant("END-07")
def a_drop_is_progress(patch: Patch) -> None:
    """A byte now and then, from a peer that has read everything, is waited for."""
    patch.edit(_Lingerer.received, "if self._bulk >= BULK:", "if True:")


@mutant("END-07")
def what_is_unread_is_waited_for_without_end(patch: Patch) -> None:
    """A peer that never reads may send a byte now and then, for as long as it likes."""
    patch.edit(_Lingerer._look, "now - self._begun >= LONGEST", "False")


@mutant("END-07")
def input_is_no_progress_while_ours_is_unread(patch: Patch) -> None:
    """A peer that has to send before it can read is given up."""
    patch.edit(_Lingerer.received, "if self._unsent():", "if self._unsent() < 0:")


@mutant("END-07")
def any_number_of_bytes_is_discarded(patch: Patch) -> None:
    """Nobody counts what is read and discarded."""
    patch.edit(_Lingerer.received, "if self._after_empty > self._most:", "if False:")


@mutant("END-07", on="tcp")
def who_lingers_keeps_his_descriptor(patch: Patch) -> None:
    """Where no descriptor is left, those that linger keep theirs."""
    patch.edit(Lingering.make_room, "error.errno not in NO_DESCRIPTORS", "True")


# -- END-03: leaving -------------------------------------------------------------------------------


@mutant("END-03", on="tcp")
def a_listener_closes_what_it_has_accepted(patch: Patch) -> None:
    """aclose ends the connections too."""
    patch.edit(
        SocketListener.close,
        "self._backend.forget(self)",
        "self._backend.forget(self)\n"
        "    for connection in list(self._backend._connections):\n"
        "        connection.loseConnection()",
    )


@mutant("END-03", on="tcp")
def a_listener_goes_on(patch: Patch) -> None:
    """aclose stops accepting, and leaves the socket in the kernel's hands until the end."""
    patch.edit(
        SocketListener.close,
        "accepting.close()",
        "accepting._poll.stop()\n        self._backend.on_leaving(accepting.close)",
    )


@mutant("END-03")
def leaving_aborts(patch: Patch) -> None:
    """Leaving a backend waits for nobody."""
    patch.edit(Backend.__aexit__, "if error is None:", "if False:")


@mutant("END-03", silent="program's end")
def leaving_closes_nobody(patch: Patch) -> None:
    """Leaving a backend waits for connections that do not know of it, and aborts them."""
    patch.edit(Backend._wind_down, "connection.leave()", "pass")


@mutant("END-03")
def leaving_does_not_wait_for_those_that_linger(patch: Patch) -> None:
    """A connection that was told its end is thought to be over."""
    patch.edit(cast(property, Backend._busy).fget, "or self.lingering", "")


@mutant("END-03")
def those_that_were_lost_are_waited_for(patch: Patch) -> None:
    """The backend keeps its connections, and does not know which of them are over."""
    patch.edit(Backend.release, "self._connections.pop(connection, None)", "pass")


@mutant("END-03", silent="program's end")
def grace_is_for_ever(patch: Patch) -> None:
    """Leaving a backend waits until all have ended."""
    patch.edit(
        Backend._wind_down,
        "timer = self.call_later(self._grace, self._quiet.set)",
        "timer = self.call_later(600, self._quiet.set)",
    )


@mutant("END-03")
def leaving_cuts_off_without_a_reset(patch: Patch) -> None:
    """What remains after the grace is closed."""
    patch.edit(
        Backend._abort_all,
        "connection.abandon(",
        "connection._channel.close()\n        connection.abandon(",
    )


@mutant("END-03", silent="program's end")
def a_body_that_raised_is_waited_for(patch: Patch) -> None:
    """Leaving is the same, however the body has ended."""
    patch.edit(Backend.__aexit__, "if error is None:", "if True:")


@mutant("END-03", on="tcp")
def what_the_body_raised_comes_in_a_group(patch: Patch) -> None:
    """What has ended the body comes with whatever the tasks have raised."""
    patch.edit(
        AnyioBackend.stop,
        "await self._loop.leave(error)",
        "await self._loop.leave(error)\n"
        "    if isinstance(error, Exception):\n"
        "        raise ExceptionGroup('the program', [error])",
    )


@mutant("END-03", on="tcp")
def leaving_leaves_a_descriptor(patch: Patch) -> None:
    """A duplicate of the poller's descriptor, made to be given away, is closed by nobody."""
    patch.edit(
        EpollPoller.close,
        "self._epoll.close()",
        "import os\n    os.dup(self._epoll.fileno())\n    self._epoll.close()",
    )


@mutant("END-03", on="tcp")
def leaving_leaves_a_thread(patch: Patch) -> None:
    """A thread that helps the backend is a daemon, and ends with the process."""
    patch.edit(
        AsyncioLoop.enter,
        "self._body = asyncio.current_task()",
        "import threading\n"
        "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "    self._body = asyncio.current_task()",
    )


# -- END-04: close_timeout -------------------------------------------------------------------------


@mutant("END-04", silent="connectionLost")
def no_close_timeout(patch: Patch) -> None:
    """close_timeout is not looked at."""
    patch.edit(Connection._close, "if self._options.close_timeout is not None:", "if False:")


@mutant("END-04", silent="connectionLost")
def a_producers_wait_is_not_limited(patch: Patch) -> None:
    """close_timeout begins when there are bytes to be sent."""
    patch.edit(
        Connection._close,
        "if self._options.close_timeout is not None:",
        "if self._options.close_timeout is not None and self._producer is None:",
    )


@mutant("END-04")
def what_is_sent_is_no_progress_of_a_close(patch: Patch) -> None:
    """close_timeout is how long the whole close may take."""
    patch.edit(Connection.writable, "if moved and self._deadline is not None:", "if False:")
    patch.edit(Deadline.look, "if remaining < self._last:", "if False:")


@mutant("END-04")
def what_a_producer_writes_is_no_progress(patch: Patch) -> None:
    """A write that is taken at once does not touch the timer."""
    patch.edit(Connection._write, "if taken and self._deadline is not None:", "if False:")


@mutant("END-04")
def input_is_progress_of_a_close(patch: Patch) -> None:
    """A peer that goes on sending, and reads nothing, holds a close up for ever."""
    patch.edit(Connection.received, " and self._life.state is not State.CLOSING", "")


@mutant("END-04", on="tcp")
def the_kernels_queue_is_not_looked_at(patch: Patch) -> None:
    """Only what the kernel takes is progress, not what it gets rid of."""
    patch.edit(Deadline.look, "if remaining < self._last:", "if False:")


@mutant("END-04")
def a_close_that_is_late_is_an_abort(patch: Patch) -> None:
    """close_timeout is told as ConnectionAborted."""
    patch.edit(Connection._close_expired, "CloseTimeout(", "ConnectionAborted(")


@mutant("END-04")
def a_close_that_is_late_is_clean(patch: Patch) -> None:
    """When close_timeout is over, what is pending is forgotten, and the end of stream sent."""
    patch.edit(
        Connection._close_expired,
        "self.abandon(",
        "self._channel.end_write()\n    self._channel.close()\n    self.abandon(",
    )


@mutant("END-04")
def a_close_timeout_by_default(patch: Patch) -> None:
    """A close without a timeout of its own gets one."""
    patch.edit(
        Connection._close,
        "self._limit(self._options.close_timeout",
        "self._limit(self._options.close_timeout or 0.1",
    )
    patch.edit(Connection._close, "if self._options.close_timeout is not None:", "if True:")


# -- END-05: half_close_timeout --------------------------------------------------------------------


@mutant("END-05")
def the_short_way_is_no_progress(patch: Patch) -> None:
    """The short way to the channel is taken although a timer is to be touched."""
    patch.edit(Connection._limit, "self._plain = False", "pass")


@mutant("END-05", silent="connectionLost")
def no_half_close_timeout(patch: Patch) -> None:
    """half_close_timeout is not looked at."""
    patch.edit(Connection._settle, "self._options.half_close_timeout is not None", "False")


@mutant("END-05")
def armed_while_open_both_ways(patch: Patch) -> None:
    """half_close_timeout ends a connection that is idle."""
    patch.edit(
        Connection.attach,
        "self._enter(Move.MADE)",
        "self._enter(Move.MADE)\n"
        "        if self._options.half_close_timeout is not None:\n"
        "            self._limit(self._options.half_close_timeout, self._half_close_expired)",
    )


@mutant("END-05")
def armed_by_the_verb(patch: Patch) -> None:
    """half_close_timeout begins when our end was asked for, not when it was sent."""
    patch.edit(
        Connection.loseWriteConnection,
        "self._end_write_if_due()",
        "self._end_write_if_due()\n"
        "        if self._options.half_close_timeout is not None and self._deadline is None:\n"
        "            self._limit(self._options.half_close_timeout, self._half_close_expired)",
    )


@mutant("END-05")
def input_does_not_reset_it(patch: Patch) -> None:
    """half_close_timeout is how long a half-closed connection may live, whatever it reads."""
    patch.edit(Connection.received, "if self._deadline is not None and", "if False and")


@mutant("END-05")
def output_does_not_reset_it(patch: Patch) -> None:
    """half_close_timeout is how long a half-closed connection may live, whatever it writes."""
    patch.edit(Connection._write, "if taken and self._deadline is not None:", "if False:")


@mutant("END-05", on="tcp")
def slow_output_does_not_reset_it(patch: Patch) -> None:
    """Only what the kernel takes is progress, not what it gets rid of."""
    patch.edit(Deadline.look, "if remaining < self._last:", "if False:")


@mutant("END-05")
def half_closed_for_too_long_is_clean(patch: Patch) -> None:
    """half_close_timeout is told as ConnectionDone."""
    patch.edit(
        Connection._half_close_expired, "self.abandon(", "self.loseConnection()\n    self.abandon("
    )


@mutant("END-05", silent="connectionLost")
def a_plain_protocol_is_never_reaped(patch: Patch) -> None:
    """half_close_timeout is for those that hear of their halves."""
    patch.edit(
        Connection._settle, "elif self._deadline is None and", "elif self._half_closeable and"
    )


@mutant("END-05")
def a_half_close_timeout_by_default(patch: Patch) -> None:
    """A connection without a timeout of its own gets one."""
    patch.edit(Connection._settle, "self._options.half_close_timeout is not None", "True")
    patch.edit(
        Connection._settle,
        "self._limit(self._options.half_close_timeout,",
        "self._limit(self._options.half_close_timeout or 0.1,",
    )


# -- END-06: producers at leaving ------------------------------------------------------------------


@mutant("END-06")
def leaving_only_closes(patch: Patch) -> None:
    """A connection is closed, and its producer hears of it when the grace is over."""
    patch.edit(Backend._wind_down, "connection.leave()", "connection.loseConnection()")


@mutant("END-06")
def leaving_stops_whoever_is_paused(patch: Patch) -> None:
    """Every streaming producer is stopped, also one that has more and waits for room."""
    patch.edit(Connection._dismiss_idle_producer, "and not self._producer_paused", "")
    patch.edit(Connection._stop_idle, "if not self._producer_paused and not", "if True or")


@mutant("END-06")
def leaving_stops_pull_producers(patch: Patch) -> None:
    """A pull producer is stopped before it has given all."""
    patch.edit(Connection._dismiss_idle_producer, "and self._streaming", "")


@mutant("END-06")
def stopped_and_still_waited_for(patch: Patch) -> None:
    """A producer that was told to stop is trusted to unregister."""
    patch.edit(Connection._stop_registered, "self._unregister()", "pass")


@mutant("END-06")
def resumed_and_never_told(patch: Patch) -> None:
    """Only those are told that are not paused when the backend is left."""
    patch.edit(Connection._step, "if self._backend.leaving:", "if False:")
