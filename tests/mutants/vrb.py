"""Mistakes about what a protocol may call, when, and what comes of it."""

from __future__ import annotations

from typing import cast

from halfclose.channel import Capabilities
from halfclose.connection import Connection
from halfclose.io.sockets import SocketChannel
from halfclose.io.syscalls import end_stream
from halfclose.memory.channel import MemoryChannel
from mutants.mutant import mutant
from mutants.patching import Patch

_TOO_LATE = "if not self._life.can(Move.END_WRITE):\n        return\n    "
"""What makes loseWriteConnection do nothing."""

# -- VRB-01: loseWriteConnection twice -------------------------------------------------------------


@mutant("VRB-01")
def a_second_end_is_an_error(patch: Patch) -> None:
    """loseWriteConnection is made once, and says so."""
    patch.edit(Connection.loseWriteConnection, _TOO_LATE, "")


@mutant("VRB-01")
def a_second_end_closes(patch: Patch) -> None:
    """Whoever ends a half that has ended is taken to mean the other one."""
    patch.edit(
        Connection.loseWriteConnection,
        _TOO_LATE,
        "if not self._life.can(Move.END_WRITE):\n        return self.loseConnection()\n    ",
    )


@mutant("VRB-01")
def a_second_end_is_told_again(patch: Patch) -> None:
    """Each loseWriteConnection gets its writeConnectionLost."""
    patch.edit(
        Connection.loseWriteConnection,
        _TOO_LATE,
        "if not self._life.can(Move.END_WRITE):\n"
        "        self._backend.call_soon(self._protocol.writeConnectionLost)\n"
        "        return\n    ",
    )


# -- VRB-02: loseWriteConnection too late ----------------------------------------------------------


@mutant("VRB-02")
def an_end_after_the_close_is_an_error(patch: Patch) -> None:
    """loseWriteConnection of a connection that is closing is a mistake, and raises."""
    patch.edit(
        Connection.loseWriteConnection,
        _TOO_LATE,
        "if not self._life.can(Move.END_WRITE) and self._life.state is not State.WRITE_CLOSED:\n"
        "        raise RuntimeError('too late')\n    " + _TOO_LATE,
    )


@mutant("VRB-02")
def an_end_after_the_loss_is_an_error(patch: Patch) -> None:
    """loseWriteConnection reaches for a channel that is gone."""
    patch.edit(
        Connection.loseWriteConnection,
        _TOO_LATE,
        "if self._life.state is State.CLOSED:\n"
        "        raise OSError('the connection is closed')\n    " + _TOO_LATE,
    )


@mutant("VRB-02")
def an_end_during_the_close_cuts_off(patch: Patch) -> None:
    """loseWriteConnection while loseConnection waits sends the end of stream at once."""
    patch.edit(
        Connection.loseWriteConnection,
        _TOO_LATE,
        "if self._life.state is State.CLOSING:\n"
        "        self._outgoing.clear()\n"
        "        self._end_write_if_due()\n    " + _TOO_LATE,
    )


# -- VRB-03: loseWriteConnection after a reset -----------------------------------------------------


@mutant("VRB-03", on="tcp")
def the_reset_escapes(patch: Patch) -> None:
    """What shutdown(2) says goes to whoever has called the verb."""
    patch.edit(
        Connection._end_write_if_due, "except OSError as error:", "except EOFError as error:"
    )
    patch.edit(
        Connection.loseWriteConnection,
        "except BaseException as error:",
        "except EOFError as error:",
    )


@mutant("VRB-03", on="unix")
def the_reset_is_not_asked_for(patch: Patch) -> None:
    """shutdown(2) is asked alone, which says nothing of a reset of a unix socket."""
    patch.edit(end_stream, "if error is not None:", "if False:")


@mutant("VRB-03", on="tcp")
def the_reset_is_taken_for_our_end(patch: Patch) -> None:
    """A shutdown(2) that fails is one that has nothing to do any more."""
    patch.edit(SocketChannel.end_write, "raise self._first(error) from None", "return True")


# -- VRB-04: errors of shutdown(2) -----------------------------------------------------------------


def _only_a_reset_is_expected(patch: Patch, verb: object) -> None:
    expected = "except (ConnectionResetError, BrokenPipeError) as error:"
    patch.edit(Connection._end_write_if_due, "except OSError as error:", expected)
    patch.edit(verb, "except BaseException as error:", expected)


@mutant("VRB-04", on="tcp")
def shutdown_raises_out_of_the_verb(patch: Patch) -> None:
    """Only a reset is expected of shutdown(2), not that the socket is not connected."""
    _only_a_reset_is_expected(patch, Connection.loseWriteConnection)


@mutant("VRB-04", on="tcp")
def shutdown_raises_out_of_the_close(patch: Patch) -> None:
    """Likewise where it is loseConnection that ends our half."""
    _only_a_reset_is_expected(patch, Connection.loseConnection)


# -- VRB-05: late writes ---------------------------------------------------------------------------


@mutant("VRB-05")
def written_after_the_end_behind_what_is_pending(patch: Patch) -> None:
    """As long as the end of stream is not sent, bytes can go before it."""
    patch.edit(
        Connection._write,
        "if not self._accepting and not",
        "if not self._accepting and not self._outgoing.size and not",
    )


@mutant("VRB-05")
def written_in_the_turn_of_the_end(patch: Patch) -> None:
    """The verb is carried out in the next turn, and what is written before that is sent."""
    patch.edit(
        Connection.loseWriteConnection,
        "self._end_write_if_due()",
        "self._accepting = True\n"
        "        self._backend.call_soon(setattr, self, '_accepting', False)\n"
        "        self._backend.call_soon(self._end_write_if_due)",
    )


@mutant("VRB-05")
def written_after_the_close(patch: Patch) -> None:
    """loseConnection closes when all is sent, and so takes more to be sent."""
    patch.edit(
        Connection._write,
        "if not self._accepting and not",
        "if self._life.state is not State.CLOSING and not self._accepting and not",
    )


@mutant("VRB-05")
def dropped_without_a_word(patch: Patch) -> None:
    """Nobody is warned of what was dropped."""
    patch.edit(Connection._drop, "if not self._dropped:", "if False:")


@mutant("VRB-05")
def dropped_with_too_many_words(patch: Patch) -> None:
    """Each write that comes too late is warned of."""
    patch.edit(Connection._drop, "if not self._dropped:", "if True:")


@mutant("VRB-05")
def writes_are_counted_for_bytes(patch: Patch) -> None:
    """droppedBytes counts how often something was dropped."""
    patch.edit(Connection._drop, "self._dropped += size", "self._dropped += 1")


@mutant("VRB-05")
def not_counted_after_the_loss(patch: Patch) -> None:
    """What is written to a connection that is gone is not counted as dropped."""
    patch.edit(Connection.write, "if not data:", "if not data or self._life.state is State.CLOSED:")


@mutant("VRB-05")
def pending_bytes_are_counted_as_dropped(patch: Patch) -> None:
    """What is still to be sent when the end is asked for is counted as well."""
    patch.edit(
        Connection.loseWriteConnection,
        "self._end_write_if_due()",
        "self._dropped += self._outgoing.size\n        self._end_write_if_due()",
    )


@mutant("VRB-05")
def a_producers_writes_are_dropped(patch: Patch) -> None:
    """Once the end was asked for, a producer that is still registered writes in vain."""
    patch.edit(Connection._waits_for_producer, "self._producer is not None", "False")


@mutant("VRB-05")
def a_producers_writes_are_taken_after_the_abort(patch: Patch) -> None:
    """Whoever is registered is taken to be waited for."""
    patch.edit(Connection._waits_for_producer, "and self._life.state in _ENDING", "")


# -- VRB-06: nothing written -----------------------------------------------------------------------


@mutant("VRB-06")
def an_empty_write_is_a_late_one(patch: Patch) -> None:
    """Whether there are bytes is looked at only after whether they would be taken."""
    patch.edit(
        Connection.write,
        "if not data:\n        return",
        "if not data:\n        if not self._accepting:\n            self._drop(0)\n        return",
    )


@mutant("VRB-06")
def an_empty_write_ends_the_stream(patch: Patch) -> None:
    """As on some streams: to send nothing is to say that nothing follows."""
    patch.edit(
        Connection.write,
        "if not data:\n        return",
        "if not data:\n        return self.loseWriteConnection()",
    )


@mutant("VRB-06")
def an_empty_sequence_is_a_mistake(patch: Patch) -> None:
    """writeSequence looks at its first piece, and there is none."""
    patch.edit(Connection.writeSequence, 'self.write(b"".join(pieces))', "pieces[0]")


# -- VRB-07: what write takes ----------------------------------------------------------------------


@mutant("VRB-07")
def the_callers_buffer_is_kept(patch: Patch) -> None:
    """A bytearray is sent as it is when its turn comes, without a copy."""
    patch.edit(Connection.write, "data = bytes(data)", "data = memoryview(data)")


@mutant("VRB-07")
def views_are_taken_for_bytes(patch: Patch) -> None:
    """The length of a memoryview is taken for its size in bytes."""
    patch.edit(
        Connection.write,
        "data = bytes(data)",
        "data = bytes(data)[: len(data)]",
    )


@mutant("VRB-07")
def text_is_encoded(patch: Patch) -> None:
    """A string is meant as UTF-8."""
    patch.edit(
        Connection.write,
        "if type(data) is not bytes:",
        "if isinstance(data, str):\n        data = data.encode()\n    if type(data) is not bytes:",
    )


@mutant("VRB-07")
def nothing_is_checked_once_closed(patch: Patch) -> None:
    """What is dropped anyhow is not looked at."""
    patch.edit(
        Connection.write,
        "if type(data) is not bytes:",
        "if self._life.state in ENDED:\n        return\n    if type(data) is not bytes:",
    )


@mutant("VRB-07")
def pieces_of_a_sequence_are_not_checked(patch: Patch) -> None:
    """Whatever bytes() takes is a piece of a sequence: a list of numbers, and a number."""
    patch.edit(
        Connection.writeSequence,
        "if not isinstance(piece, (bytes, bytearray, memoryview)):",
        "if isinstance(piece, str):",
    )


# -- VRB-08: closing again -------------------------------------------------------------------------


@mutant("VRB-08")
def a_second_close_is_an_error(patch: Patch) -> None:
    """loseConnection is made once, and says so."""
    patch.edit(Connection.loseConnection, "if not self._life.can(Move.CLOSE):\n        return", "")


@mutant("VRB-08", silent="connectionLost")
def a_close_is_not_aborted(patch: Patch) -> None:
    """A connection that is closing is left to do so in peace."""
    patch.edit(
        Connection.abortConnection,
        "self._finish(",
        "if self._life.state is State.CLOSING:\n            return\n        self._finish(",
    )


@mutant("VRB-08")
def an_abort_replaces_the_reason(patch: Patch) -> None:
    """abortConnection tells why it ended, whatever ended it before."""
    patch.edit(
        Connection.abortConnection,
        "self._finish(",
        "self._reason = ConnectionAborted('aborted')\n        self._finish(",
    )


# -- VRB-09: what is always known ------------------------------------------------------------------


@mutant("VRB-09", on="tcp")
def the_peer_is_asked_for_each_time(patch: Patch) -> None:
    """getPeer asks the channel, which asks the socket, which may not know any more."""
    patch.edit(Connection.getPeer, "return self._peer", "return self._channel.get_peer()")
    patch.edit(SocketChannel.get_peer, "return self._peer", "return peer_of(self._sock)")


@mutant("VRB-09", on="tcp")
def peer_and_host_are_mixed_up(patch: Patch) -> None:
    """getPeer gives this end's address, and getHost the other's."""
    patch.edit(Connection.getPeer, "return self._peer", "return self._host")
    patch.edit(Connection.getHost, "return self._host", "return self._peer")


@mutant("VRB-09")
def the_state_is_gone_with_the_connection(patch: Patch) -> None:
    """After connectionLost there is nothing left that has a state."""
    patch.edit(
        Connection._deliver_lost,
        "self._backend.release(self)",
        "self._backend.release(self)\n        self._life = None",
    )


# -- VRB-10: a stream that cannot half-close -------------------------------------------------------


@mutant("VRB-10")
def a_stream_that_cannot_half_close_is_tried(patch: Patch) -> None:
    """What the channel declares is not looked at."""
    patch.edit(
        Connection.loseWriteConnection,
        "if not self._channel.capabilities.can_half_close",
        "if False",
    )


@mutant("VRB-10")
def unsupported_comes_too_late(patch: Patch) -> None:
    """Unsupported is raised when the end was noted already."""
    patch.edit(
        Connection.loseWriteConnection,
        "if not self._channel",
        "self._enter(Move.END_WRITE)\n    if not self._channel",
    )


@mutant("VRB-10")
def unsupported_even_when_closed(patch: Patch) -> None:
    """A stream that cannot half-close complains also where the verb is too late for any."""
    patch.edit(
        Connection.loseWriteConnection,
        _TOO_LATE,
        "if not self._channel.capabilities.can_half_close:\n"
        "        raise Unsupported('never')\n    " + _TOO_LATE,
    )


@mutant("VRB-10")
def declared_off_although_it_works(patch: Patch) -> None:
    """A channel that can half-close says that it cannot."""
    patch.put(MemoryChannel, "capabilities", Capabilities(can_half_close=False))


# -- VRB-11: failure -------------------------------------------------------------------------------

_FAILURE = cast(property, Connection.failure).fget


@mutant("VRB-11")
def a_failure_is_known_when_it_is_told(patch: Patch) -> None:
    """failure is what connectionLost was given, and nothing before."""
    patch.edit(_FAILURE, "return None if", "return None if self._life.state not in ENDED or")


@mutant("VRB-11")
def a_clean_end_is_a_failure(patch: Patch) -> None:
    """failure is the reason, whatever that is."""
    patch.edit(_FAILURE, "None if isinstance(self._reason, ConnectionDone) else ", "")


@mutant("VRB-11")
def a_failed_send_is_no_failure(patch: Patch) -> None:
    """While input is still to be told, nobody learns that the sending has failed."""
    patch.edit(Connection._note_write_error, "self._reason = _lost(error)", "pass")


@mutant("VRB-11")
def a_reset_is_no_failure_yet(patch: Patch) -> None:
    """A reset is known when the input before it was told."""
    patch.edit(Connection.failed, "self._reason = _lost(error)", "pass")
    patch.edit(
        Connection.failed, "_Failure(self._reason)", "_Failure(self._reason or _lost(error))"
    )


@mutant("VRB-11")
def the_last_error_is_the_failure(patch: Patch) -> None:
    """The reset that follows a failed send is told in its place."""
    patch.edit(Connection.failed, "if self._reason is None:", "if True:")


# -- VRB-12: verbs after the run -------------------------------------------------------------------


@mutant("VRB-12")
def a_late_close_wants_its_backend(patch: Patch) -> None:
    """loseConnection first makes sure that the backend is there."""
    patch.edit(
        Connection.loseConnection,
        "if not self._life.can(Move.CLOSE):",
        "self._backend.check_open()\n    if not self._life.can(Move.CLOSE):",
    )


@mutant("VRB-12")
def a_late_producer_waits_for_a_turn(patch: Patch) -> None:
    """A producer that comes too late is told so in the next turn, also where none is to come."""
    patch.edit(Connection._stop_soon, "if self._backend.left:", "if False:")
