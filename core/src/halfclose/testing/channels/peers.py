"""Raw peers: the other ends of connections, which the test drives without any backend."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ...backend import Backend
from ...endpoints import Endpoint

__all__ = ["LIMIT", "RawListener", "RawPeer"]

LIMIT = 10.0
"""Seconds that a test waits for anything before the rule has failed."""


class RawPeer(ABC):
    """The raw other end of one connection. Close it when done: it is a context manager.

    Each method that waits raises AssertionError after ten seconds.

    :param backend: the backend in whose loop the test waits for this peer; the attribute may be
        replaced by another backend.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    # -- at once -------------------------------------------------------------------------------

    def send_now(self, data: bytes) -> None:
        """Send *data*, which has to be small enough to fit at once.

        :param data: the bytes to send.
        :raises AssertionError: it does not fit.
        """
        sent = self.send_some(data)
        assert sent == len(data), f"the raw peer could send {sent} bytes of {len(data)}"

    @abstractmethod
    def send_some(self, data: bytes) -> int:
        """Send as much of *data* as fits now.

        :param data: the bytes to send.
        :returns: how many bytes that was.
        :raises ConnectionError: the other end is gone.
        """

    @abstractmethod
    def receive_now(self, limit: int) -> bytes | None:
        """Read up to *limit* bytes of what is there, without waiting.

        :param limit: how many bytes at most.
        :returns: the bytes; ``b""`` at the end of stream; None: there is nothing yet.
        :raises ConnectionResetError: the connection was reset.
        """

    @abstractmethod
    def rest(self) -> tuple[bytes, str]:
        """Read everything until the end, as `read_all` does, after the loop and our end are
        gone."""

    @abstractmethod
    def shutdown(self) -> None:
        """Send the end of stream and go on reading."""

    @abstractmethod
    def stop_reading(self) -> None:
        """Read no more, and tell the other end so where there is a way to."""

    @abstractmethod
    def reset(self) -> None:
        """Close the connection so that the other end sees a reset.

        A unix socket sends a reset only if it is closed with unread input. So wait for some first,
        by `until_input`.
        """

    @abstractmethod
    def reset_unseen(self) -> None:
        """Do what `reset` does, and take the error out of the other end's socket, as a failed send
        would.

        From then on the other end only learns that it is not connected.
        """

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent."""

    # -- what is known -------------------------------------------------------------------------

    @property
    @abstractmethod
    def address(self) -> Endpoint:
        """This end's address, as the other end sees it."""

    @property
    @abstractmethod
    def other_address(self) -> Endpoint:
        """The other end's address, as this end sees it."""

    @abstractmethod
    def holdings(self) -> set[object]:
        """This end's part of `ChannelType.holdings`."""

    def unread(self) -> int:
        """How many bytes have reached this end and are unread; 0 where that cannot be told."""
        return 0

    def narrow(self, size: int) -> None:  # noqa: B027 - not every peer has a buffer to set
        """Make the input buffer of this end about *size* bytes; more has to wait at the other.

        :param size: bytes that the buffer is to hold.
        """

    # -- waiting -------------------------------------------------------------------------------

    @abstractmethod
    async def send(self, data: bytes) -> int:
        """Send *data*, however slowly the other end reads, or until the other end goes away.

        :param data: the bytes to send.
        :returns: how many bytes were sent.
        """

    @abstractmethod
    async def until_input(self) -> None:
        """Wait until there is something to read, but do not read it."""

    @abstractmethod
    async def receive(self, limit: int) -> bytes:
        """Wait for something to read, and read up to *limit* bytes of it.

        :param limit: how many bytes at most.
        :returns: the bytes; ``b""`` at the end of stream.
        :raises ConnectionResetError: the connection was reset.
        """

    async def read_all(self) -> tuple[bytes, str]:
        """Read everything until the end.

        :returns: the bytes, and how the stream ended: "eof" or "reset".
        """
        data = bytearray()
        try:
            while piece := await self.receive(1 << 18):
                data += piece
        except (ConnectionResetError, BrokenPipeError):
            return bytes(data), "reset"
        return bytes(data), "eof"

    async def read_to_eof(self) -> bytes:
        """Read everything until a clean end of stream.

        :raises AssertionError: the stream ended by a reset.
        """
        data, end = await self.read_all()
        assert end == "eof", (
            f"the raw peer read {len(data)} bytes and then a {end}, not a clean EOF"
        )
        return data

    async def read_exactly(self, size: int) -> bytes:
        """Read *size* bytes.

        :param size: how many bytes.
        :raises AssertionError: the stream ended before that many came.
        :raises ConnectionResetError: the connection was reset before that many came.
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
    """A listener without any backend. Close it when done: it is a context manager."""

    endpoint: Endpoint
    """The endpoint that it listens on."""

    @abstractmethod
    async def accept(self) -> RawPeer:
        """Wait for a connection, and give the raw peer at this end of it.

        :raises AssertionError: none came within `LIMIT` seconds.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop listening. Idempotent."""

    def __enter__(self) -> RawListener:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
