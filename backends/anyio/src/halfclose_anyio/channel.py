"""A channel over any anyio byte stream, by a reader and a writer task."""

from __future__ import annotations

import logging
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
from halfclose import LINGER_TIMEOUT, TCP, Backend, Capabilities, Channel, ChannelSink, Endpoint
from halfclose.io.addresses import endpoint_of, host_of, peer_of
from halfclose.io.syscalls import (
    end_is_real,
    end_stream,
    let_go,
    pending_error,
    reset,
    set_tcp_option,
    unsent,
)

__all__ = ["StreamChannel"]

_log = logging.getLogger("halfclose")

_PIECE = 64 * 1024


class StreamChannel(Channel):
    """One stream, or a connected socket that becomes one.

    Capabilities: ``tells_cause`` and ``keeps_input`` are on where the stream reads its socket
    itself (trio; unix sockets on asyncio). An asyncio transport closes at a failed send whatever
    its socket still holds (``_SelectorTransport._fatal_error``), and so does uvloop's. They are
    also why ``bounds_input`` is off there: anyio leaves the transport reading until a ``receive``
    has had to wait (``SocketStream.receive``), and has no public way to pause it before.

    :param below: a ``ByteStream``, an ``ObjectStream`` of bytes, or a connected socket; the
        channel owns it. `run` serves it.
    """

    def __init__(self, backend: Backend, below: Any) -> None:
        self._backend = backend
        self._stream: Any = None if isinstance(below, socket.socket) else below
        self._sock = below if isinstance(below, socket.socket) else None
        raw = self._sock or below.extra(SocketAttribute.raw_socket, None)
        # Some loops show a stand-in that can do little, so a duplicate is kept; it goes before the
        # stream does, or the peer would see no end.
        self._raw = _duplicate(raw)
        self._family = self._raw.family if self._raw is not None else None
        self._own_socket = self._sock is not None or isinstance(below, anyio.abc.SocketStream)
        self._sink: ChannelSink
        self._may_read = anyio.Event()
        self._reading = anyio.CancelScope()
        self._work = anyio.Event()
        self._piece: bytes | None = None
        self._wanted = False
        self._ending = False
        self._own_end_sent = False
        self._closing = False
        self._aborted = False
        self._released = False
        self._write_error: Exception | None = None
        self._scope: anyio.CancelScope | None = None
        self._peer, self._host = self._endpoints()
        self.capabilities = self._declare()
        backend.hold_channel(self)

    def _declare(self) -> Capabilities:
        raw = self._raw
        reads_socket = raw is not None and not _has_transport(self._family)
        return Capabilities(
            can_half_close=not isinstance(self._stream, TLSStream),
            can_reset=raw is not None and self._family != socket.AF_UNIX,
            keeps_input=reads_socket,
            bounds_input=raw is None or reads_socket,
            tells_cause=raw is not None,
        )

    def _endpoints(self) -> tuple[Endpoint, Endpoint]:
        nowhere = TCP("0.0.0.0", 0)
        if self._raw is not None:
            return peer_of(self._raw), host_of(self._raw)
        if self._stream is None:
            return nowhere, nowhere
        attributes = (SocketAttribute.remote_address, SocketAttribute.local_address)
        found = [self._stream.extra(attribute, None) for attribute in attributes]
        ends = [
            endpoint_of(socket.AF_INET, address) if isinstance(address, tuple) else nowhere
            for address in found
        ]
        return ends[0], ends[1]

    # -- what the sink calls -------------------------------------------------------------------

    def start(self, sink: ChannelSink) -> None:
        self._sink = sink

    def resume_reading(self) -> None:
        self._may_read.set()

    def pause_reading(self) -> None:
        if self._may_read.is_set():
            self._may_read = anyio.Event()

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
        return unsent(self._raw) if self._raw is not None else 0

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

    def _drop_raw(self) -> None:
        if self._raw is not None:
            # The stream may be closed already, and would have said nothing to a peer of which
            # another process holds a copy.
            let_go(self._raw)
            self._raw.close()
            self._raw = None

    def descriptors(self) -> tuple[int, ...]:
        raw = self._sock
        if raw is None and not self._released:
            raw = self._stream.extra(SocketAttribute.raw_socket, None)
        return tuple(sock.fileno() for sock in (self._raw, raw) if sock is not None)

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
                tasks.start_soon(self._guarded, self._read)
                await self._guarded(self._write)
                # TLS reads while it closes, so the reader must have gone.
                self._reading.cancel()
                await anyio.lowlevel.checkpoint()
                self._released = await self._close_stream()
                tasks.cancel_scope.cancel()
        finally:
            if not self._released:
                self.abort()
                await self._release()
                self._released = True
            self._backend.release_channel(self)

    async def _guarded(self, serve: Callable[[], Awaitable[None]]) -> None:
        """ERR-12: a failure of ours is this connection's alone."""
        try:
            await serve()
        except Exception as error:
            _log.exception("the channel to %s failed", self._peer)
            self._backend.guarded(self._sink.failed, error)
            self.abort()
        if self._backend.foreign is not None:
            self._backend.check_process()

    async def _close_stream(self) -> bool:
        """Close the stream, if it can be done soon: TLS waits for the peer's answer."""
        with anyio.move_on_after(LINGER_TIMEOUT):
            try:
                await self._stream.aclose()
            except Exception:
                _log.exception("the stream to %s did not close cleanly", self._peer)
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
            self._sink.failed(self.look_for_error() or _system_error(error))
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
        while not self._over:
            await self._may_read.wait()
            try:
                if isinstance(self._stream, anyio.abc.ByteReceiveStream):
                    data = await self._stream.receive(_PIECE)
                else:
                    data = await self._stream.receive()
            except anyio.EndOfStream:
                await self._let_the_other_tell()
                if not self._over:
                    self._read_ended()
                return
            except Exception as error:
                if not self._over:
                    self._sink.failed(_system_error(error))
                return
            if data and not self._over:
                self._sink.received(bytes(data))
                if self._backend.foreign is not None:
                    self._backend.check_process()
            if self._write_error is not None and not self._over and not self.has_input():
                # After a failed send the input that is there is wanted, and only that.
                self._sink.failed(self._write_error)
                return

    def _read_ended(self) -> None:
        if end_is_real(self._write_error):
            self._sink.read_ended()
        else:
            self._sink.failed(self._write_error)

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            while self._piece is not None and not self._aborted:
                if not await self._succeeds(self._send(self._piece)):
                    break
                self._piece = None
                if self._wanted and not self._over:
                    self._wanted = False
                    self._sink.writable()
                    if self._backend.foreign is not None:
                        self._backend.check_process()
            if self._ending and not self._over:
                self._ending = False
                if await self._succeeds(self._end()):
                    self._own_end_sent = True
                    await self._let_the_other_tell()
                    if not self._over:
                        self._sink.write_ended()
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
            self._sink.failed(error)
        except Exception as error:
            self._piece = None
            self._write_error = _system_error(error)
            if not self._over:
                self._sink.write_failed(self._write_error)
        else:
            return True
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
        await self._stream.send(piece)
        if asks and self._own_socket and not self._may_read.is_set():
            # Or it has the error already, and tells it in the next turn; nobody reads to hear it.
            # To send nothing asks for it; other streams than sockets may take that for a message.
            await anyio.lowlevel.checkpoint()
            await self._stream.send(b"")

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
        return self._stream or self._sock

    def set_no_delay(self, enabled: bool) -> None:
        self._set(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)

    def set_keep_alive(self, enabled: bool) -> None:
        self._set(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def _set(self, level: int, option: int, enabled: bool) -> None:
        if self._raw is not None and self._family != socket.AF_UNIX:
            set_tcp_option(self._raw, level, option, enabled)


def _duplicate(raw: Any) -> socket.socket | None:
    if raw is None:
        return None
    try:
        return socket.socket(fileno=os.dup(raw.fileno()))
    except OSError:
        # No descriptor is left, or the socket is closed: the stream alone has to do.
        return None


def _has_transport(family: int | None) -> bool:
    """Whether an asyncio transport, rather than the stream, reads the socket."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return False
    return family != socket.AF_UNIX


def _system_error(error: Exception) -> Exception:
    """The OSError that anyio's exception came from, if it tells."""
    cause = error.__cause__
    return cause if isinstance(cause, OSError) else error
