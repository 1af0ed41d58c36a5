"""What the tests of streams have in common, on whichever loop anyio runs."""

from __future__ import annotations

import socket
from collections.abc import Callable

import anyio
import anyio.to_thread
from core.support import Recorder

__all__ = ["MEGABYTE", "Big", "Sender", "read_all", "soon"]

MEGABYTE = 1 << 20


class Sender(Recorder):
    """Sends a lot and its end of stream."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"y" * MEGABYTE)
        self.transport.loseWriteConnection()


class Big(Recorder):
    """Writes more than a peer takes that does not read, and closes.

    :param closing: the verb by which it does; None: it stays.
    """

    def __init__(self, closing: str | None) -> None:
        super().__init__()
        self._closing = closing

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"x" * (32 * MEGABYTE))
        if self._closing is not None:
            getattr(self.transport, self._closing)()


async def soon(true: Callable[[], object]) -> None:
    """Wait until *true* says so, for as long as the program may take."""
    while not true():  # noqa: ASYNC110
        await anyio.sleep(0.002)


async def read_all(raw: socket.socket) -> bytes | None:
    """All that the raw peer reads; None if it was reset."""

    def work() -> bytes | None:
        found = bytearray()
        try:
            while data := raw.recv(1 << 16):
                found += data
        except ConnectionResetError:
            return None
        return bytes(found)

    return await anyio.to_thread.run_sync(work)
