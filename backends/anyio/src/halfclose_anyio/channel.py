"""A channel over any anyio byte stream, which one task reads and another one writes."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSStream
from halfclose import (
    LINGER_TIMEOUT,
    TCP,
    Backend,
    Capabilities,
    Channel,
    ChannelHandler,
    Endpoint,
    Watch,
)
from halfclose.channel import tcp_option
from halfclose.io.addresses import endpoint_of, host_of, peer_of
from halfclose.io.syscalls import (
    NO_SIGNAL,
    end_is_real,
    end_stream,
    let_go,
    pending_error,
    reset,
    set_tcp_option,
    socket_of,
    unsent,
)

from .trio_streams import TrioStream, is_trio_stream

__all__ = ["StreamChannel"]


_PIECE = 64 * 1024
"""Bytes that one read or send asks for at most."""

_TRANSPORT_PIECE = 256 * 1024
"""Bytes that one read asks for at most where an asyncio or uvloop transport reads the socket.

The transport reads that much in each turn of the loop, and anyio gives us one piece a turn. If we
took less, the input of a peer that sends without a pause would pile up in anyio.
"""

_NOWHERE = TCP("0.0.0.0", 0)
"""The address of a stream that has none."""


class StreamChannel(Channel):
    """One stream, or a connected socket that becomes one.

    Its capabilities depend on who reads the socket. The stream reads it itself on trio, and a unix
    socket on asyncio. Elsewhere a transport of asyncio or uvloop does, and two capabilities are
    off:

    - ``keeps_input`` (FLU-09), because a transport closes its socket when a send fails, whatever
      input the socket still holds (asyncio's ``_SelectorTransport._fatal_error``).
    - ``bounds_input`` (FLU-10), because anyio lets the transport read on until a ``receive`` has to
      wait (``SocketStream.receive``), and has no public way to pause it earlier.

    Over TLS ``keeps_input`` is always off, because a failed send ends both directions.
    ``can_half_close`` is off over TLS, and over a stream of trio's that cannot end one half alone
    (VRB-10).

    The task that runs `run` serves the channel.

    :param below: a ``ByteStream``, an ``ObjectStream`` of bytes, a ``trio.abc.Stream``, or a
        connected socket. The channel owns it.
    """

    def __init__(self, backend: Backend, below: Any) -> None:
        self._backend = backend
        self._handle = below
        if is_trio_stream(below):
            below = TrioStream(below)
        self._stream: Any = None if isinstance(below, socket.socket) else below
        self._sock = below if isinstance(below, socket.socket) else None
        raw = self._sock or _extra(below, SocketAttribute.raw_socket)
        # A duplicate of the socket, since some loops show only a stand-in with few methods. It is
        # closed before the stream: otherwise the peer would see no end of stream.
        self._raw = _duplicate(raw, or_fail=self._sock is not None)
        self._family = self._raw.family if self._raw is not None else None
        self._own_socket = isinstance(below, (socket.socket, anyio.abc.SocketStream)) or (
            isinstance(below, TrioStream) and below.is_socket
        )
        self._handler: ChannelHandler | None = None
        self._reading: anyio.CancelScope
        self._may_read = backend.create_event()
        self._work = backend.create_event()
        self._piece: bytes | None = None
        self._wanted = False
        self._ending = False
        self._own_end_sent = False
        self._closing = False
        self._aborted = False
        self._released = False
        self._write_error: Exception | None = None
        self._scope: anyio.CancelScope | None = None
        self._room: Watch | None = None
        self._peer, self._host = self._endpoints()
        self.capabilities: Capabilities = self._declare()
        backend.hold_channel(self)

    def _declare(self) -> Capabilities:
        raw = self._raw
        reads_socket = raw is not None and not _has_transport(self._family)
        if isinstance(self._stream, TrioStream):
            can_half_close = self._stream.can_half_close
        else:
            can_half_close = not isinstance(self._stream, TLSStream)
        return Capabilities(
            can_half_close=can_half_close,
            can_reset=raw is not None and self._family != socket.AF_UNIX,
            keeps_input=reads_socket and self._own_socket,
            bounds_input=raw is None or reads_socket,
            tells_cause=raw is not None,
        )

    def _endpoints(self) -> tuple[Endpoint, Endpoint]:
        if self._raw is not None:
            return peer_of(self._raw), host_of(self._raw)
        if self._stream is None:
            return _NOWHERE, _NOWHERE
        attributes = (SocketAttribute.remote_address, SocketAttribute.local_address)
        found = [_extra(self._stream, attribute) for attribute in attributes]
        return _endpoint(found[0]), _endpoint(found[1])

    @property
    def handler(self) -> ChannelHandler:
        """The handler that `start` was given: the channel's tasks begin after that."""
        assert self._handler is not None
        return self._handler

    # -- what the handler calls -------------------------------------------------------------------

    def start(self, handler: ChannelHandler) -> None:
        self._handler = handler

    def resume_reading(self) -> None:
        self._may_read.set()

    def pause_reading(self) -> None:
        if self._may_read.is_set():
            self._may_read = self._backend.create_event()

    def write(self, data: bytes | memoryview) -> int:
        if self._piece is not None or self._write_error is not None:
            self._wanted = True
            return 0
        self._piece = bytes(data[:_PIECE])
        self._wanted = len(self._piece) < len(data)
        self._work.set()
        return len(self._piece)

    def end_write(self) -> bool:
        self._ending = True
        self._work.set()
        return False

    def has_input(self) -> bool:
        if not self.capabilities.keeps_input or self._raw is None:
            return False
        try:
            data = self._raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return False
        return bool(data) or end_is_real(self._write_error)

    def look_for_error(self) -> OSError | None:
        if self._raw is None or not self._own_socket:
            return None
        error = pending_error(self._raw)
        self._write_error = self._write_error or error
        return error

    def unsent(self) -> int:
        # The piece that the writer task has not sent yet is not with the kernel either.
        waiting = len(self._piece) if self._piece is not None else 0
        return waiting + (unsent(self._raw) if self._raw is not None else 0)

    def close(self) -> None:
        self._closing = True
        self._work.set()

    def abort(self) -> None:
        self._aborted = True
        # A channel that is closed, and whose end of stream is sent, is not reset: its protocol was
        # told that the peer gets everything (END-02). Any other is, so that the peer does not take
        # truncated data for the whole (ERR-06, FLU-05).
        if self._raw is not None and not (self._closing and self._own_end_sent):
            reset(self._raw)
        self._drop_raw()
        if self._scope is not None:
            self._scope.cancel()
        elif self._sock is not None:
            # The channel's task has not begun, and may never begin.
            self._sock.close()

    def _drop_raw(self) -> None:
        self._stop_waiting()
        if self._raw is not None:
            # If a forked child holds a copy of the descriptor, closing the stream, which may have
            # happened already, tells the peer nothing. This does (ERR-18).
            let_go(self._raw)
            self._raw.close()
            self._raw = None

    def descriptors(self) -> tuple[int, ...]:
        below: tuple[Any, ...] = (self._sock,)
        if self._sock is None and not self._released:
            if isinstance(self._stream, TrioStream):
                below = self._stream.sockets
            else:
                below = (_extra(self._stream, SocketAttribute.raw_socket),)
        return tuple(sock.fileno() for sock in (self._raw, *below) if sock is not None)

    # -- the tasks -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the stream until `close` or `abort`, then release it.

        If it is cancelled, it aborts the connection (FLU-05).
        """
        try:
            async with anyio.create_task_group() as tasks:
                self._scope = tasks.cancel_scope
                if self._aborted:
                    return
                if self._stream is None and not await self._wrap():
                    return
                self._reading = anyio.CancelScope()
                tasks.start_soon(self.guarded, self._read)
                await self.guarded(self._write)
                # Our own reader has to be gone before, because TLS reads while it closes.
                self._reading.cancel()
                await anyio.lowlevel.checkpoint()
                self._released = await self._close_stream()
                tasks.cancel_scope.cancel()
        finally:
            if not self._released:
                interrupted = not self._over and self._handler is not None
                self.abort()
                if interrupted:
                    # Somebody has cancelled this task, perhaps with all others. The protocol must
                    # hear of the end all the same (EVT-06).
                    self._backend.guarded(
                        self.handler.failed, RuntimeError("its task was cancelled")
                    )
                await self._release()
                self._released = True
            self._backend.release_channel(self)

    async def guarded(self, serve: Callable[[], Awaitable[None]]) -> None:
        """Run one of the two tasks; if it fails, log that and abort this connection.

        An error of our own must not reach another connection or the loop (ERR-12).
        """
        try:
            await serve()
        except BaseException as error:
            # This comes first, since in a forked child no loop runs, and the next line would raise.
            self._backend.check_process(error)
            if isinstance(error, anyio.get_cancelled_exc_class()):
                assert self._scope is not None
                self._scope.cancel()
                raise
            if not isinstance(error, Exception):
                raise
            self._backend.report(error, "the channel to %s failed", self._peer)
            self._backend.guarded(self.handler.failed, error)
            self.abort()
        if self._backend.foreign is not None:
            self._backend.check_process()

    async def _close_stream(self) -> bool:
        """Close the stream, unless that takes long: TLS waits for the peer's answer.

        :returns: whether it was closed.
        """
        with anyio.move_on_after(LINGER_TIMEOUT):
            try:
                await self._stream.aclose()
            except Exception as error:
                self._backend.report(error, "the stream to %s did not close cleanly", self._peer)
            else:
                self._drop_raw()
                return True
        return False

    async def _wrap(self) -> bool:
        """Make a stream of the socket.

        :returns: whether that succeeded; if the socket was reset meanwhile, the handler is told.
        """
        assert self._sock is not None
        try:
            if self._family == socket.AF_UNIX:
                self._stream = await anyio.abc.UNIXSocketStream.from_socket(self._sock)
            else:
                self._stream = await anyio.abc.SocketStream.from_socket(self._sock)
        except Exception as error:
            # If the socket was reset meanwhile, anyio's ValueError hides that: the socket is asked.
            self.handler.failed(self.look_for_error() or _system_error(error))
            return False
        self._sock = None
        return True

    async def _release(self) -> None:
        if self._stream is not None:
            # The connection is over: nobody needs to know that its stream fails once more.
            with suppress(Exception):
                await anyio.aclose_forcefully(self._stream)
        elif self._sock is not None:
            # The framework may have closed the socket's descriptor already.
            with suppress(OSError):
                self._sock.close()

    @property
    def _over(self) -> bool:
        return self._closing or self._aborted

    async def _read(self) -> None:
        with self._reading:
            await self._read_on()

    async def _read_on(self) -> None:
        # Larger pieces cost memory and time for each small message, so they are used only where
        # input would pile up otherwise. TLS chooses the size of its reads itself.
        plain = isinstance(self._stream, anyio.abc.SocketStream)
        most = _TRANSPORT_PIECE if plain and _has_transport(self._family) else _PIECE
        while not self._over:
            # A wait takes a turn even where there is nothing to wait for, and in each turn a
            # transport reads a piece more: see `_TRANSPORT_PIECE`.
            if not self._may_read.is_set():
                await self._may_read.wait()
            try:
                if isinstance(self._stream, anyio.abc.ByteReceiveStream):
                    data = await self._stream.receive(most)
                else:
                    data = await self._stream.receive()
            except anyio.EndOfStream:
                await self._let_the_other_tell()
                if not self._over:
                    self._read_ended()
                return
            except Exception as error:
                if not self._over:
                    self.handler.failed(_system_error(error))
                return
            if data and not self._over:
                self.handler.received(bytes(data))
                if self._backend.foreign is not None:
                    self._backend.check_process()
            if self._write_error is not None and not self._over and not self.has_input():
                # A send has failed, and the input that had come by then has been told (FLU-09).
                self.handler.failed(self._write_error)
                return

    def _read_ended(self) -> None:
        if end_is_real(self._write_error):
            self.handler.read_ended()
        else:
            self.handler.failed(self._write_error)

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work = self._backend.create_event()
            while self._piece is not None and not self._aborted:
                if not await self._succeeds(self._send(self._piece)):
                    break
                self._piece = None
                if self._wanted and not self._over:
                    self._wanted = False
                    self.handler.writable()
                    if self._backend.foreign is not None:
                        self._backend.check_process()
            # Only after the last piece, so that the end never follows truncated data (FLU-04).
            if self._ending and not self._over:
                self._ending = False
                if await self._succeeds(self._end()):
                    self._own_end_sent = True
                    await self._let_the_other_tell()
                    if not self._over:
                        self.handler.write_ended()
                        if self._backend.foreign is not None:
                            self._backend.check_process()
            if self._closing:
                return

    async def _succeeds(self, sending: Awaitable[None]) -> bool:
        """Await *sending*, and tell the handler if it fails.

        :returns: whether it succeeded; if not, nothing more can be sent.
        """
        try:
            await sending
        except NotImplementedError as error:
            # Only this tells that the stream cannot end one half alone.
            self._write_error = error
            self.handler.failed(error)
        except Exception as error:
            self._piece = None
            self._write_error = _system_error(error)
            if not self._over:
                self.handler.write_failed(self._write_error)
        else:
            return True
        if self._backend.foreign is not None:
            self._backend.check_process()
        return False

    async def _let_the_other_tell(self) -> None:
        """Give the other task time to tell the handler of a reset that it has met.

        A call of one of trio's sockets yields before it returns or raises. So one task may have
        taken the reset from the socket and not have told it yet, while this one reads the end of
        stream that the reset leaves behind, or sends ours, which would look like a clean end.
        """
        for _ in range(2):
            await anyio.lowlevel.checkpoint()

    async def _send(self, piece: bytes) -> None:
        # An asyncio transport fails after `send` has returned, and tells nobody, so the socket is
        # asked for its error first (FLU-11).
        asks = not self.capabilities.keeps_input
        error = self.look_for_error() if asks else None
        if error is not None:
            raise error
        if self._raw is not None and self._own_socket:
            await self._send_to_socket(self._raw, piece)
        else:
            await self._stream.send(piece)
        if asks and self._own_socket and not self._may_read.is_set():
            # The transport may have taken the error from the socket already. We do not read now, so
            # only another send can raise it: one of no bytes, in the next turn. Streams that are
            # not sockets are left out, since they may take no bytes for a message.
            await anyio.lowlevel.checkpoint()
            await self._stream.send(b"")

    async def _send_to_socket(self, raw: socket.socket, piece: bytes) -> None:
        """Send *piece* on the socket itself, so that no SIGPIPE kills the process (FLU-12).

        None of the frameworks sends with MSG_NOSIGNAL, and the program may have the signal at its
        default. The stream of a socket holds no bytes back, so none can be overtaken.
        """
        left = memoryview(piece)
        while left:
            try:
                left = left[raw.send(left, NO_SIGNAL | socket.MSG_DONTWAIT) :]
            except (BlockingIOError, InterruptedError):
                room = anyio.Event()
                self._room = self._backend.watch(raw.fileno(), room.set, write=True)
                try:
                    await room.wait()
                finally:
                    self._stop_waiting()
            else:
                await anyio.lowlevel.checkpoint()

    def _stop_waiting(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.stop()

    async def _end(self) -> None:
        if not self.capabilities.can_half_close:
            return
        if self._raw is not None and self._own_socket:
            # Every byte is with the kernel by now (EVT-04). The stream's `send_eof` would hide a
            # reset, and on uvloop the end would be sent only later.
            end_stream(self._raw)
        else:
            await self._stream.send_eof()

    # -- what is known -------------------------------------------------------------------------

    def get_peer(self) -> Endpoint:
        return self._peer

    def get_host(self) -> Endpoint:
        return self._host

    def get_handle(self) -> object:
        return self._handle if self._sock is None else self._stream or self._sock

    def get_no_delay(self) -> bool:
        return tcp_option(self._raw, socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def get_keep_alive(self) -> bool:
        return tcp_option(self._raw, socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def set_no_delay(self, enabled: bool) -> None:
        self._set(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def set_keep_alive(self, enabled: bool) -> None:
        self._set(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def _set(self, level: int, option: int, enabled: bool) -> None:
        if self._raw is not None and self._family != socket.AF_UNIX:
            set_tcp_option(self._raw, level, option, enabled)


def _endpoint(address: Any) -> Endpoint:
    """The endpoint for an address as a stream gives it: a tuple for IP, a path, or anything."""
    try:
        if isinstance(address, tuple):
            return endpoint_of(socket.AF_INET6, address)
        if isinstance(address, (str, bytes)):
            return endpoint_of(socket.AF_UNIX, address)
    except (TypeError, ValueError):
        pass
    return _NOWHERE


def _duplicate(raw: Any, *, or_fail: bool) -> socket.socket | None:
    """A duplicate of the socket *raw*; None without a socket.

    :param or_fail: raise if it cannot be made; otherwise the result is None.
    :raises OSError: no descriptor is left, or the socket is closed.
    """
    if raw is None:
        return None
    try:
        fd = os.dup(raw.fileno())
    except OSError:
        if or_fail:
            # The caller keeps its socket, and may try again when a descriptor is free.
            raise
        # The channel can do with the stream alone.
        return None
    try:
        return socket_of(fd, socket.socket)
    except BaseException:
        os.close(fd)
        raise


def _has_transport(family: int | None) -> bool:
    """Whether a transport of asyncio or uvloop reads the socket in place of the stream."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return False
    return family != socket.AF_UNIX


def _extra(stream: Any, attribute: Any) -> Any:
    """An extra attribute of *stream*, or None if it has no such attribute."""
    extra = getattr(stream, "extra", None)
    return extra(attribute, None) if extra is not None else None


def _system_error(error: Exception) -> Exception:
    """The OSError that caused an exception of anyio or trio; *error* itself if none did."""
    cause = error.__cause__
    return cause if isinstance(cause, OSError) else error
