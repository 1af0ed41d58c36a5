"""Mistakes about failures: whose they are, and whom they must not reach."""

from __future__ import annotations

from halfclose import forking
from halfclose.backend import Backend, make_protocol
from halfclose.channel import BackendCapabilities, Capabilities
from halfclose.connection import Connection, _lost
from halfclose.io.connecting import _Race
from halfclose.io.listening import _Accepting
from halfclose.io.poller import Poller
from halfclose.io.sockets import SocketChannel
from halfclose.io.syscalls import reset
from halfclose.memory.backend import MemoryBackend
from halfclose.memory.channel import MemoryChannel
from halfclose_anyio.backend import AnyioBackend
from halfclose_anyio.on_asyncio import AsyncioLoop
from mutants.mutant import mutant
from mutants.patching import Patch

# -- ERR-01: reasons -------------------------------------------------------------------------------


@mutant("ERR-01")
def a_close_of_our_own_is_an_abort(patch: Patch) -> None:
    """Whoever closes first has aborted."""
    patch.edit(
        Connection._finish_closed, "self._clean_reason()", "ConnectionAborted('closed by us')"
    )


@mutant("ERR-01")
def an_abort_is_a_loss(patch: Patch) -> None:
    """abortConnection is told as any other loss."""
    patch.edit(Connection.abortConnection, "ConnectionAborted(", "ConnectionLost(")


@mutant("ERR-01")
def a_reset_is_a_clean_end(patch: Patch) -> None:
    """Who resets has ended."""
    patch.edit(
        Connection.failed,
        "self._reason = _lost(error)",
        "self._reason = ConnectionDone()",
    )


@mutant("ERR-01")
def the_cause_is_swallowed(patch: Patch) -> None:
    """What the system said becomes text in a message."""
    patch.edit(_lost, "reason.__cause__ = error", "pass")


@mutant("ERR-01")
def the_cause_is_the_reason(patch: Patch) -> None:
    """connectionLost gets the OSError itself."""
    patch.edit(_lost, "return reason", "return error")


@mutant("ERR-01")
def the_reason_is_a_class(patch: Patch) -> None:
    """connectionLost gets an exception class, which is enough to raise."""
    patch.edit(
        Connection._deliver_lost,
        "run(protocol.connectionLost, reason)",
        "run(protocol.connectionLost, type(reason))",
    )


@mutant("ERR-01")
def tells_the_cause_although_it_says_not(patch: Patch) -> None:
    """A channel that tells the system's error says that it does not."""
    patch.put(MemoryChannel, "capabilities", Capabilities(tells_cause=False))


# -- ERR-02: an event raises -----------------------------------------------------------------------


@mutant("ERR-02")
def an_event_that_raises_is_not_logged(patch: Patch) -> None:
    """connectionLost gets the exception, and that is taken to be enough."""
    patch.edit(Connection._raised, "self._log_failure(name)", "pass")


@mutant("ERR-02")
def an_event_that_raises_is_logged_twice(patch: Patch) -> None:
    """Who catches it logs it, and who aborts for it does."""
    patch.edit(
        Connection._raised,
        "self._log_failure(name)",
        "self._log_failure(name), self._log_failure(name)",
    )


@mutant("ERR-02")
def logged_without_its_traceback(patch: Patch) -> None:
    """The message says all that there is to say."""
    patch.edit(Backend.report, "exc_info=error", "exc_info=None")


@mutant("ERR-02")
def logged_without_the_protocols_name(patch: Patch) -> None:
    """The log names the connection, not its protocol."""
    patch.edit(Connection._prefix, "protocol.logPrefix()", "'Connection'")


@mutant("ERR-02", silent="connectionLost")
def an_event_that_raises_is_logged_and_forgotten(patch: Patch) -> None:
    """After an event has raised, the connection goes on."""
    patch.edit(Connection._raised, "self._finish(error, abort=True)", "pass")


@mutant("ERR-02")
def an_event_that_raises_closes(patch: Patch) -> None:
    """After an event has raised, what is pending is still sent, and the end is clean."""
    patch.edit(
        Connection._raised,
        "self._finish(error, abort=True)",
        "self.loseConnection()\n        self._reason = error",
    )
    patch.edit(Connection._finish, "self._reason = reason", "self._reason = self._reason or reason")


@mutant("ERR-02")
def the_reason_is_not_what_was_raised(patch: Patch) -> None:
    """connectionLost is told that the connection was aborted."""
    patch.edit(
        Connection._raised,
        "self._finish(error, abort=True)",
        "self._finish(ConnectionAborted('an event raised'), abort=True)",
    )


@mutant("ERR-02")
def only_data_received_is_guarded(patch: Patch) -> None:
    """What the events of the halves raise goes to whatever has called the connection."""
    patch.edit(Connection._call, "except BaseException as error:", "except EOFError as error:")


@mutant("ERR-02")
def an_error_in_the_last_event_is_no_reason(patch: Patch) -> None:
    """Where both halves have ended, the end is clean, whatever the last event raises."""
    patch.edit(Connection._raised, "self._reason = error", "pass")


# -- ERR-03: connectionMade raises -----------------------------------------------------------------


@mutant("ERR-03", silent="connectionLost")
def connection_made_that_raises_is_not_caught(patch: Patch) -> None:
    """What connectionMade raises goes to whoever has attached the protocol."""
    patch.edit(
        Connection.attach,
        "except BaseException as error:\n            failure",
        "except EOFError as error:\n            failure",
    )


@mutant("ERR-03")
def connection_made_that_raises_is_caught_late(patch: Patch) -> None:
    """A connection whose connectionMade raised is closed, with what it has written sent."""
    patch.edit(
        Connection.attach,
        'self._raised("connectionMade", error)',
        "self._log_failure('connectionMade')\n"
        "            self._end_write_if_due()\n"
        "            self.loseConnection()\n"
        "            self._reason = error",
    )


@mutant("ERR-03", silent="connectionLost")
def connection_made_that_raises_keeps_its_connection(patch: Patch) -> None:
    """What connectionMade raises is logged, and the connection stays."""
    patch.edit(
        Connection.attach,
        'self._raised("connectionMade", error)',
        "self._log_failure('connectionMade')",
    )


# -- ERR-04: connectionLost raises -----------------------------------------------------------------


@mutant("ERR-04")
def connection_lost_that_raises_is_not_logged(patch: Patch) -> None:
    """After connectionLost nothing matters any more."""
    patch.edit(Connection._deliver_lost, 'self._log_failure("connectionLost")', "pass")


@mutant("ERR-04")
def connection_lost_that_raises_leaves_its_waiters(patch: Patch) -> None:
    """What connectionLost raises is logged by the loop, and whatever comes after it is skipped."""
    patch.edit(Connection._deliver_lost, "except BaseException as", "except EOFError as")


@mutant("ERR-04")
def connection_lost_that_raises_is_an_exception(patch: Patch) -> None:
    """Only an Exception is expected of connectionLost."""
    patch.edit(Connection._deliver_lost, "except BaseException as", "except Exception as")


@mutant("ERR-04")
def connection_lost_that_raises_is_the_reason(patch: Patch) -> None:
    """What connectionLost raises is what whenClosed returns."""
    patch.edit(
        Connection._deliver_lost,
        "except BaseException as error:\n",
        "except BaseException as error:\n        self._reason = error\n",
    )


# -- ERR-05: exceptions that end the program -------------------------------------------------------


@mutant("ERR-05")
def a_keyboard_interrupt_is_an_error_like_others(patch: Patch) -> None:
    """KeyboardInterrupt in an event is logged, and the program goes on."""
    patch.edit(
        Connection._deliver_lost,
        "fatal = reason if isinstance(reason, _FATAL) else None",
        "fatal = None",
    )


@mutant("ERR-05")
def a_keyboard_interrupt_in_connection_lost_is_lost(patch: Patch) -> None:
    """What connectionLost raises is logged, whatever it is."""
    patch.edit(Connection._deliver_lost, "except _FATAL as error:", "except EOFError as error:")


@mutant("ERR-05")
def a_stray_cancellation_is_let_through(patch: Patch) -> None:
    """Only an Exception is the protocol's affair; all else is thought to be the loop's."""
    patch.edit(Connection.received, "except BaseException as error:", "except Exception as error:")


@mutant("ERR-05", on="tcp")
def run_raises_something_around_it(patch: Patch) -> None:
    """What has ended the program is the cause of what `run` raises."""
    patch.edit(
        AsyncioLoop.leave,
        "raise self._fatal from None",
        "raise RuntimeError('the program was ended') from self._fatal",
    )


@mutant("ERR-05", on="tcp")
def the_body_goes_on(patch: Patch) -> None:
    """What has ended the program is raised when the program has ended by itself."""
    patch.edit(AsyncioLoop.fatal, "self._body.cancel()", "pass")


# -- ERR-06: abort ---------------------------------------------------------------------------------


@mutant("ERR-06", on="tcp")
def an_abort_is_a_close(patch: Patch) -> None:
    """The peer of an aborted connection reads a clean end of stream."""
    patch.edit(SocketChannel.abort, "reset(self._sock)", "pass")


@mutant("ERR-06", silent="connectionLost")
def an_abort_flushes(patch: Patch) -> None:
    """abortConnection sends what is pending first."""
    patch.edit(
        Connection.abortConnection,
        "self._finish(",
        "if self._outgoing.size:\n            return self.loseConnection()\n        self._finish(",
    )


@mutant("ERR-06")
def an_abort_leaves_the_handle(patch: Patch) -> None:
    """getHandle gives what was closed."""
    patch.edit(Connection.getHandle, "None if self._life.state in ENDED else ", "")


@mutant("ERR-06")
def resets_although_it_says_not(patch: Patch) -> None:
    """A channel that resets when it is aborted says that it cannot."""
    patch.put(MemoryChannel, "capabilities", Capabilities(can_reset=False))


# -- ERR-07: a reset while our end is pending ------------------------------------------------------


@mutant("ERR-07")
def a_reset_ends_what_was_to_be_sent(patch: Patch) -> None:
    """With nothing that can be sent any more, our half has ended."""
    patch.edit(
        Connection._note_write_error,
        "self._accepting = self._plain = False",
        "if self._life.state is State.WRITE_CLOSING:\n"
        "        self._deliver_write_ended()\n"
        "    self._accepting = self._plain = False",
    )


@mutant("ERR-07")
def a_reset_while_pending_is_our_close(patch: Patch) -> None:
    """Who has asked for the end gets it, and it is clean."""
    patch.edit(
        Connection.failed,
        "self._reason = _lost(error)",
        "self._reason = _lost(error) if self._life.can(Move.END_WRITE) else ConnectionDone()",
    )
    patch.edit(
        Connection._note_write_error,
        "self._finish(_lost(error), abort=True)",
        "self._finish(_lost(error) if self._life.can(Move.END_WRITE)"
        " else ConnectionDone(), abort=True)",
    )


@mutant("ERR-07", on="tcp", silent="connectionLost")
def a_reset_waits_for_the_producer(patch: Patch) -> None:
    """While a producer is waited for, nobody listens to the socket."""
    patch.edit(
        Connection.loseWriteConnection,
        "self._end_write_if_due()",
        "self._end_write_if_due()\n"
        "        if self._producer is not None:\n"
        "            self._channel.stop()",
    )


# -- ERR-08: a factory that fails ------------------------------------------------------------------


@mutant("ERR-08")
def a_factory_that_fails_is_not_logged(patch: Patch) -> None:
    """The connection is aborted, and nobody knows why."""
    patch.edit(Backend.accept, "            self.report,", "            lambda *_: None,")


@mutant("ERR-08", silent="raw peer")
def a_factory_that_fails_keeps_its_connection(patch: Patch) -> None:
    """What a factory raises is logged, and the connection is left to the collector."""
    patch.edit(Backend.accept, "channel.abort()\n        context.run(", "context.run(")


@mutant("ERR-08", on="tcp")
def a_factory_that_fails_closes(patch: Patch) -> None:
    """A connection without a protocol gets a clean end of stream."""
    patch.edit(
        Backend.accept,
        "channel.abort()\n        context.run(",
        "channel.close()\n        context.run(",
    )


@mutant("ERR-08")
def anything_is_a_protocol(patch: Patch) -> None:
    """What a factory gives is called, whatever it is."""
    patch.edit(make_protocol, "if not isinstance(protocol, Protocol):", "if False:")


@mutant("ERR-08", on="tcp", silent="raw peer")
def a_factory_that_fails_ends_the_listener(patch: Patch) -> None:
    """What the factory raises goes through the loop of the accepting, and ends it."""
    patch.edit(
        _Accepting._ready,
        "self._backend.guarded(self._accepted, ",
        "self._accepted(",
    )
    patch.edit(Backend.accept, "except BaseException as error:", "except EOFError as error:")
    patch.edit(_Accepting._broken, "self._pause(RETRY_DELAY)", "pass")


# -- ERR-09: accepting fails -----------------------------------------------------------------------


@mutant("ERR-09", on="tcp")
def no_descriptors_left_spins(patch: Patch) -> None:
    """A listener that cannot accept is ready all the time, and tries all the time."""
    patch.edit(_Accepting._pause, "self._poll.want(0)", "return")


@mutant("ERR-09", on="tcp", silent="within")
def no_descriptors_left_is_for_ever(patch: Patch) -> None:
    """A listener that cannot accept stops, and nothing starts it again."""
    patch.edit(
        _Accepting._pause,
        "self._retry = self._backend.call_later(seconds, self._go_on)",
        "pass",
    )


@mutant("ERR-09", on="tcp", silent="accept")
def an_accept_that_fails_ends_the_listener(patch: Patch) -> None:
    """What accept(2) raises goes to the poller, which stops watching."""
    patch.edit(
        _Accepting._ready,
        "if error.errno in OF_ONE_CONNECTION:",
        "if True:\n                raise\n            if False:",
    )
    patch.edit(_Accepting._broken, "self._pause(RETRY_DELAY)", "pass")


@mutant("ERR-09", on="tcp")
def serves_descriptors_although_it_says_not(patch: Patch) -> None:
    """A backend that serves sockets says that it does not."""
    patch.put(AnyioBackend, "capabilities", BackendCapabilities(descriptors=False))
    patch.put(AnyioBackend, "cannot_serve", lambda *_: None)


# -- ERR-16: accepting fails for good --------------------------------------------------------------


@mutant("ERR-16", on="tcp")
def a_socket_that_listens_no_more_is_tried_for_ever(patch: Patch) -> None:
    """Whatever accept(2) says is said of one connection."""
    patch.edit(_Accepting._ready, "error.errno in OF_ONE_CONNECTION", "True")


@mutant("ERR-16", on="tcp")
def a_socket_that_listens_no_more_is_tried_again_later(patch: Patch) -> None:
    """What will not get better is waited for."""
    patch.edit(_Accepting._ready, "error.errno in FOR_GOOD", "False")


@mutant("ERR-16", on="tcp")
def nobody_hears_that_a_listener_is_dead(patch: Patch) -> None:
    """A socket that listens no more is closed without a word."""
    patch.edit(_Accepting._end, "_log.error", "_log.debug")


@mutant("ERR-16", on="unix")
def nobody_looks_why_a_socket_is_ready(patch: Patch) -> None:
    """A listener that is ready, and has nobody to accept, is asked again and again."""
    patch.edit(_Accepting._ready, "_is_shut_down(self._sock)", "False")


# -- ERR-10: connecting fails ----------------------------------------------------------------------


@mutant("ERR-10", on="tcp")
def every_failure_to_connect_is_the_same(patch: Patch) -> None:
    """Nobody needs to know why there is no connection."""
    patch.edit(_Race._error, "if errno.ECONNREFUSED in codes:", "if False:")


@mutant("ERR-10", on="tcp")
def an_unknown_name_is_a_failure_like_others(patch: Patch) -> None:
    """That a name has no address is told as any other failure."""
    patch.edit(_Race._error, "kind, cause = DNSLookupFailed", "kind, cause = ConnectError")


@mutant("ERR-10", on="tcp")
def the_endpoint_is_not_named(patch: Patch) -> None:
    """The message says what failed, not where."""
    patch.edit(_Race._error, "cannot connect to {self._endpoint}: {what}", "cannot connect: {what}")


@mutant("ERR-10", on="tcp")
def only_the_last_attempt_is_named(patch: Patch) -> None:
    """Of several addresses, the last is told of."""
    patch.edit(_Race._error, "in self._failures\n    )", "in self._failures[-1:]\n    )")


@mutant("ERR-10", on="tcp", silent="the failure to connect")
def the_timeout_begins_after_the_lookup(patch: Patch) -> None:
    """The lookup of the name takes as long as it takes."""
    patch.edit(
        _Race._expired,
        "self._timed_out =",
        "if not self._attempts:\n        return\n    self._timed_out =",
    )


@mutant("ERR-10", on="tcp")
def the_cause_of_a_failure_is_not_told(patch: Patch) -> None:
    """The OSError of a failure to connect is only in its text."""
    patch.edit(_Race._error, "error.__cause__ = cause", "pass")


@mutant("ERR-10", on="tcp")
def listening_raises_what_the_system_says(patch: Patch) -> None:
    """A failure to listen is an OSError."""
    patch.edit(
        Backend.open_listener,
        'raise ListenError(f"cannot listen on {_named(endpoint)}: {what}") from error',
        "raise",
    )


# -- ERR-11: what connect gives --------------------------------------------------------------------


@mutant("ERR-11", on="tcp")
def connect_raises_for_what_is_lost_already(patch: Patch) -> None:
    """A connection that was lost while it was made is a failure to connect."""
    patch.edit(
        Backend.connect,
        "if failure is not None:",
        "if protocol.transport.state.value in ('ended', 'closed') and failure is None:\n"
        "        raise ConnectError('lost already')\n"
        "    if failure is not None:",
    )


@mutant("ERR-11", on="tcp")
def connect_returns_a_protocol_that_failed(patch: Patch) -> None:
    """What connectionMade raised is told by connectionLost, and not by connect."""
    patch.edit(Backend.connect, "raise failure", "pass")


@mutant("ERR-11", on="tcp", silent="raw peer")
def a_factory_that_fails_leaks_its_connection(patch: Patch) -> None:
    """Where the factory raised, the connection that was made for it stays."""
    patch.edit(
        Backend.connect,
        "is None:\n            channel.abort()",
        "is None:\n            self.on_leaving(channel.abort)",
    )


@mutant("ERR-11", on="tcp")
def a_cancelled_attempt_leaks_its_socket(patch: Patch) -> None:
    """A connect that is cancelled forgets what is on its way."""
    patch.edit(_Race.stop, "self._stop_attempts()", "pass")


@mutant("ERR-11", on="tcp")
def a_cancelled_attempt_makes_its_connection_all_the_same(patch: Patch) -> None:
    """What is connected when the backend is left is closed, and its protocol hears of no loss."""
    patch.edit(
        Backend._abort_all,
        "connection.abandon(",
        "connection._channel.abort()\n        continue\n        connection.abandon(",
    )


# -- ERR-12: an error in one channel ---------------------------------------------------------------


@mutant("ERR-12", on="tcp", silent="connectionLost")
def an_error_ends_the_poller(patch: Patch) -> None:
    """What one descriptor's handler raises goes to the loop, and takes the batch with it."""
    patch.edit(
        Poller._failed,
        "polled.stop()",
        "polled.stop()\n    self._watch.stop()\n    raise error",
    )


@mutant("ERR-12", on="tcp", silent="connectionLost")
def an_error_ends_the_channel_in_silence(patch: Patch) -> None:
    """A channel that failed is not served any more, and its connection does not hear of it."""
    patch.edit(SocketChannel.broken, "self._sink.failed(error)", "pass")


@mutant("ERR-12", on="tcp")
def an_error_ends_all(patch: Patch) -> None:
    """When one channel fails, all of them are told so."""
    patch.edit(
        Poller._failed,
        "self._backend.guarded(polled.broken, _as_exception(error))",
        "for one in [polled, *self._table.values()]:\n"
        "        self._backend.guarded(one.broken, _as_exception(error))",
    )


# -- ERR-13: whatever raises -----------------------------------------------------------------------


@mutant("ERR-13")
def a_verb_lets_out_what_a_channel_raises(patch: Patch) -> None:
    """Only an OSError is expected of a channel."""
    patch.edit(
        Connection.loseWriteConnection,
        "except BaseException as error:",
        "except OSError as error:",
    )


@mutant("ERR-13", silent="connectionLost")
def a_turn_that_was_refused_is_waited_for(patch: Patch) -> None:
    """A call_soon that has raised counts as made."""
    patch.edit(Connection._ask_for_turn, "except BaseException:", "except EOFError:")


@mutant("ERR-13")
def a_channel_that_fails_at_its_end_stays_open(patch: Patch) -> None:
    """Where abort has raised, nothing else is tried."""
    patch.edit(Connection._let_go, "(channel.close if abort else channel.abort)()", "pass")


@mutant("ERR-13")
def a_channel_that_never_started_is_not_released(patch: Patch) -> None:
    """A channel that has no sink has nothing to end."""
    for end in (MemoryChannel.abort, MemoryChannel.close):
        patch.edit(
            end,
            "self._over = True",
            "if not hasattr(self, '_sink'):\n        return\n    self._over = True",
        )


@mutant("ERR-13", silent="was interrupted")
def an_interrupt_is_the_connections_alone(patch: Patch) -> None:
    """^C in the middle of a verb ends the connection, and the program goes on."""
    patch.edit(Connection._broke, "self._backend.fatal(error)", "pass")
    patch.edit(Connection._broke, "raise error", "return")


# -- ERR-14: a backend that was left ---------------------------------------------------------------


@mutant("ERR-14")
def a_call_from_a_thread_to_what_was_left_raises(patch: Patch) -> None:
    """Who calls too late is told so."""
    patch.edit(
        MemoryBackend.call_soon_threadsafe,
        "if not self.left:",
        "if self.left:\n        raise RuntimeError(self.name)\n    else:",
    )


@mutant("ERR-14")
def what_was_given_before_is_run_after(patch: Patch) -> None:
    """Only the calls that come too late are refused."""
    patch.edit(MemoryBackend._unless_left, "if not self.left:", "if True:")


@mutant("ERR-14")
def a_task_begins_on_what_was_left(patch: Patch) -> None:
    """Tasks are cancelled once, when the backend is left."""
    patch.edit(MemoryBackend.start_soon, "if self.left:\n        return", "")


# -- ERR-18: forks ---------------------------------------------------------------------------------


@mutant("ERR-18", on="tcp")
def a_child_has_its_parents_connections(patch: Patch) -> None:
    """Who forks is to know what it does: nothing is taken from the child."""
    patch.edit(forking._in_child, "backend.disown(_parent)", "pass")


@mutant("ERR-18")
def a_child_can_begin_something(patch: Patch) -> None:
    """In a child a connection is over, and the backend is as it was."""
    patch.edit(Backend.disown, "setattr(self, name, self._refuse)", "pass")


@mutant("ERR-18")
def a_child_that_exits_has_failed(patch: Patch) -> None:
    """Who comes back to the loop ends with 1, whatever it has come with."""
    patch.edit(forking.end, "status = _status(error.code)", "pass")


@mutant("ERR-18")
def a_child_is_told_of_the_end(patch: Patch) -> None:
    """In a child each connection is lost, and its protocol is told."""
    patch.edit(
        Connection.disown,
        "self._accepting =",
        "self._protocol.connectionLost(reason)\n    self._accepting =",
    )


@mutant("ERR-18", on="tcp", silent="no end came")
def an_abort_waits_for_the_last_copy(patch: Patch) -> None:
    """The reset comes when nobody holds the socket any more."""
    patch.edit(reset, "_disconnected(sock)", "False")
