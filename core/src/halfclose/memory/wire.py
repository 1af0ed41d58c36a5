"""The connections of a network: each has two ends, and two pipes between them.

A connection behaves as TCP does on Linux, as far as the contract can tell:

- What has arrived can be read before an end of stream or a failure is told.
- An end that is closed with unread input sends a reset. So does a closed end when bytes arrive.
- A reset that comes after the peer's end of stream is told as a broken pipe (EPIPE).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial

from ..endpoints import Memory
from .conditions import Conditions
from .pipe import Pipe, PipeEnd
from .scheduler import Scheduler
from .waiting import Event

__all__ = ["End", "Wire"]

_PIECE = 64 * 1024


def _nothing() -> None:
    """Do nothing: the default of `End.on_change`."""


class End(PipeEnd):
    """One end of a connection, like a non-blocking socket.

    `send`, `recv`, `shutdown`, `reset` and `close` never wait. The asynchronous methods wait, in
    any event loop; they are for tests that drive an end by hand. An end has to be closed, and can
    be used as a context manager for that.

    :param scheduler: what serves the network.
    :param name: the address of this end.
    :param peer: the address of the other end.
    :param incoming: carries what the peer sends.
    :param outgoing: carries what this end sends.
    :param released: is called when this end was closed.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        name: Memory,
        peer: Memory,
        incoming: Pipe,
        outgoing: Pipe,
        released: Callable[[], object],
    ) -> None:
        self.name = name
        self.peer = peer
        self.error: OSError | None = None
        """The error that broke the connection, once it has arrived; `send` and `recv` raise it."""
        self.closed: bool = False
        """Whether `close` or `reset` was called."""
        self.on_change: Callable[[], object] = _nothing
        """Called after each change: bytes or an end of stream arrived, space to send was made, the
        connection broke, this end was closed. It must not raise. It is called inside calls of the
        other end, so it should only note the change."""
        self._scheduler = scheduler
        self._incoming = incoming
        self._outgoing = outgoing
        self._released = released
        self._shut = False
        self._waiting: list[Event] = []
        incoming.reader = outgoing.sender = self

    # -- what there is to do -------------------------------------------------------------------

    @property
    def readable(self) -> bool:
        """Whether `recv` gives something other than None, or raises."""
        return bool(self.unread or self.at_end or self.error is not None)

    @property
    def writable(self) -> bool:
        """Whether `send` takes at least one byte, or raises."""
        return bool(self._outgoing.space or self.error is not None)

    @property
    def unread(self) -> int:
        """Bytes that `recv` can give now."""
        return self._incoming.readable

    @property
    def at_end(self) -> bool:
        """Whether `recv` gives the peer's end of stream next."""
        return self._incoming.at_end

    @property
    def unsent(self) -> int:
        """Bytes that were sent and that the peer has not read yet."""
        return self._outgoing.pending

    # -- what can be done ----------------------------------------------------------------------

    def send(self, data: bytes | memoryview) -> int:
        """Send as much of *data* as there is space for.

        :param data: the bytes to send.
        :returns: how many bytes were taken, which may be 0.
        :raises OSError: EBADF: this end is closed. EPIPE: this end was shut down, or the peer has
            ended its stream and then closed. ECONNRESET or another: the connection broke.
        """
        self._check_open()
        if self.error is not None:
            raise _fresh(self.error)
        if self._shut:
            raise _error(errno.EPIPE)
        return self._outgoing.send(data)

    def recv(self, limit: int = _PIECE) -> bytes | None:
        """Read what has arrived.

        :param limit: how many bytes at most.
        :returns: up to *limit* bytes; ``b""`` at the peer's end of stream; None if nothing has
            arrived yet.
        :raises OSError: EBADF: this end is closed. ECONNRESET or another: the connection broke, and
            everything that had arrived was read.
        """
        self._check_open()
        if self._incoming.readable:
            return self._incoming.read(limit)
        if self._incoming.at_end:
            return b""
        if self.error is not None:
            raise _fresh(self.error)
        return None

    def shutdown(self) -> None:
        """Send the end of stream, which arrives after everything that was sent. Idempotent.

        :raises OSError: EBADF: this end is closed. ENOTCONN: the connection broke.
        """
        self._check_open()
        if self.error is not None:
            raise _error(errno.ENOTCONN)
        self._end()

    def reset(self) -> None:
        """Close this end and send the peer a reset. Idempotent; does nothing after `close`."""
        if not self.closed:
            self.closed = True
            self._incoming.discard()
            if self.error is None:
                self._outgoing.reset()
            self._gone()

    def close(self) -> None:
        """Close this end: with a reset if input is unread, else with the end of stream.

        Idempotent.
        """
        if self.closed:
            return
        if self._incoming.unread:
            self.reset()
            return
        self.closed = True
        if self.error is None:
            self._end()
        self._gone()

    def _end(self) -> None:
        if not self._shut:
            self._shut = True
            self._outgoing.end()

    def _gone(self) -> None:
        self._released()
        self.changed()

    def _check_open(self) -> None:
        if self.closed:
            raise _error(errno.EBADF)

    # -- what the pipes tell -------------------------------------------------------------------

    def changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()
        self.on_change()

    def break_off(self, code: int = errno.ECONNRESET) -> None:
        if self.error is not None or self.closed:
            return
        if code == errno.ECONNRESET and self._incoming.ended:
            # As on Linux: after the peer's end of stream, a reset means that it reads no more.
            code = errno.EPIPE
        self.error = _error(code)
        for pipe in (self._incoming, self._outgoing):
            pipe.lose()
        self.changed()

    def answer_with_reset(self) -> None:
        self._outgoing.reset()

    # -- by hand, from any event loop ----------------------------------------------------------

    async def until_readable(self) -> None:
        """Wait until `recv` gives bytes or an end of stream, or raises.

        :raises OSError: EBADF: this end was closed.
        """
        await self._until(lambda: self.readable)

    async def until_writable(self) -> None:
        """Wait until `send` takes at least one byte, or raises.

        :raises OSError: EBADF: this end was closed.
        """
        await self._until(lambda: self.writable)

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not (self.closed or ready()):
            event = Event(self._scheduler)
            self._waiting.append(event)
            await event.wait()
        self._check_open()

    async def send_all(self, data: bytes) -> None:
        """Send all of *data*, waiting for the peer to read.

        If this raises or is cancelled, part of *data* may have been sent.

        :param data: the bytes to send.
        :raises OSError: see `send`.
        """
        view = memoryview(data)
        while view:
            await self.until_writable()
            view = view[self.send(view) :]

    async def receive(self, limit: int = _PIECE) -> bytes:
        """Wait for bytes or the end of stream, and read up to *limit* bytes.

        :param limit: how many bytes at most.
        :returns: ``b""`` at the peer's end of stream. If it is cancelled, nothing is lost.
        :raises OSError: see `recv`.
        """
        while True:
            await self.until_readable()
            data = self.recv(limit)
            if data is not None:
                return data

    async def receive_exactly(self, size: int) -> bytes:
        """Wait for *size* bytes, and read them.

        If this raises or is cancelled, the bytes that it has read are lost.

        :param size: how many bytes.
        :raises EOFError: the stream ended before *size* bytes.
        :raises OSError: see `recv`.
        """
        data = bytearray()
        while len(data) < size:
            piece = await self.receive(size - len(data))
            if not piece:
                raise EOFError(f"the stream ended after {len(data)} of {size} bytes")
            data += piece
        return bytes(data)

    async def receive_all(self) -> bytes:
        """Wait for the end of stream, and give everything that came before it.

        If this raises or is cancelled, the bytes that it has read are lost.

        :raises OSError: see `recv`.
        """
        data = bytearray()
        while True:
            piece = await self.receive()
            if not piece:
                return bytes(data)
            data += piece

    def __enter__(self) -> End:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<End {self.name} of a connection with {self.peer}>"


class Wire:
    """A connection, with its two ends and two pipes.

    :param name: the name that is connected to.
    :param number: how many connections to this name were made before.
    :param up: the conditions from the connecting end to the listening end.
    :param down: the conditions of the way back.
    :param released: is called with the wire each time that one of its ends was closed.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        name: str,
        number: int,
        up: Conditions,
        down: Conditions,
        released: Callable[[Wire], object],
    ) -> None:
        self.name = name
        self.number = number
        self.up: Pipe = Pipe(scheduler, up)
        self.down: Pipe = Pipe(scheduler, down)
        server, client = Memory(name), Memory(f"{name}~{number}")
        gone = partial(released, self)
        self.client: End = End(scheduler, client, server, self.down, self.up, gone)
        self.server: End = End(scheduler, server, client, self.up, self.down, gone)
        for pipe in (self.up, self.down):
            pipe.break_if_due()

    def ends(self) -> list[End]:
        """The ends that are still open."""
        return [end for end in (self.client, self.server) if not end.closed]


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def _fresh(error: OSError) -> OSError:
    """A new exception for the same failure, so that tracebacks of earlier raises do not add up."""
    return OSError(error.errno, error.strerror)
