"""A channel over any Twisted transport.

A transport that is a descriptor of the reactor's (TCP, unix) tells each time that its buffer has
emptied, to a *pull* producer; so one piece at a time is with Twisted, and all else waits in core.
Any other transport (TLS, wrappers) takes everything until it pauses a *push* producer.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from halfclose import TCP, UNIX, Capabilities, Channel, ChannelSink, Endpoint
from halfclose.io.syscalls import end_is_real, pending_error, unsent
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    ITCPTransport,
    IUNIXTransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from .reactors import runs_on_uvloop

if TYPE_CHECKING:
    from .backend import TwistedBackend

__all__ = ["Attached", "TwistedChannel", "adopt_socket"]

_PIECE = 64 * 1024


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
        self.channel.write_connection_lost()

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.channel.connection_lost(reason)


class TwistedChannel(Channel):
    """One Twisted transport.

    Capabilities: Twisted keeps only its own class of the failure, not the ``OSError``
    (``tcp.Connection.readConnectionLost``, ``main.CONNECTION_LOST``), and closes a socket at a
    failed send whatever input is left in it (``PosixReactorBase._disconnectSelectable``).
    """

    def __init__(self, backend: TwistedBackend, transport: Any) -> None:
        self._backend = backend
        self._transport = transport
        self._sink: ChannelSink | None = None
        # A wrapper provides what the transport that it wraps provides, and does not relay it all.
        half_closeable = isinstance(transport, FileDescriptor) and not getattr(
            transport, "TLS", False
        )
        self.capabilities = Capabilities(
            can_half_close=half_closeable,
            can_reset=half_closeable and not IUNIXTransport.providedBy(transport),
            keeps_input=False,
            tells_cause=False,
        )
        self._pulls = half_closeable
        self._rearms = runs_on_uvloop()
        self._ready = True
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
        self._call("registerProducer", self, not self._pulls)
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
            self._backend.call_soon(self._tell_now, function, *args)
        else:
            self._tell_now(function, *args)

    def _tell_now(self, function: Callable[..., object], *args: object) -> None:
        if not self._released:
            function(*args)

    def start(self, sink: ChannelSink) -> None:
        self._sink = sink

    @property
    def sink(self) -> ChannelSink:
        assert self._sink is not None
        return self._sink

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
        self.sink.received(data)

    def read_connection_lost(self) -> None:
        self._tell(self._end_of_stream)

    def _end_of_stream(self) -> None:
        if not end_is_real(self._error):
            self.sink.failed(self._error)
            return
        self._read_ended = True
        self.sink.read_ended()

    # -- writing -------------------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> int:
        if self._gone:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if not self._ready:
            self._wanted = True
            return 0
        taken = 0
        while self._ready and taken < len(data):
            piece = bytes(data[taken : taken + _PIECE])
            if self._pulls:
                self._ready = False
            self._call("write", piece)
            taken += len(piece)
        self._wanted = taken < len(data)
        return taken

    def resumeProducing(self) -> None:
        """The transport's buffer has emptied (pull), or has room again (push)."""
        self._ready = True
        if self._wanted:
            self._wanted = False
            self._tell(self._writable)
        elif self._ending:
            self._ending = False
            self._tell(self._end_now)

    def _writable(self) -> None:
        self.sink.writable()

    def pauseProducing(self) -> None:
        """The transport wants no more for now (push)."""
        self._ready = False

    def stopProducing(self) -> None:
        """The transport is lost, which it tells by ``connectionLost``."""

    def end_write(self) -> bool:
        if not self._pulls:
            # Its loseConnection sends everything first; nothing tells when.
            return True
        self._raise_error()
        if self._ready:
            self._end_write()
        else:
            self._ending = True
        return False

    def _end_now(self) -> None:
        try:
            self._raise_error()
        except OSError as error:
            self.sink.write_failed(error)
        else:
            self._end_write()

    def _end_write(self) -> None:
        # With a producer registered, Twisted would wait for it.
        self._call("unregisterProducer")
        self._call("loseWriteConnection")

    def _raise_error(self) -> None:
        """Twisted swallows what shutdown(2) says, so ask the socket first (FLU-11)."""
        handle = self.get_handle()
        if not isinstance(handle, socket.socket):
            return
        try:
            self._error = self._error or pending_error(handle)
            if self._error is not None:
                raise self._error
            if not self._own_end_sent:
                # Once both ends of stream have gone by, the kernel has forgotten the peer.
                handle.getpeername()
        except OSError as error:
            self._error = error
            raise

    def write_connection_lost(self) -> None:
        self._own_end_sent = True
        self._tell(self._write_ended)

    def _write_ended(self) -> None:
        self.sink.write_ended()

    # -- the end -------------------------------------------------------------------------------

    def connection_lost(self, reason: Failure) -> None:
        self._gone = True
        self._backend.release_channel(self)
        self._tell(self._lost, reason)

    def _lost(self, reason: Failure) -> None:
        if not self._read_ended and reason.check(ConnectionDone):
            # A transport without half-close: its peer's end of stream ended both halves.
            self._end_of_stream()
            if self._ready and not self._wanted and not self._released:
                self.sink.write_ended()
                return
        if not self._released:
            self.sink.failed(None)

    def has_input(self) -> bool:
        return False

    def look_for_error(self) -> OSError | None:
        try:
            self._raise_error()
        except OSError as error:
            return error
        return None

    def unsent(self) -> int:
        handle = self.get_handle()
        return unsent(handle) if isinstance(handle, socket.socket) else 0

    def close(self) -> None:
        self._release("loseConnection")

    def abort(self) -> None:
        aborts = hasattr(self._transport, "abortConnection")
        if aborts and self._released and not self._gone:
            self._call("abortConnection")
        self._release("abortConnection" if aborts else "loseConnection")

    def _release(self, verb: str) -> None:
        if not self._released:
            self._released = True
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


def _endpoint(address: Any) -> Endpoint:
    host = getattr(address, "host", None)
    if host is not None:
        return TCP(host, address.port)
    name = getattr(address, "name", None) or ""
    return UNIX(os.fsdecode(name).replace("\0", "@"))


def adopt_socket(backend: TwistedBackend, sock: socket.socket) -> TwistedChannel:
    """A channel over *sock*, which Twisted's own transport serves from now on.

    :raises OSError: the connection was lost before Twisted could take it.
    """
    made: list[TwistedChannel] = []

    def attach(attached: Attached) -> None:
        attached.channel = TwistedChannel(backend, attached.transport)
        made.append(attached.channel)

    factory = Factory.forProtocol(lambda: Attached(attach))
    factory.noisy = False
    with sock:
        # Twisted takes a duplicate of the descriptor, and leaks it where this very call fails.
        sock.getpeername()
        backend.reactor.adoptStreamConnection(sock.fileno(), sock.family, factory)
    return made[0]
