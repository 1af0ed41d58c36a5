"""A channel over any Twisted transport.

A transport that is a plain socket (TCP, unix) only reads. The channel sends bytes and the end of
stream on the socket itself. What the socket does not take waits in core, while the reactor watches
a duplicate of the descriptor until there is room. Twisted must neither send nor close:

- It sends without MSG_NOSIGNAL, even where it has nothing to send (FLU-12).
- It closes and aborts by delayed calls, which are late if somebody sets the wall clock back.
  So the channel calls the transport's ``connectionLost`` itself, as a reactor would
  (``IFileDescriptor``).

Only bytes that somebody else wrote to the transport before are sent by Twisted. The channel is
registered as a *pull* producer, which Twisted asks once these have gone.

Any other transport (TLS, wrappers) gets all bytes by its ``write``, until it pauses the channel,
which is registered as a *push* producer.
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
"""Bytes that a transport other than a plain socket is given at once."""

_FULL = frozenset({errno.EAGAIN, errno.EINTR, errno.ENOBUFS})
"""Errors of send(2) that pass: it can be called again later."""

_NO_SIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)
"""A flag for each send: a peer that is gone is an error then, and sends us no SIGPIPE (FLU-12)."""


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
        """Does nothing.

        The channel ends its half of a socket itself. No other transport can end one half alone.
        """

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.channel.connection_lost(reason)


class _Room:
    """Calls *ready* once, when *sock* is writable.

    It watches a duplicate, since Twisted watches the socket's own descriptor already.

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
        """Stop waiting for room. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._watch.stop()
            os.close(fd)


class TwistedChannel(Channel):
    """A channel over one Twisted transport.

    Two capabilities are always off:

    - ``tells_cause`` (ERR-01), because Twisted keeps no ``OSError`` of a failure, but only a class
      of its own (``tcp.Connection.readConnectionLost``, ``main.CONNECTION_LOST``).
    - ``keeps_input`` (FLU-09), because Twisted closes a socket when a send fails, whatever input is
      left in it (``PosixReactorBase._disconnectSelectable``).

    Only a plain socket has ``can_half_close`` (VRB-10), and only one of TCP has ``can_reset``.

    :param untouched: whether nobody has ever written to the transport.
    """

    def __init__(self, backend: ReactorLoop, transport: Any, *, untouched: bool = False) -> None:
        self._backend = backend
        self._transport = transport
        self._handler: ChannelHandler | None = None
        self._sock = _plain_socket(transport)
        self.capabilities: Capabilities = Capabilities(
            can_half_close=self._sock is not None,
            can_reset=self._sock is not None and self._sock.family != socket.AF_UNIX,
            keeps_input=False,
            tells_cause=False,
        )
        self._rearms = runs_on_uvloop()
        # Bytes that were written before the transport was ours may still be in its buffer. Then it
        # is among the writers of the reactor, and we must not send before they have gone.
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
        # Nothing is read before the protocol is attached (EVT-13).
        self.pause_reading()
        self._call("registerProducer", self, self._sock is None)
        self.set_no_delay(True)

    def _call(self, name: str, *args: object) -> None:
        """Call a method of the transport, if the transport has it.

        While it runs, the transport may call us back. `_tell` then tells the handler in the next
        turn, since no event may come inside a verb (EVT-07).
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
        """Call *function*, which tells the handler of an event, now or in the next turn."""
        if self._calling:
            self._backend.soon(self._tell_now, function, *args)
        elif not self._released:
            try:
                function(*args)
            except (KeyboardInterrupt, SystemExit) as error:
                # If it went on, Twisted would swallow it, and an asyncio loop would end at once.
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
            # uvloop stops watching a descriptor at POLLERR, even if data came with that. So the
            # descriptor is watched anew, or the end would never be told (EVT-06).
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
        """Stop using the socket itself if the program has called ``startTLS`` meanwhile.

        Bytes must go through the transport then, which encrypts them.
        """
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
                # No descriptor is left for the duplicate, so Twisted has to watch its own.
                self._emptied = False
        if not self._emptied:
            # Twisted calls `resumeProducing` once the socket is writable and its buffer is empty.
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
            # An error of our own must not reach another connection or the reactor (ERR-12).
            self._backend.report(error, "the channel to %s failed", self.get_peer())
            self._backend.guarded(self.handler.failed, error)
            self.abort()

    def resumeProducing(self) -> None:
        """Go on writing: the transport's buffer is empty (pull), or has room again (push)."""
        if self._calling and self._sock is not None:
            # `registerProducer` calls this too, and it says nothing of the buffer then.
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
        """Write no more, until the transport has room again (push)."""
        self._ready = False

    def stopProducing(self) -> None:
        """Reset what is not complete: the transport is being lost, and closes its socket next.

        A reactor that stops closes every socket as if all had been sent (FLU-05). That the
        transport is lost, it tells by ``connectionLost`` too.
        """
        if self._sock is not None and not self._released and not self._own_end_sent:
            # At once, as if somebody shared it: Twisted ends the stream before it closes.
            reset(self._sock, shared=True)

    def end_write(self) -> bool:
        self._look_for_tls()
        if self._sock is None:
            # `close` will call its ``loseConnection``, which sends everything before it closes.
            # Nothing tells when that is done.
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
        """Send the end of stream on the socket itself.

        Twisted's ``loseWriteConnection`` would swallow an error of shutdown(2) (FLU-11).

        :raises OSError: the connection was lost.
        """
        assert self._sock is not None
        try:
            end_stream(self._sock)
        except OSError as error:
            raise self._first(error) from None
        self._own_end_sent = True

    def _first(self, error: OSError) -> OSError:
        """The first error of the socket. Later ones are EPIPE, which does not say what broke it."""
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
            # This transport cannot end one half alone: the peer's end of stream has ended both.
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
                    # Raises if the connection was reset. After both ends of stream it would always
                    # raise, since the kernel has forgotten the peer then.
                    self._sock.getpeername()
            except OSError as error:
                self._error = self._error or error
        return self._error

    def unsent(self) -> int:
        if self._gone:
            return 0
        if self._sock is not None:
            return unsent(self._sock)
        # Not a plain socket. TLS has the descriptor of the socket below, which can be asked; how
        # much TLS holds itself is not known, only whether it waits for room.
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
            # A channel that is closed, and whose end of stream is sent, is not reset: its protocol
            # was told that the peer gets everything (END-02). Twisted closes it in its next turn.
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
        if (has_forked() or self._backend.left) and not self._gone:
            # Twisted closes the descriptor in the next turn. While a forked child holds a copy of
            # it, that tells the peer nothing; a reset does (ERR-18). If the reactor has stopped,
            # there is no next turn, and the system closes the descriptor with the process (FLU-05).
            for fd in self._own_descriptors():
                with suppress(OSError):
                    _reset_now(fd)

    def descriptors(self) -> tuple[int, ...]:
        room = () if self._room is None else (self._room.fileno(),)
        return (*self._own_descriptors(), *room)

    def _own_descriptors(self) -> tuple[int, ...]:
        # Wrappers and TLS pass on the descriptor of the transport below, if it has one.
        fileno = getattr(self._transport, "fileno", None)
        return () if fileno is None or self._gone else (fileno(),)

    def _release_socket(self, reason: Exception) -> None:
        if not self._released:
            self._released = True
            self._stop_waiting()
            # In the next turn, since Twisted may be reading the socket now.
            self._backend.soon(self._end_transport, reason)

    def _end_transport(self, reason: Exception) -> None:
        """Make the transport close its socket, with a reset if *reason* is ConnectionAborted."""
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
                # The connection was reset, and the next read tells that.
                pass


def _plain_socket(transport: Any) -> socket.socket | None:
    """The socket of *transport*, if bytes may be sent on the socket itself; None otherwise.

    They may not if the transport changes them. A class with a ``write`` of its own does, and a
    subclass of ``socket.socket`` may. A wrapper does not count as a socket either, although it
    provides the interfaces of the transport that it wraps.
    """
    plain = isinstance(transport, Connection) and type(transport).write is Connection.write
    handle = transport.getHandle() if plain and not transport.TLS else None
    return handle if type(handle) is socket.socket else None


def _reset_now(fd: int) -> None:
    """Reset the connection of the socket *fd*.

    :raises OSError: *fd* is no socket, or no descriptor is left for a duplicate.
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
        # A wrapper may give an address of its own type.
        return TCP("0.0.0.0", 0)


def adopt_socket(backend: ReactorLoop, sock: socket.socket) -> TwistedChannel:
    """A channel over *sock*, which Twisted's own transport serves and owns from now on.

    :raises OSError: the connection was lost before Twisted could take it, the reactor has no room
        for it, or no descriptor is left for Twisted's duplicate; then the socket stays open.
    """
    made: list[TwistedChannel] = []

    def attach(attached: Attached) -> None:
        attached.channel = TwistedChannel(backend, attached.transport, untouched=True)
        made.append(attached.channel)

    factory = Factory.forProtocol(lambda: Attached(attach))
    factory.noisy = False
    # Raises if the connection was lost. Twisted would make the same call after it has duplicated
    # the descriptor, and would leak the duplicate.
    sock.getpeername()
    backend.reactor.adoptStreamConnection(sock.fileno(), sock.family, factory)
    try:
        made[0].check_watchable()
    except OSError:
        made[0].abort()
        raise
    sock.close()
    return made[0]
