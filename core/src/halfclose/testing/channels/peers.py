"""The other end of a connection, driven by the test and by no backend."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ...backend import Backend
from ...endpoints import Endpoint

__all__ = ["LIMIT", "RawListener", "RawPeer"]

LIMIT = 10.0
"""Seconds that the test waits for anything; then the rule has failed."""


class RawPeer(ABC):
    """The raw other end of one connection. Close it when done: it is a context manager.

    Whatever it waits for, it waits `LIMIT` seconds at most, and then raises AssertionError.

    :param backend: the one in whose loop the test waits for this peer; it may be replaced.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    # -- at once -------------------------------------------------------------------------------

    def send_now(self, data: bytes) -> None:
        """Send *data*, which is small.

        :raises AssertionError: it does not fit.
        """
        sent = self.send_some(data)
        assert sent == len(data), f"the raw peer could send {sent} bytes of {len(data)}"

    @abstractmethod
    def send_some(self, data: bytes) -> int:
        """Send as much of *data* as fits now, and give how much that was.

        :raises ConnectionError: the other end is gone.
        """

    @abstractmethod
    def receive_now(self, limit: int) -> bytes | None:
        """Up to *limit* bytes of what is there; ``b""`` at the end of stream; None: nothing yet.

        :raises ConnectionResetError: the connection was reset.
        """

    @abstractmethod
    def rest(self) -> tuple[bytes, str]:
        """`read_all` for when the loop is over, and the other end with it."""

    @abstractmethod
    def shutdown(self) -> None:
        """Send the end of stream and go on reading."""

    @abstractmethod
    def stop_reading(self) -> None:
        """Read no more; where the other end can be told of that, it is."""

    @abstractmethod
    def reset(self) -> None:
        """End the connection so that the other end sees a reset, and close.

        On a unix socket by closing with the other end's bytes unread: there must be some, see
        `until_input`.
        """

    @abstractmethod
    def reset_unseen(self) -> None:
        """`reset`, and somebody takes the error from the other end's kernel, as a failed send does.

        From here on the other end is only told that it is not connected.
        """

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent."""

    # -- what is known -------------------------------------------------------------------------

    @property
    @abstractmethod
    def address(self) -> Endpoint:
        """This end, as the other end sees it."""

    @property
    @abstractmethod
    def other_address(self) -> Endpoint:
        """The other end, as this end sees it."""

    @abstractmethod
    def holdings(self) -> set[object]:
        """What of `ChannelType.holdings` is this end."""

    def unread(self) -> int:
        """Bytes that have reached this end and were not read; 0 if that cannot be told."""
        return 0

    def narrow(self, size: int) -> None:  # noqa: B027 - nothing to do where it has no size
        """Let about *size* bytes wait at this end; what more is sent waits at the other."""

    # -- waiting -------------------------------------------------------------------------------

    @abstractmethod
    async def send(self, data: bytes) -> int:
        """Send *data*, however slowly the other end reads.

        :returns: how much went out before the other end went away; all of it, if it did not.
        """

    @abstractmethod
    async def until_input(self) -> None:
        """Wait until there is something to read, and leave it there."""

    @abstractmethod
    async def receive(self, limit: int) -> bytes:
        """Wait for something to read: up to *limit* bytes of it, ``b""`` at the end of stream.

        :raises ConnectionResetError: the connection was reset.
        """

    async def read_all(self) -> tuple[bytes, str]:
        """Everything until the end, and how it ended: "eof" or "reset"."""
        data = bytearray()
        try:
            while piece := await self.receive(1 << 18):
                data += piece
        except (ConnectionResetError, BrokenPipeError):
            return bytes(data), "reset"
        return bytes(data), "eof"

    async def read_to_eof(self) -> bytes:
        """Everything until a clean end of stream.

        :raises AssertionError: it ended in a reset.
        """
        data, end = await self.read_all()
        assert end == "eof", (
            f"the raw peer read {len(data)} bytes and then a {end}, not a clean EOF"
        )
        return data

    async def read_exactly(self, size: int) -> bytes:
        """*size* bytes.

        :raises AssertionError: the stream ended before.
        :raises ConnectionResetError: the connection was reset before.
        """
        data = bytearray()
        while len(data) < size:
            piece = await self.receive(size - len(data))
            assert piece, f"EOF after {len(data)} of {size} bytes"
            data += piece
        return bytes(data)

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class RawListener(ABC):
    """Listens by no backend. It is a context manager."""

    endpoint: Endpoint
    """Where."""

    @abstractmethod
    async def accept(self) -> RawPeer:
        """Wait for a connection, and give this end of it.

        :raises AssertionError: none came within `LIMIT` seconds.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop listening. Idempotent."""

    def __enter__(self) -> RawListener:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
