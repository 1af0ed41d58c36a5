"""A channel over any Twisted transport.

Over a plain socket (TCP, unix) bytes and the end of stream go to the socket itself, at once, and
Twisted holds none of them: what the socket does not take waits in core, and the reactor watches a
duplicate of the descriptor until there is room. Only what somebody else wrote before is Twisted's:
a *pull* producer is told when that has gone. Twisted itself is never asked to write, which it would
do without MSG_NOSIGNAL, even where it has nothing to send (FLU-12), nor to close or to abort in its
own time, which goes by the wall clock; the transport's ``connectionLost`` is told of the end, as by
a reactor (``IFileDescriptor``). Any other transport (TLS, wrappers) takes everything until it
pauses a *push* producer.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from halfclose import TCP, Capabilities, Channel, ChannelHandler, Endpoint, Watch
from halfclose.forking import has_forked
from halfclose.io.addresses import endpoint_of
from halfclose.io.syscalls import (
    end_is_real,
    end_stream,
    let_go,
    pending_error,
    reset,
    socket_of,
    unsent,
)
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    ITCPTransport,
    IUNIXTransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from .loop import ReactorLoop
from .reactors import runs_on_uvloop

__all__ = ["Attached", "TwistedChannel", "adopt_socket"]

_PIECE = 64 * 1024

_FULL = frozenset({errno.EAGAIN, errno.EINTR, errno.ENOBUFS})
"""What send(2) fails with for the moment only."""

_NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)
"""A peer that has gone is an error, and no SIGPIPE, whatever the program does with that signal."""


@implementer(IHalfCloseableProtocol)
class Attached(Protocol):
    """The Twisted protocol below a channel: it hands every event to the channel."""

    def __init__(self, made: Callable[[Attached], None]) -> None:
        self._made = made
        self.channel: TwistedChannel

    def connectionMade(self) -> None:
        self._made(self)

    def dataReceived(self, data: bytes) -> None:
        self.channel.data_received(data)

    def readConnectionLost(self) -> None:
        self.channel.read_connection_lost()

    def writeConnectionLost(self) -> None:
        """The channel ends its half of a socket itself, and no other transport can."""

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.channel.connection_lost(reason)


class _Room:
    """Calls *ready*, once, when *sock* is writable. Its descriptor's number is Twisted's already.

    :raises OSError: no descriptor is left, or the reactor has no room for one more.
    """

    def __init__(
        self, backend: ReactorLoop, sock: socket.socket, ready: Callable[[], None]
    ) -> None:
        self._ready = ready
        self._fd = os.dup(sock.fileno())
        try:
            self._watch: Watch = backend.watch(self._fd, self._now, write=True)
        except BaseException:
            os.close(self._fd)
            raise

    def fileno(self) -> int:
        return self._fd

    def _now(self) -> None:
        self.stop()
        self._ready()

    def stop(self) -> None:
        """Wait no more. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._watch.stop()
            os.close(fd)


class TwistedChannel(Channel):
    """One Twisted transport.

    :param untouched: nobody else has ever written to it.

    Capabilities: Twisted keeps only its own class of the failure, not the ``OSError``
    (``tcp.Connection.readConnectionLost``, ``main.CONNECTION_LOST``), and closes a socket at a
    failed send whatever input is left in it (``PosixReactorBase._disconnectSelectable``).
    """

    def __init__(self, backend: ReactorLoop, transport: Any, *, untouched: bool = False) -> None:
        self._backend = backend
        self._transport = transport
        self._handler: ChannelHandler | None = None
        self._sock = _plain_socket(transport)
        self.capabilities = Capabilities(
            can_half_close=self._sock is not None,
            can_reset=self._sock is not None and self._sock.family != socket.AF_UNIX,
            keeps_input=False,
            tells_cause=False,
        )
        self._rearms = runs_on_uvloop()
        # What was written before the transport was ours may still be in its buffer; then the
        # reactor watches for room.
        self._ready = self._emptied = (
            untouched or self._sock is None or transport not in backend.reactor.getWriters()
        )
        self._room: _Room | None = None
        self._wanted = False
        self._calling = False
        self._reading = True
        self._read_ended = False
        self._ending = False
        self._own_end_sent = False
        self._error: OSError | None = None
        self._released = False
        self._gone = False
        backend.hold_channel(self)
        self.pause_reading()
        self._call("registerProducer", self, self._sock is None)
        self.set_no_delay(True)

    def _call(self, name: str, *args: object) -> None:
        """Call the transport so that what it calls back at once is told in the next turn.

        An ITransport need not have more than write and loseConnection; what it has not is left.
        """
        function = getattr(self._transport, name, None)
        if function is None:
            return
        self._calling = True
        try:
            function(*args)
        finally:
            self._calling = False

    def _tell(self, function: Callable[..., object], *args: object) -> None:
        if self._calling:
            self._backend.soon(self._tell_now, function, *args)
        elif not self._released:
            try:
                function(*args)
            except (KeyboardInterrupt, SystemExit) as error:
                # Twisted would keep it to itself, and a loop of asyncio's end at once by it.
                self._backend.fatal(error)
            if self._backend.foreign is not None:
                self._backend.check_process()

    def _tell_now(self, function: Callable[..., object], *args: object) -> None:
        if not self._released:
            function(*args)

    def start(self, handler: ChannelHandler) -> None:
        self._handler = handler

    @property
    def handler(self) -> ChannelHandler:
        assert self._handler is not None
        return self._handler

    def check_watchable(self) -> None:
        """Make sure that the reactor can watch the transport's descriptor.

        :raises OSError: it cannot; see `ReactorLoop.check_watchable`.
        """
        if self._sock is not None:
            self._backend.check_watchable(self._sock.fileno())

    # -- reading -------------------------------------------------------------------------------

    def resume_reading(self) -> None:
        if not self._reading and not self._read_ended and not self._gone:
            self._reading = True
            self._call("resumeProducing")

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            if not self._gone:
                self._call("pauseProducing")

    def data_received(self, data: bytes) -> None:
        self._tell(self._received, data)
        if self._rearms and self._reading and not self._gone:
            # uvloop stops watching a descriptor at POLLERR, also where data came with it.
            self._call("pauseProducing")
            self._call("resumeProducing")

    def _received(self, data: bytes) -> None:
        self.handler.received(data)

    def read_connection_lost(self) -> None:
        self._tell(self._end_of_stream)

    def _end_of_stream(self) -> None:
        if not end_is_real(self._error):
            self.handler.failed(self._error)
            return
        self._read_ended = True
        self.handler.read_ended()

    # -- writing -------------------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> int:
        if self._gone:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._look_for_tls()
        if not self._ready:
            self._wanted = True
            self._await_room()
            return 0
        return self._hand_over(data) if self._sock is None else self._send(self._sock, data)

    def _look_for_tls(self) -> None:
        """The transport may be TLS by now (``startTLS``), and its socket not for plain bytes."""
        if self._sock is not None and self._transport.TLS:
            self._sock = None
            self._stop_waiting()
            self.capabilities = replace(self.capabilities, can_half_close=False, can_reset=False)
            self._ready = True
            self._call("unregisterProducer")
            self._call("registerProducer", self, True)

    def _send(self, sock: socket.socket, data: bytes | memoryview) -> int:
        try:
            taken = sock.send(data, _NO_SIGNAL)
        except OSError as error:
            if error.errno not in _FULL:
                raise self._first(error) from None
            taken = 0
        if taken < len(data):
            self._ready = False
            self._wanted = True
            self._await_room()
        return taken

    def _hand_over(self, data: bytes | memoryview) -> int:
        taken = 0
        while self._ready and taken < len(data):
            piece = bytes(data[taken : taken + _PIECE])
            self._call("write", piece)
            taken += len(piece)
        self._wanted = taken < len(data)
        return taken

    def _await_room(self) -> None:
        if self._sock is None or self._gone or self._room is not None:
            return
        if self._emptied:
            try:
                self._room = _Room(self._backend, self._sock, self._has_room)
            except OSError:
                # No descriptor is left for it: Twisted's own will do.
                self._emptied = False
        if not self._emptied:
            # With nothing in its buffer, Twisted finds it empty once the socket is writable.
            self._call("startWriting")

    def _stop_waiting(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.stop()

    def _has_room(self) -> None:
        self._room = None
        try:
            self._go_on()
        except Exception as error:
            # ERR-12: a failure of ours is this connection's alone, and ends it.
            self._backend.report(error, "the channel to %s failed", self.get_peer())
            self._backend.guarded(self.handler.failed, error)
            self.abort()

    def resumeProducing(self) -> None:
        """The transport's buffer has emptied (pull), or has room again (push)."""
        if self._calling and self._sock is not None:
            # Being registered; it says nothing of the buffer.
            return
        self._emptied = True
        self._go_on()

    def _go_on(self) -> None:
        self._ready = True
        if self._wanted:
            self._wanted = False
            self._tell(self.handler.writable)
        elif self._ending:
            self._ending = False
            self._tell(self._end_now)

    def pauseProducing(self) -> None:
        """The transport wants no more for now (push)."""
        self._ready = False

    def stopProducing(self) -> None:
        """The transport is lost, which it tells by ``connectionLost``."""

    def end_write(self) -> bool:
        self._look_for_tls()
        if self._sock is None:
            # Its loseConnection sends everything first; nothing tells when.
            return True
        if self._ready:
            self._end_stream()
            return True
        self._ending = True
        self._await_room()
        return False

    def _end_now(self) -> None:
        try:
            self._end_stream()
        except OSError as error:
            self.handler.write_failed(error)
        else:
            self.handler.write_ended()

    def _end_stream(self) -> None:
        """Twisted's own way would swallow what shutdown(2) says (FLU-11)."""
        assert self._sock is not None
        try:
            end_stream(self._sock)
        except OSError as error:
            raise self._first(error) from None
        self._own_end_sent = True

    def _first(self, error: OSError) -> OSError:
        """What broke the socket: every error after the first is EPIPE, and says nothing."""
        self._error = self._error or error
        return self._error

    # -- the end -------------------------------------------------------------------------------

    def connection_lost(self, reason: Failure) -> None:
        self._gone = True
        self._stop_waiting()
        self._backend.release_channel(self)
        self._tell(self._lost, reason)

    def _lost(self, reason: Failure) -> None:
        if not self._read_ended and reason.check(ConnectionDone):
            # A transport without half-close: its peer's end of stream ended both halves.
            self._end_of_stream()
            if self._ready and not self._wanted and not self._released:
                self.handler.write_ended()
                return
        if not self._released:
            self.handler.failed(None)

    def has_input(self) -> bool:
        return False

    def look_for_error(self) -> OSError | None:
        if self._sock is not None and not self._gone and self._error is None:
            try:
                self._error = pending_error(self._sock)
                if not self._own_end_sent:
                    # Once both ends of stream have gone by, the kernel has forgotten the peer.
                    self._sock.getpeername()
            except OSError as error:
                self._error = self._error or error
        return self._error

    def unsent(self) -> int:
        if self._gone:
            return 0
        if self._sock is not None:
            return unsent(self._sock)
        # TLS on top of a socket has the socket's descriptor; of what it holds itself it is only
        # known whether it waits for room.
        waits = int(not self._ready)
        return waits + (unsent(self._transport) if self._own_descriptors() else 0)

    def close(self) -> None:
        if self._sock is not None and self._emptied:
            if self._own_end_sent and not self._gone:
                let_go(self._sock)
            self._release_socket(ConnectionDone())
        else:
            self._release("loseConnection")

    def abort(self) -> None:
        if self._released and self._own_end_sent:
            # Everything is with the kernel, and Twisted lets go in its next turn: a reset now would
            # cost the peer what it was told to have (END-02).
            return
        if self._sock is not None:
            if self._released:
                self._end_transport(ConnectionAborted())
            else:
                self._release_socket(ConnectionAborted())
        else:
            aborts = hasattr(self._transport, "abortConnection")
            if aborts and self._released and not self._gone:
                self._call("abortConnection")
            self._release("abortConnection" if aborts else "loseConnection")
        if has_forked() and not self._gone:
            # It is closed in the next turn, which ends nothing for the peer while a child holds a
            # copy of the descriptor.
            for fd in self._own_descriptors():
                with suppress(OSError):
                    _reset_now(fd)

    def descriptors(self) -> tuple[int, ...]:
        room = () if self._room is None else (self._room.fileno(),)
        return (*self._own_descriptors(), *room)

    def _own_descriptors(self) -> tuple[int, ...]:
        # Wrappers relay it, and TLS on top of a socket has the socket's.
        fileno = getattr(self._transport, "fileno", None)
        return () if fileno is None or self._gone else (fileno(),)

    def _release_socket(self, reason: Exception) -> None:
        if not self._released:
            self._released = True
            self._stop_waiting()
            # In the next turn: Twisted may be reading it now.
            self._backend.soon(self._end_transport, reason)

    def _end_transport(self, reason: Exception) -> None:
        """Have the transport let go of its socket, with a reset where it was aborted."""
        if not self._gone:
            self._call("unregisterProducer")
            self._call("connectionLost", Failure(reason))

    def _release(self, verb: str) -> None:
        if not self._released:
            self._released = True
            self._stop_waiting()
            if not self._gone:
                self._call("unregisterProducer")
                self._call(verb)

    # -- what is known -------------------------------------------------------------------------

    def get_peer(self) -> Endpoint:
        return _endpoint(self._transport.getPeer())

    def get_host(self) -> Endpoint:
        return _endpoint(self._transport.getHost())

    def get_handle(self) -> object:
        get = getattr(self._transport, "getHandle", None)
        return None if get is None or self._gone else get()

    def set_no_delay(self, enabled: bool) -> None:
        self._set("setTcpNoDelay", enabled)

    def set_keep_alive(self, enabled: bool) -> None:
        self._set("setTcpKeepAlive", enabled)

    def _set(self, name: str, enabled: bool) -> None:
        if ITCPTransport.providedBy(self._transport) and not IUNIXTransport.providedBy(
            self._transport
        ):
            try:
                getattr(self._transport, name)(enabled)
            except OSError:
                # Reset already; the next read tells.
                pass


def _plain_socket(transport: Any) -> socket.socket | None:
    """The socket that *transport* is, if it is no more than that.

    A wrapper provides what the transport that it wraps provides, and does not relay it all; a class
    with a `write` of its own does something to the bytes, and so may a handle that is a subclass.
    """
    plain = isinstance(transport, Connection) and type(transport).write is Connection.write
    handle = transport.getHandle() if plain and not transport.TLS else None
    return handle if type(handle) is socket.socket else None


def _reset_now(fd: int) -> None:
    """Have the peer of the socket *fd* see a reset.

    :raises OSError: it is no socket, or no descriptor is left.
    """
    own = os.dup(fd)
    try:
        sock = socket_of(own, socket.socket)
    except BaseException:
        os.close(own)
        raise
    with sock:
        reset(sock)


def _endpoint(address: Any) -> Endpoint:
    host = getattr(address, "host", None)
    try:
        if host is not None:
            scope = getattr(address, "scopeID", 0)
            return endpoint_of(socket.AF_INET6, (host, address.port, 0, scope))
        return endpoint_of(socket.AF_UNIX, getattr(address, "name", None))
    except (TypeError, ValueError):
        # What a wrapper calls an address may be none of ours.
        return TCP("0.0.0.0", 0)


def adopt_socket(backend: ReactorLoop, sock: socket.socket) -> TwistedChannel:
    """A channel over *sock*, which Twisted's own transport serves from now on.

    :raises OSError: the connection was lost before Twisted could take it, the reactor has no room
        for it, or no descriptor is left for Twisted's duplicate; then the socket stays open.
    """
    made: list[TwistedChannel] = []

    def attach(attached: Attached) -> None:
        attached.channel = TwistedChannel(backend, attached.transport, untouched=True)
        made.append(attached.channel)

    factory = Factory.forProtocol(lambda: Attached(attach))
    factory.noisy = False
    # Twisted takes a duplicate of the descriptor, and leaks it where this very call fails.
    sock.getpeername()
    backend.reactor.adoptStreamConnection(sock.fileno(), sock.family, factory)
    try:
        made[0].check_watchable()
    except OSError:
        made[0].abort()
        raise
    sock.close()
    return made[0]
