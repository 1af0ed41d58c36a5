"""Mistakes about failures: whose they are, and whom they must not reach."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from halfclose import forking
from halfclose.backend import Backend, make_protocol
from halfclose.channel import BackendCapabilities, Capabilities, Channel
from halfclose.connection import Connection
from halfclose.endpoints import TCP
from halfclose.io import listening
from halfclose.io.listening import _Accepting
from halfclose.io.poller import Registration
from halfclose.io.syscalls import reset
from halfclose.lifecycle import ENDED, State
from halfclose.listener import Listener
from halfclose.memory.backend import MemoryBackend
from halfclose.memory.channel import MemoryChannel
from halfclose.memory.scheduler import Scheduler
from halfclose.reasons import (
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    DNSLookupFailed,
    ListenError,
)
from halfclose.scheme_registry import as_endpoint
from halfclose_anyio.backend import AnyioBackend
from mutants.mutant import mutant
from mutants.patching import Patch
from mutants.raising import caught, change_reasons, log, raised_by, takes
from mutants.wrapping import (
    after,
    around,
    before,
    called,
    event,
    loop_of,
    nothing,
    outgoing_of,
    producing,
)

# -- ERR-01: reasons -------------------------------------------------------------------------------


@mutant("ERR-01")
def a_close_of_our_own_is_an_abort(patch: Patch) -> None:
    """Whoever closes first has aborted."""
    closed = called(patch, "loseConnection")

    def change(connection: Connection, reason: BaseException) -> BaseException:
        ours = connection in closed and type(reason) is ConnectionDone
        return ConnectionAborted("closed by us") if ours else reason

    change_reasons(patch, change)


@mutant("ERR-01")
def an_abort_is_a_loss(patch: Patch) -> None:
    """abortConnection is told as any other loss."""

    def change(connection: Connection, reason: BaseException) -> BaseException:
        return ConnectionLost(*reason.args) if type(reason) is ConnectionAborted else reason

    change_reasons(patch, change)


@mutant("ERR-01")
def a_reset_is_a_clean_end(patch: Patch) -> None:
    """Who resets has ended."""

    def change(connection: Connection, reason: BaseException) -> BaseException:
        return ConnectionDone() if type(reason) is ConnectionLost else reason

    change_reasons(patch, change)


@mutant("ERR-01")
def the_cause_is_swallowed(patch: Patch) -> None:
    """What the system said becomes text in a message."""
    change_reasons(patch, lambda connection, reason: type(reason)(*reason.args))


@mutant("ERR-01")
def the_cause_is_the_reason(patch: Patch) -> None:
    """connectionLost gets the OSError itself."""
    change_reasons(patch, lambda connection, reason: reason.__cause__ or reason)


@mutant("ERR-01")
def the_reason_is_a_class(patch: Patch) -> None:
    """connectionLost gets an exception class, which is enough to raise."""
    change_reasons(patch, lambda connection, reason: type(reason))


@mutant("ERR-01")
def tells_the_cause_although_it_says_not(patch: Patch) -> None:
    """A channel that tells the system's error says that it does not."""
    patch.put(MemoryChannel, "capabilities", Capabilities(tells_cause=False))


# -- ERR-02: an event raises -----------------------------------------------------------------------


def _not_logged(patch: Patch, *names: str) -> None:
    """Have nothing logged of what the events of these names raise; by default of all events."""
    raised = raised_by(patch, *names)

    def report(real: Any, backend: Backend, error: BaseException, *args: Any, **level: Any) -> None:
        if error not in raised:
            real(error, *args, **level)

    around(patch, Backend, "report", report)


@mutant("ERR-02")
def an_event_that_raises_is_not_logged(patch: Patch) -> None:
    """connectionLost gets the exception, and that is taken to be enough."""
    _not_logged(patch)


@mutant("ERR-02")
def an_event_that_raises_is_logged_twice(patch: Patch) -> None:
    """Who catches it logs it, and who aborts for it does."""
    raised = raised_by(patch)

    def report(real: Any, backend: Backend, error: BaseException, *args: Any, **level: Any) -> None:
        for _ in range(1 + (error in raised)):
            real(error, *args, **level)

    around(patch, Backend, "report", report)


@mutant("ERR-02")
def logged_without_its_traceback(patch: Patch) -> None:
    """The message says all that there is to say."""
    around(patch, logging.Logger, "log", lambda real, logger, *args, **_: real(*args))


@mutant("ERR-02")
def logged_without_the_protocols_name(patch: Patch) -> None:
    """The log names the connection, not its protocol."""
    event(patch, "logPrefix", lambda *_: "Connection")


@mutant("ERR-02", silent="connectionLost")
def an_event_that_raises_is_logged_and_forgotten(patch: Patch) -> None:
    """After an event has raised, the connection goes on."""
    takes(patch, log)


@mutant("ERR-02")
def an_event_that_raises_closes(patch: Patch) -> None:
    """After an event has raised, what is pending is still sent, and the end is clean."""

    def take(connection: Connection, name: str, error: BaseException) -> None:
        log(connection, name, error)
        connection.loseConnection()

    raised = caught(patch, take)
    change_reasons(patch, lambda connection, reason: raised.get(connection, reason))


@mutant("ERR-02")
def the_reason_is_not_what_was_raised(patch: Patch) -> None:
    """connectionLost is told that the connection was aborted."""
    raised = raised_by(patch)

    def change(connection: Connection, reason: BaseException) -> BaseException:
        return ConnectionAborted("an event raised") if reason in raised else reason

    change_reasons(patch, change)


def _raises_out_of(patch: Patch, name: str, call: str) -> None:
    """Have what the event *name* raises come out of the connection's method *call*."""
    raised = caught(patch, lambda *_: None, name)

    def raise_it(connection: Connection, *_: object) -> None:
        if connection in raised:
            raise raised.pop(connection)

    after(patch, Connection, call, raise_it)


@mutant("ERR-02")
def only_data_received_is_guarded(patch: Patch) -> None:
    """What the events of the halves raise goes to whatever has called the connection."""
    _raises_out_of(patch, "readConnectionLost", "read_ended")
    _raises_out_of(patch, "writeConnectionLost", "write_ended")


@mutant("ERR-02")
def an_error_in_the_last_event_is_no_reason(patch: Patch) -> None:
    """Where both halves have ended, the end is clean, whatever the last event raises."""

    def take(connection: Connection, name: str, error: BaseException) -> None:
        if connection.state is not State.ENDED:
            raise error
        log(connection, name, error)

    takes(patch, take)


# -- ERR-03: connectionMade raises -----------------------------------------------------------------


@mutant("ERR-03", silent="connectionLost")
def connection_made_that_raises_is_not_caught(patch: Patch) -> None:
    """What connectionMade raises goes to whoever has attached the protocol."""
    _raises_out_of(patch, "connectionMade", "attach")


@mutant("ERR-03")
def connection_made_that_raises_is_caught_late(patch: Patch) -> None:
    """A connection whose connectionMade raised is closed, with what it has written sent."""

    def take(connection: Connection, name: str, error: BaseException) -> None:
        log(connection, name, error)
        connection.loseConnection()

    raised = caught(patch, take, "connectionMade")
    change_reasons(patch, lambda connection, reason: raised.get(connection, reason))


@mutant("ERR-03", silent="connectionLost")
def connection_made_that_raises_keeps_its_connection(patch: Patch) -> None:
    """What connectionMade raises is logged, and the connection stays."""
    takes(patch, log, "connectionMade")


# -- ERR-04: connectionLost raises -----------------------------------------------------------------


@mutant("ERR-04")
def connection_lost_that_raises_is_not_logged(patch: Patch) -> None:
    """After connectionLost nothing matters any more."""
    _not_logged(patch, "connectionLost")


def _logged_by_the_loop(patch: Patch, expected: tuple[type[BaseException], ...] = ()) -> None:
    """Have connectionLost raise into the loop, what is *expected* of it excepted.

    What comes after the event is skipped: the connection is held for ever.
    """

    def take(connection: Connection, name: str, error: BaseException) -> None:
        if isinstance(error, expected):
            raise error
        loop_of(connection).report(error, "%r failed", connection)

    raised = caught(patch, take, "connectionLost")

    def release(real: Any, backend: Backend, connection: Connection) -> None:
        if connection not in raised:
            real(connection)

    around(patch, Backend, "release", release)


@mutant("ERR-04")
def connection_lost_that_raises_leaves_its_waiters(patch: Patch) -> None:
    """What connectionLost raises is logged by the loop, and whatever comes after it is skipped."""
    _logged_by_the_loop(patch)


@mutant("ERR-04")
def connection_lost_that_raises_is_an_exception(patch: Patch) -> None:
    """Only an Exception is expected of connectionLost."""
    _logged_by_the_loop(patch, expected=(Exception,))


@mutant("ERR-04")
def connection_lost_that_raises_is_the_reason(patch: Patch) -> None:
    """What connectionLost raises is what whenClosed returns."""
    raised: WeakKeyDictionary[Connection, BaseException] = WeakKeyDictionary()

    def take(connection: Connection, name: str, error: BaseException) -> None:
        raised[connection] = error
        raise error

    takes(patch, take, "connectionLost")

    async def when_closed(real: Any, connection: Connection) -> BaseException:
        reason: BaseException = await real()
        return raised.get(connection, reason)

    around(patch, Connection, "whenClosed", when_closed)


# -- ERR-05: exceptions that end the program -------------------------------------------------------


@mutant("ERR-05")
def a_keyboard_interrupt_is_an_error_like_others(patch: Patch) -> None:
    """KeyboardInterrupt in an event is logged, and the program goes on."""

    def fatal(real: Any, backend: Backend, error: BaseException) -> None:
        backend.report(error, "an event raised")

    around(patch, MemoryBackend, "fatal", fatal)


@mutant("ERR-05")
def a_keyboard_interrupt_in_connection_lost_is_lost(patch: Patch) -> None:
    """What connectionLost raises is logged, whatever it is."""
    takes(patch, log, "connectionLost")


@mutant("ERR-05")
def a_stray_cancellation_is_let_through(patch: Patch) -> None:
    """Only an Exception is the protocol's affair; all else is thought to be the loop's."""

    def take(connection: Connection, name: str, error: BaseException) -> None:
        if isinstance(error, (Exception, KeyboardInterrupt, SystemExit)):
            raise error
        strays[connection] = error

    def received(connection: Connection, data: bytes) -> None:
        if connection in strays:
            raise strays.pop(connection)

    strays: dict[Connection, BaseException] = {}
    takes(patch, take, "dataReceived")
    after(patch, Connection, "received", received)


@mutant("ERR-05")
def run_raises_something_around_it(patch: Patch) -> None:
    """What has ended the program is the cause of what `run` raises."""

    async def stop(real: Any, backend: MemoryBackend, error: BaseException | None) -> None:
        try:
            await real(error)
        except BaseException as fatal:
            raise RuntimeError("the program was ended") from fatal

    around(patch, MemoryBackend, "stop", stop)


@mutant("ERR-05")
def the_body_goes_on(patch: Patch) -> None:
    """What has ended the program is raised when the program has ended by itself."""

    def told(backend: MemoryBackend, error: BaseException) -> None:
        backend.interrupted = False

    after(patch, MemoryBackend, "fatal", told)


# -- ERR-06: abort ---------------------------------------------------------------------------------


@mutant("ERR-06")
def an_abort_is_a_close(patch: Patch) -> None:
    """The peer of an aborted connection reads a clean end of stream."""
    around(patch, MemoryChannel, "abort", lambda real, channel: channel.close())


@mutant("ERR-06", silent="connectionLost")
def an_abort_flushes(patch: Patch) -> None:
    """abortConnection sends what is pending first."""

    def abort(real: Any, connection: Connection) -> None:
        if outgoing_of(connection).size:
            connection.loseConnection()
        else:
            real()

    around(patch, Connection, "abortConnection", abort)


@mutant("ERR-06")
def an_abort_leaves_the_handle(patch: Patch) -> None:
    """getHandle gives what was closed."""
    around(patch, Connection, "getHandle", lambda real, connection: connection.channel.get_handle())


@mutant("ERR-06")
def resets_although_it_says_not(patch: Patch) -> None:
    """A channel that resets when it is aborted says that it cannot."""
    patch.put(MemoryChannel, "capabilities", Capabilities(can_reset=False))


# -- ERR-07: a reset while our end is pending ------------------------------------------------------


@mutant("ERR-07")
def a_reset_ends_what_was_to_be_sent(patch: Patch) -> None:
    """With nothing that can be sent any more, our half has ended."""

    def ended(connection: Connection, error: Exception) -> None:
        if connection.state is State.WRITE_CLOSING:
            connection.write_ended()

    before(patch, Connection, "failed", ended)
    before(patch, Connection, "write_failed", ended)


@mutant("ERR-07")
def a_reset_while_pending_is_our_close(patch: Patch) -> None:
    """Who has asked for the end gets it, and it is clean."""
    asked = called(patch, "loseWriteConnection")

    def change(connection: Connection, reason: BaseException) -> BaseException:
        ours = connection in asked and type(reason) is ConnectionLost
        return ConnectionDone() if ours else reason

    change_reasons(patch, change)


@mutant("ERR-07", silent="connectionLost")
def a_reset_waits_for_the_producer(patch: Patch) -> None:
    """While a producer is waited for, nobody listens to the channel."""
    waited_for = producing(patch)

    def failed(real: Any, connection: Connection, error: Exception | None) -> None:
        if connection.state is not State.WRITE_CLOSING or connection not in waited_for:
            real(error)

    around(patch, Connection, "failed", failed)


# -- ERR-08: a factory that fails ------------------------------------------------------------------


def _factories_that_raise(patch: Patch) -> dict[BaseException, Channel]:
    """What factories have raised, and the channel for which they were called."""
    raised: dict[BaseException, Channel] = {}

    def accept(
        real: Any, backend: Backend, channel: Channel, factory: Any, *rest: object
    ) -> object:
        def make() -> object:
            try:
                return factory()
            except BaseException as error:
                raised[error] = channel
                raise

        return real(channel, make, *rest)

    around(patch, Backend, "accept", accept)
    return raised


@mutant("ERR-08")
def a_factory_that_fails_is_not_logged(patch: Patch) -> None:
    """The connection is aborted, and nobody knows why."""
    raised = _factories_that_raise(patch)

    def report(real: Any, backend: Backend, error: BaseException, *args: Any, **level: Any) -> None:
        if error not in raised:
            real(error, *args, **level)

    around(patch, Backend, "report", report)


@mutant("ERR-08", silent="raw peer")
def a_factory_that_fails_keeps_its_connection(patch: Patch) -> None:
    """What a factory raises is logged, and the connection is left to the collector."""
    raised = _factories_that_raise(patch)

    def abort(real: Any, channel: MemoryChannel) -> None:
        if channel not in raised.values():
            real()

    around(patch, MemoryChannel, "abort", abort)


@mutant("ERR-08")
def a_factory_that_fails_closes(patch: Patch) -> None:
    """A connection without a protocol gets a clean end of stream."""
    raised = _factories_that_raise(patch)

    def abort(real: Any, channel: MemoryChannel) -> None:
        if channel in raised.values():
            channel.close()
        else:
            real()

    around(patch, MemoryChannel, "abort", abort)


@mutant("ERR-08")
def anything_is_a_protocol(patch: Patch) -> None:
    """What a factory gives is called, whatever it is."""
    patch.edit(make_protocol, "if not isinstance(protocol, Protocol):", "if False:")


@mutant("ERR-08")
def a_factory_that_fails_ends_the_listener(patch: Patch) -> None:
    """What the factory raises goes through the loop of the accepting, and ends it."""
    raised = _factories_that_raise(patch)
    listeners: list[Listener] = []

    def accepted(backend: Backend, *_: object) -> None:
        if raised:
            for listener in listeners:
                listener.close()

    async def listen(real: Any, *args: object) -> Listener:
        listener: Listener = await real(*args[1:])
        listeners.append(listener)
        return listener

    around(patch, Backend, "listen", listen)
    after(patch, Backend, "accept", accepted)


# -- ERR-09: accepting fails -----------------------------------------------------------------------


@mutant("ERR-09", on="tcp")
def no_descriptors_left_spins(patch: Patch) -> None:
    """A listener that cannot accept is ready all the time, and tries all the time."""

    def want(real: Any, registration: Registration, events: int) -> None:
        if events:
            real(events)

    around(patch, Registration, "want", want)


@mutant("ERR-09", on="tcp", silent="within")
def no_descriptors_left_is_for_ever(patch: Patch) -> None:
    """A listener that cannot accept stops, and nothing starts it again."""
    began: list[Registration] = []
    stopped: list[Registration] = []

    def want(real: Any, registration: Registration, events: int) -> None:
        if registration in stopped:
            return
        (began if events else stopped if registration in began else []).append(registration)
        real(events)

    around(patch, Registration, "want", want)


@mutant("ERR-09", on="tcp", silent="accept")
def an_accept_that_fails_ends_the_listener(patch: Patch) -> None:
    """What accept(2) raises goes to the poller, which stops watching."""

    def accept(real: Any, sock: socket.socket) -> Any:
        try:
            return real()
        except (BlockingIOError, InterruptedError):
            raise
        except OSError as error:
            raise RuntimeError("accept failed") from error

    around(patch, socket.socket, "accept", accept)
    around(patch, Registration, "broken", nothing)


@mutant("ERR-09", on="tcp")
def serves_descriptors_although_it_says_not(patch: Patch) -> None:
    """A backend that serves sockets says that it does not."""
    patch.put(AnyioBackend, "capabilities", BackendCapabilities(descriptors=False))
    patch.put(AnyioBackend, "cannot_serve", lambda *_: None)


# -- ERR-16: accepting fails for good --------------------------------------------------------------


@mutant("ERR-16", on="tcp")
def a_socket_that_listens_no_more_is_tried_for_ever(patch: Patch) -> None:
    """Whatever accept(2) says is said of one connection."""
    patch.put(listening, "OF_ONE_CONNECTION", frozenset(errno.errorcode))


@mutant("ERR-16", on="tcp")
def a_socket_that_listens_no_more_is_tried_again_later(patch: Patch) -> None:
    """What will not get better is waited for."""
    patch.put(listening, "FOR_GOOD", frozenset())


@mutant("ERR-16", on="tcp")
def nobody_hears_that_a_listener_is_dead(patch: Patch) -> None:
    """A socket that listens no more is closed without a word."""
    around(patch, logging.Logger, "error", nothing)


@mutant("ERR-16", on="unix")
def nobody_looks_why_a_socket_is_ready(patch: Patch) -> None:
    """A listener that is ready, and has nobody to accept, is asked again and again."""
    patch.edit(_Accepting._ready, "_is_shut_down(self._sock)", "False")


# -- ERR-10: connecting fails ----------------------------------------------------------------------


def _like(
    error: ConnectError, as_class: type[ConnectError] | None = None, what: str | None = None
) -> ConnectError:
    """*error*, of another class, or saying something else."""
    changed = (as_class or type(error))(str(error) if what is None else what)
    changed.__cause__ = error.__cause__
    return changed


def _change_failures(patch: Patch, change: Callable[[ConnectError, object], BaseException]) -> None:
    """Have connect raise ``change(error, endpoint)`` in place of *error*."""

    async def connect(
        real: Any, backend: Backend, endpoint: object, *args: Any, **named: Any
    ) -> Any:
        try:
            return await real(endpoint, *args, **named)
        except ConnectError as error:
            failure = change(error, endpoint)
        raise failure from failure.__cause__

    around(patch, Backend, "connect", connect)


@mutant("ERR-10")
def every_failure_to_connect_is_the_same(patch: Patch) -> None:
    """Nobody needs to know why there is no connection."""
    _change_failures(patch, lambda error, endpoint: _like(error, as_class=ConnectError))


@mutant("ERR-10", on="tcp")
def an_unknown_name_is_a_failure_like_others(patch: Patch) -> None:
    """That a name has no address is told as any other failure."""

    def change(error: ConnectError, endpoint: object) -> ConnectError:
        return _like(error, as_class=ConnectError) if type(error) is DNSLookupFailed else error

    _change_failures(patch, change)


@mutant("ERR-10")
def the_endpoint_is_not_named(patch: Patch) -> None:
    """The message says what failed, not where."""

    def change(error: ConnectError, endpoint: object) -> ConnectError:
        return _like(error, what=str(error).replace(str(endpoint), "it"))

    _change_failures(patch, change)


@mutant("ERR-10", on="tcp")
def only_the_last_attempt_is_named(patch: Patch) -> None:
    """Of several addresses, the last is told of."""

    def change(error: ConnectError, endpoint: object) -> ConnectError:
        first, _, last = str(error).rpartition("; ")
        return _like(error, what=f"cannot connect to {endpoint}: {last}") if first else error

    _change_failures(patch, change)


@mutant("ERR-10", on="tcp", silent="the failure to connect")
def the_timeout_begins_after_the_lookup(patch: Patch) -> None:
    """The lookup of the name takes as long as it takes."""

    async def connect(real: Any, backend: Backend, endpoint: Any, *args: Any, **named: Any) -> Any:
        target = as_endpoint(endpoint)
        if isinstance(target, TCP):
            with suppress(OSError):
                await backend.resolve(target.host, target.port)
        return await real(endpoint, *args, **named)

    around(patch, Backend, "connect", connect)


@mutant("ERR-10")
def the_cause_of_a_failure_is_not_told(patch: Patch) -> None:
    """The OSError of a failure to connect is only in its text."""
    _change_failures(patch, lambda error, endpoint: type(error)(str(error)))


@mutant("ERR-10")
def listening_raises_what_the_system_says(patch: Patch) -> None:
    """A failure to listen is an OSError."""

    async def listen(real: Any, backend: Backend, *args: Any) -> Any:
        try:
            return await real(*args)
        except ListenError as error:
            raise error.__cause__ or error from None

    around(patch, Backend, "listen", listen)


# -- ERR-11: what connect gives --------------------------------------------------------------------


@mutant("ERR-11")
def connect_raises_for_what_is_lost_already(patch: Patch) -> None:
    """A connection that was lost while it was made is a failure to connect."""

    async def connect(real: Any, backend: Backend, *args: Any, **named: Any) -> Any:
        protocol = await real(*args, **named)
        if protocol.transport.state in ENDED:
            raise ConnectError("lost already")
        return protocol

    around(patch, Backend, "connect", connect)


@mutant("ERR-11")
def connect_returns_a_protocol_that_failed(patch: Patch) -> None:
    """What connectionMade raised is told by connectionLost, and not by connect."""
    around(patch, Connection, "attach", lambda real, connection, protocol: nothing(real(protocol)))


@mutant("ERR-11", silent="raw peer")
def a_factory_that_fails_leaks_its_connection(patch: Patch) -> None:
    """Where the factory raised, the connection that was made for it stays."""
    failed: list[Backend] = []

    async def connect(
        real: Any, backend: Backend, endpoint: object, factory: Any, *args: Any, **named: Any
    ) -> Any:
        def make() -> object:
            try:
                return factory()
            except BaseException:
                failed.append(backend)
                raise

        return await real(endpoint, make, *args, **named)

    def abort(real: Any, channel: MemoryChannel) -> None:
        if failed:
            failed.pop().on_leaving(real)
        else:
            real()

    around(patch, Backend, "connect", connect)
    around(patch, MemoryChannel, "abort", abort)


@mutant("ERR-11", on="tcp")
def a_cancelled_attempt_leaks_its_socket(patch: Patch) -> None:
    """A connect that is cancelled forgets what is on its way."""
    left: list[socket.socket] = []

    async def connect(real: Any, backend: Backend, *args: Any, **named: Any) -> Any:
        try:
            return await real(*args, **named)
        except BaseException as error:
            if not isinstance(error, Exception):
                left.append(socket.socket())
            raise

    around(patch, Backend, "connect", connect)


@mutant("ERR-11")
def a_cancelled_attempt_makes_its_connection_all_the_same(patch: Patch) -> None:
    """What is connected when the backend is left is closed, and its protocol hears of no loss."""

    def abandon(real: Any, connection: Connection, reason: ConnectionLost) -> None:
        if type(reason) is ConnectionAborted:
            connection.channel.abort()
        else:
            real(reason)

    around(patch, Connection, "abandon", abandon)


# -- ERR-12: an error in one channel ---------------------------------------------------------------


@mutant("ERR-12", silent="connectionLost")
def an_error_ends_the_poller(patch: Patch) -> None:
    """What one channel raises ends whoever serves it, and all the others with it."""
    broken: list[Connection] = []

    def failed(real: Any, connection: Connection, error: Exception | None) -> None:
        if not isinstance(error, OSError):
            broken.append(connection)

    def serve(real: Any, scheduler: Scheduler, connection: Any) -> None:
        if not broken:
            real(connection)

    around(patch, Connection, "failed", failed)
    around(patch, Scheduler, "serve", serve)


@mutant("ERR-12", silent="connectionLost")
def an_error_ends_the_channel_in_silence(patch: Patch) -> None:
    """A channel that failed is not served any more, and its connection does not hear of it."""

    def failed(real: Any, connection: Connection, error: Exception | None) -> None:
        if isinstance(error, OSError):
            real(error)

    around(patch, Connection, "failed", failed)


@mutant("ERR-12")
def an_error_ends_all(patch: Patch) -> None:
    """When one channel fails, all of them are told so."""
    everyone: list[Connection] = []
    fail = Connection.failed

    def failed(real: Any, connection: Connection, error: Exception | None) -> None:
        for one in [connection] if isinstance(error, OSError) else everyone:
            fail(one, error)

    after(patch, Connection, "attach", lambda connection, protocol: everyone.append(connection))
    around(patch, Connection, "failed", failed)


# -- ERR-13: whatever raises -----------------------------------------------------------------------


@mutant("ERR-13")
def a_verb_lets_out_what_a_channel_raises(patch: Patch) -> None:
    """Only an OSError is expected of a channel."""
    raised: dict[Connection, Exception] = {}

    def made(connection: Connection, backend: Backend, channel: Any, *_: object) -> None:
        real = channel.end_write

        def end_write() -> Any:
            try:
                return real()
            except OSError:
                raise
            except Exception as error:
                raised[connection] = error
                raise

        channel.end_write = end_write

    def lose_write(connection: Connection) -> None:
        if connection in raised:
            raise raised.pop(connection)

    before(patch, Connection, "__init__", made)
    after(patch, Connection, "loseWriteConnection", lose_write)


@mutant("ERR-13", silent="connectionLost")
def a_turn_that_was_refused_is_waited_for(patch: Patch) -> None:
    """A call_soon that has raised counts as made."""
    patch.edit(Connection._schedule_turn, "except BaseException:", "except EOFError:")


@mutant("ERR-13")
def a_channel_that_fails_at_its_end_stays_open(patch: Patch) -> None:
    """Where abort has raised, nothing else is tried."""

    def made(connection: Connection, backend: Backend, channel: Any, *_: object) -> None:
        real = channel.abort

        def abort() -> None:
            try:
                real()
            except BaseException:
                channel.close = nothing
                raise

        channel.abort = abort

    before(patch, Connection, "__init__", made)


@mutant("ERR-13")
def a_channel_that_never_started_is_not_released(patch: Patch) -> None:
    """A channel that has no handler has nothing to end."""
    started: WeakSet[MemoryChannel] = WeakSet()

    def end(real: Any, channel: MemoryChannel) -> None:
        if channel in started:
            real()

    before(patch, MemoryChannel, "start", lambda channel, handler: started.add(channel))
    around(patch, MemoryChannel, "abort", end)
    around(patch, MemoryChannel, "close", end)


_PRODUCING = ("registerProducer", "unregisterProducer", "pauseProducing", "resumeProducing")


@mutant("ERR-13", silent="was interrupted")
def an_interrupt_is_the_connections_alone(patch: Patch) -> None:
    """^C in the middle of a verb ends the connection, and the program goes on."""

    def verb(real: Any, connection: Connection, *args: object) -> None:
        with suppress(KeyboardInterrupt):
            real(*args)

    around(patch, MemoryBackend, "fatal", nothing)
    for name in ("write", "loseWriteConnection", "loseConnection", "abortConnection", *_PRODUCING):
        around(patch, Connection, name, verb)


# -- ERR-14: a backend that was left ---------------------------------------------------------------


@mutant("ERR-14")
def a_call_from_a_thread_to_what_was_left_raises(patch: Patch) -> None:
    """Who calls too late is told so."""

    def call(real: Any, backend: MemoryBackend, *args: Any) -> None:
        if backend.left:
            raise RuntimeError(backend.name)
        real(*args)

    around(patch, MemoryBackend, "call_soon_threadsafe", call)


@mutant("ERR-14")
def what_was_given_before_is_run_after(patch: Patch) -> None:
    """Only the calls that come too late are refused."""

    def call(real: Any, backend: MemoryBackend, function: Any, *args: Any) -> None:
        if not backend.left:
            # Of the scheduler, which knows nothing of the backend.
            backend.network.scheduler.call_soon(copy_context().run, function, *args)

    around(patch, MemoryBackend, "call_soon", call)
    around(patch, MemoryBackend, "call_soon_threadsafe", call)


@mutant("ERR-14")
def a_task_begins_on_what_was_left(patch: Patch) -> None:
    """Tasks are cancelled once, when the backend is left."""

    def start(real: Any, backend: MemoryBackend, *args: Any) -> None:
        left, backend.left = backend.left, False
        try:
            real(*args)
        finally:
            backend.left = left

    around(patch, MemoryBackend, "start_soon", start)


# -- ERR-18: forks ---------------------------------------------------------------------------------


@mutant("ERR-18", on="tcp")
def a_child_has_its_parents_connections(patch: Patch) -> None:
    """Who forks is to know what it does: nothing is taken from the child."""
    around(patch, Backend, "disown", nothing)


@mutant("ERR-18")
def a_child_can_begin_something(patch: Patch) -> None:
    """In a child a connection is over, and the backend is as it was."""

    def disowned(backend: Backend, parent: int) -> None:
        for name in ("call_later", "resolve", "sleep", "start_soon", "watch"):
            delattr(backend, name)

    after(patch, Backend, "disown", disowned)


@mutant("ERR-18")
def a_child_that_exits_has_failed(patch: Patch) -> None:
    """Who comes back to the loop ends with 1, whatever it has come with."""
    patch.edit(forking.end, "status = _status(error.code)", "pass")


@mutant("ERR-18")
def a_child_is_told_of_the_end(patch: Patch) -> None:
    """In a child each connection is lost, and its protocol is told."""

    def disown(connection: Connection, reason: ConnectionLost) -> None:
        protocol: Any = connection.protocol
        protocol.connectionLost(reason)

    before(patch, Connection, "disown", disown)


@mutant("ERR-18", on="tcp", silent="no end came")
def an_abort_waits_for_the_last_copy(patch: Patch) -> None:
    """The reset comes when nobody holds the socket any more."""
    patch.edit(reset, "_disconnected(sock)", "False")
