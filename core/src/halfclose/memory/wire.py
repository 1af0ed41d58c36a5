"""A connection of the network: two ends, and two pipes between them.

It behaves as TCP does where the contract can tell: what has arrived can be read before an end of
stream or a failure; closing with something unread answers with a reset; so does a closed end to
what still comes; and a reset after an end of stream is a broken pipe (EPIPE), as on Linux.
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
    """Nobody wants to hear of changes."""


class End(PipeEnd):
    """One end of a connection, like a non-blocking socket.

    `send`, `recv`, `shutdown`, `reset` and `close` never wait. The asynchronous methods do, in any
    event loop: they are for tests that drive an end by hand. Close it when done: it is a context
    manager.

    :param name: this end's address.
    :param peer: the other's.
    :param incoming: what the peer sends.
    :param outgoing: what we send.
    :param released: called when the end was closed.
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
        """What broke the connection, once that has arrived; `send` and `recv` raise it."""
        self.closed = False
        """Whether `close` or `reset` was called."""
        self.on_change: Callable[[], object] = _nothing
        """Called after each change from below: bytes or an end of stream arrived, space was made,
        the connection broke. It must raise nothing, and is called inside the other end's calls
        too: it should only note the change, with `Scheduler.serve`."""
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
        """Whether `recv` has something to give or to raise."""
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
        """Whether the peer's end of stream is what `recv` gives next."""
        return self._incoming.at_end

    @property
    def unsent(self) -> int:
        """Bytes that were sent and that the peer has not read."""
        return self._outgoing.pending

    # -- what can be done ----------------------------------------------------------------------

    def send(self, data: bytes | memoryview) -> int:
        """Take as much of *data* as there is space for, and give how much that was; perhaps 0.

        :raises OSError: EBADF: it is closed; EPIPE: it is shut down, or the peer, having ended its
            stream, is gone; ECONNRESET or another: the connection broke.
        """
        self._check_open()
        if self.error is not None:
            raise _fresh(self.error)
        if self._shut:
            raise _error(errno.EPIPE)
        return self._outgoing.send(data)

    def recv(self, limit: int = _PIECE) -> bytes | None:
        """Up to *limit* bytes; ``b""`` at the peer's end of stream; None if there is nothing yet.

        :raises OSError: EBADF: it is closed; ECONNRESET or another: the connection broke, and
            all that had arrived was read.
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
        """Send the end of stream, after everything that was sent. Idempotent.

        :raises OSError: EBADF: it is closed; ENOTCONN: the connection broke.
        """
        self._check_open()
        if self.error is not None:
            raise _error(errno.ENOTCONN)
        self._end()

    def reset(self) -> None:
        """End the connection at once, so that the peer sees a reset. A no-op once it is closed."""
        if not self.closed:
            self.closed = True
            self._incoming.discard()
            if self.error is None:
                self._outgoing.reset()
            self._gone()

    def close(self) -> None:
        """Release the end: by a reset if something is unread, else by the end of stream.

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
            # As on Linux: who has got the peer's end of stream learns that nobody reads.
            code = errno.EPIPE
        self.error = _error(code)
        for pipe in (self._incoming, self._outgoing):
            pipe.lose()
        self.changed()

    def answer_with_reset(self) -> None:
        self._outgoing.reset()

    # -- by hand, from any event loop ----------------------------------------------------------

    async def until_readable(self) -> None:
        """Wait until `recv` has something to give or to raise; it may be an end of stream.

        :raises OSError: EBADF: it was closed.
        """
        await self._until(lambda: self.readable)

    async def until_writable(self) -> None:
        """Wait until `send` takes something, or raises.

        :raises OSError: EBADF: it was closed.
        """
        await self._until(lambda: self.writable)

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not (self.closed or ready()):
            event = Event(self._scheduler)
            self._waiting.append(event)
            await event.wait()
        self._check_open()

    async def send_all(self, data: bytes) -> None:
        """Send *data*, waiting for the peer to read.

        :raises OSError: see `send`; part of it may have been sent.
        """
        view = memoryview(data)
        while view:
            await self.until_writable()
            view = view[self.send(view) :]

    async def receive(self, limit: int = _PIECE) -> bytes:
        """Up to *limit* bytes, waiting for them; ``b""`` at the end of stream.

        :raises OSError: see `recv`.
        """
        while True:
            await self.until_readable()
            data = self.recv(limit)
            if data is not None:
                return data

    async def receive_exactly(self, size: int) -> bytes:
        """*size* bytes.

        :raises EOFError: the stream ended before.
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
        """Everything until the end of stream.

        :raises OSError: see `recv`; what came before is lost.
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
    """Makes a connection.

    :param number: which one to its name it is, from 0.
    :param up: the conditions of what goes from who connected to who listens.
    :param down: those of the way back.
    :param released: called with it each time that one of its ends was closed.
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
        self.up = Pipe(scheduler, up)
        self.down = Pipe(scheduler, down)
        server, client = Memory(name), Memory(f"{name}~{number}")
        gone = partial(released, self)
        self.client = End(scheduler, client, server, self.down, self.up, gone)
        self.server = End(scheduler, server, client, self.up, self.down, gone)
        for pipe in (self.up, self.down):
            pipe.break_if_due()

    def ends(self) -> list[End]:
        """The ends that were not closed."""
        return [end for end in (self.client, self.server) if not end.closed]


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def _fresh(error: OSError) -> OSError:
    """The same failure, with no traceback of an earlier raise."""
    return OSError(error.errno, error.strerror)
