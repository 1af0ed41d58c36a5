"""A channel over any anyio byte stream, by a reader and a writer task."""

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

_TRANSPORT_PIECE = 256 * 1024
"""What the transports of asyncio and uvloop read in one turn of the loop, in which anyio gives us
one piece: less, and what a peer sends without a pause would pile up between the two."""

_NOWHERE = TCP("0.0.0.0", 0)
"""The address of a stream that tells none."""


class StreamChannel(Channel):
    """One stream, or a connected socket that becomes one.

    Capabilities: ``tells_cause`` and ``keeps_input`` are on where the stream reads its socket
    itself (trio; unix sockets on asyncio). An asyncio transport closes at a failed send whatever
    its socket still holds (``_SelectorTransport._fatal_error``), and so does uvloop's. They are
    also why ``bounds_input`` is off there: anyio leaves the transport reading until a ``receive``
    has had to wait (``SocketStream.receive``), and has no public way to pause it before.

    Over TLS ``keeps_input`` is off too, since a failed send ends the whole of it.

    :param below: a ``ByteStream``, an ``ObjectStream`` of bytes, a ``trio.abc.Stream``, or a
        connected socket; the channel owns it. `run` serves it.
    """

    def __init__(self, backend: Backend, below: Any) -> None:
        self._backend = backend
        self._handle = below
        if is_trio_stream(below):
            below = TrioStream(below)
        self._stream: Any = None if isinstance(below, socket.socket) else below
        self._sock = below if isinstance(below, socket.socket) else None
        raw = self._sock or _extra(below, SocketAttribute.raw_socket)
        # Some loops show a stand-in that can do little, so a duplicate is kept; it goes before the
        # stream does, or the peer would see no end.
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
        self.capabilities = self._declare()
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
        """Who is told; the tasks of a channel begin after it was started."""
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
        # What the writer has not handed on yet is not with the kernel.
        waiting = len(self._piece) if self._piece is not None else 0
        return waiting + (unsent(self._raw) if self._raw is not None else 0)

    def close(self) -> None:
        self._closing = True
        self._work.set()

    def abort(self) -> None:
        self._aborted = True
        # Closed, with everything in the kernel: a reset now would cost the peer what it was told to
        # have (END-02).
        if self._raw is not None and not (self._closing and self._own_end_sent):
            reset(self._raw)
        self._drop_raw()
        if self._scope is not None:
            self._scope.cancel()
        elif self._sock is not None:
            # Its task has not begun, and may never do.
            self._sock.close()

    def _drop_raw(self) -> None:
        self._stop_waiting()
        if self._raw is not None:
            # The stream may be closed already, and would have said nothing to a peer of which
            # another process holds a copy.
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
        """Serve the stream until `close` or `abort`, and release it. Cancelled, it aborts."""
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
                # TLS reads while it closes, so the reader must have gone.
                self._reading.cancel()
                await anyio.lowlevel.checkpoint()
                self._released = await self._close_stream()
                tasks.cancel_scope.cancel()
        finally:
            if not self._released:
                interrupted = not self._over and self._handler is not None
                self.abort()
                if interrupted:
                    # A program may cancel every task that it finds, and the protocol must hear.
                    self._backend.guarded(
                        self.handler.failed, RuntimeError("its task was cancelled")
                    )
                await self._release()
                self._released = True
            self._backend.release_channel(self)

    async def guarded(self, serve: Callable[[], Awaitable[None]]) -> None:
        """ERR-12: a failure of ours is this connection's alone, and ends both its tasks."""
        try:
            await serve()
        except BaseException as error:
            # First: in a forked child no loop runs that could name its class of cancellation.
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
        """Close the stream, if it can be done soon: TLS waits for the peer's answer."""
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
        """Make a stream of the socket, if it still is connected."""
        assert self._sock is not None
        try:
            if self._family == socket.AF_UNIX:
                self._stream = await anyio.abc.UNIXSocketStream.from_socket(self._sock)
            else:
                self._stream = await anyio.abc.SocketStream.from_socket(self._sock)
        except Exception as error:
            # anyio calls a socket that was reset meanwhile a wrong argument.
            self.handler.failed(self.look_for_error() or _system_error(error))
            return False
        self._sock = None
        return True

    async def _release(self) -> None:
        if self._stream is not None:
            # One that fails even so has been told of before, or was never asked to close.
            with suppress(Exception):
                await anyio.aclose_forcefully(self._stream)
        elif self._sock is not None:
            # The framework may have closed the descriptor below it.
            with suppress(OSError):
                self._sock.close()

    @property
    def _over(self) -> bool:
        return self._closing or self._aborted

    async def _read(self) -> None:
        with self._reading:
            await self._read_on()

    async def _read_on(self) -> None:
        # TLS asks the transport by itself; and to allot so much is dear for a small message.
        plain = isinstance(self._stream, anyio.abc.SocketStream)
        most = _TRANSPORT_PIECE if plain and _has_transport(self._family) else _PIECE
        while not self._over:
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
                # After a failed send the input that is there is wanted, and only that.
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
        """Whether *sending* did; if not, nothing more can be sent."""
        try:
            await sending
        except NotImplementedError as error:
            # A stream that cannot end its half, and did not say so before.
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
        """Let the other task tell of an error that it took from the socket, and yielded with.

        Trio's sockets yield after a call; so the end of stream that a reset leaves behind can be
        read, or our own end be sent over it, before whoever has got the reset goes on.
        """
        for _ in range(2):
            await anyio.lowlevel.checkpoint()

    async def _send(self, piece: bytes) -> None:
        # FLU-11: an asyncio transport fails after send has returned, and says nothing.
        asks = not self.capabilities.keeps_input
        error = self.look_for_error() if asks else None
        if error is not None:
            raise error
        if self._raw is not None and self._own_socket:
            await self._send_to_socket(self._raw, piece)
        else:
            await self._stream.send(piece)
        if asks and self._own_socket and not self._may_read.is_set():
            # Or it has the error already, and tells it in the next turn; nobody reads to hear it.
            # To send nothing asks for it; other streams than sockets may take that for a message.
            await anyio.lowlevel.checkpoint()
            await self._stream.send(b"")

    async def _send_to_socket(self, raw: socket.socket, piece: bytes) -> None:
        """What a socket's stream would do, which holds nothing back, but for SIGPIPE (FLU-12).

        None of the frameworks says MSG_NOSIGNAL; a program may have the signal at its default.
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
            # What send has taken is with the kernel; send_eof would hide a reset, and on uvloop
            # it comes only later.
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
    """What a stream calls an address: a tuple for IP, a path, or anything at all."""
    try:
        if isinstance(address, tuple):
            return endpoint_of(socket.AF_INET6, address)
        if isinstance(address, (str, bytes)):
            return endpoint_of(socket.AF_UNIX, address)
    except (TypeError, ValueError):
        pass
    return _NOWHERE


def _duplicate(raw: Any, *, or_fail: bool) -> socket.socket | None:
    """A duplicate of *raw*, unless that fails and *or_fail* is false."""
    if raw is None:
        return None
    try:
        fd = os.dup(raw.fileno())
    except OSError:
        if or_fail:
            # It can be taken later.
            raise
        # No descriptor is left, or the socket is closed: the stream alone has to do.
        return None
    try:
        return socket_of(fd, socket.socket)
    except BaseException:
        os.close(fd)
        raise


def _has_transport(family: int | None) -> bool:
    """Whether an asyncio transport, rather than the stream, reads the socket."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return False
    return family != socket.AF_UNIX


def _extra(stream: Any, attribute: Any) -> Any:
    """What *stream* says of itself; None if it does not."""
    extra = getattr(stream, "extra", None)
    return extra(attribute, None) if extra is not None else None


def _system_error(error: Exception) -> Exception:
    """The OSError that anyio's or trio's exception came from, if it tells."""
    cause = error.__cause__
    return cause if isinstance(cause, OSError) else error
