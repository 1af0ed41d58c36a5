"""The other end: plain sockets and pipes, driven by the test and by no backend.

Calls that can block run in a thread and give up after `LIMIT` seconds, as a failure of the rule.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from abc import ABC, abstractmethod

from ..backend import Backend
from .threads import in_thread

__all__ = ["LIMIT", "PipePeer", "RawPeer", "SocketPeer"]

LIMIT = 10.0
"""Seconds that the test waits for anything; then the rule has failed."""


class RawPeer(ABC):
    """The raw other end of one connection. Close it when done: it is a context manager."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    # -- without blocking ----------------------------------------------------------------------

    @abstractmethod
    def send_now(self, data: bytes) -> None:
        """Put *data*, which is small, into the kernel."""

    @abstractmethod
    def shutdown(self) -> None:
        """Send the end of stream and go on reading."""

    @abstractmethod
    def reset(self) -> None:
        """End the connection so that the other end sees a reset, and close.

        On a unix socket by closing with the other end's bytes unread: there must be some, see
        `until_input`.
        """

    @abstractmethod
    def wait_for_input(self) -> None:
        """Block until there is something to read, and leave it there."""

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent."""

    # -- blocking, for threads -----------------------------------------------------------------

    @abstractmethod
    def send_blocking(self, data: bytes) -> int:
        """Send *data*; return how much went out before the other end went away."""

    @abstractmethod
    def recv_blocking(self, limit: int) -> bytes:
        """Up to *limit* bytes, ``b""`` at the end of stream.

        :raises ConnectionResetError: the connection was reset.
        """

    def read_all_blocking(self) -> tuple[bytes, str]:
        """Everything until the end, and how it ended: "eof" or "reset"."""
        data = bytearray()
        while True:
            try:
                piece = self.recv_blocking(1 << 18)
            except (ConnectionResetError, BrokenPipeError):
                return bytes(data), "reset"
            if not piece:
                return bytes(data), "eof"
            data += piece

    # -- asynchronous --------------------------------------------------------------------------

    async def send(self, data: bytes) -> int:
        """Send *data*, however long the other end takes; return how much went out."""
        return await in_thread(self.backend, self.send_blocking, data)

    async def until_input(self) -> None:
        """Wait until there is something to read, and leave it there."""
        await in_thread(self.backend, self.wait_for_input)

    async def read_all(self) -> tuple[bytes, str]:
        """Everything until the end, and how it ended: "eof" or "reset"."""
        return await in_thread(self.backend, self.read_all_blocking)

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
        """

        def read() -> bytes:
            data = bytearray()
            while len(data) < size:
                piece = self.recv_blocking(size - len(data))
                assert piece, f"EOF after {len(data)} of {size} bytes"
                data += piece
            return bytes(data)

        return await in_thread(self.backend, read)

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class SocketPeer(RawPeer):
    """A blocking TCP or unix socket."""

    def __init__(self, backend: Backend, sock: socket.socket) -> None:
        super().__init__(backend)
        self.sock = sock
        sock.settimeout(LIMIT)

    def send_now(self, data: bytes) -> None:
        assert self.sock.send(data) == len(data)

    def shutdown(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        if self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            ready, _, _ = select.select([self.sock], [], [], 0)
            assert ready, "nothing unread: a unix socket cannot be reset so; see until_input"
        self.sock.close()

    def wait_for_input(self) -> None:
        ready, _, _ = select.select([self.sock], [], [], LIMIT)
        assert ready, "the raw peer waited in vain for input"

    def close(self) -> None:
        self.sock.close()

    def send_blocking(self, data: bytes) -> int:
        sent = 0
        view = memoryview(data)
        try:
            while sent < len(data):
                sent += self.sock.send(view[sent : sent + (1 << 18)])
        except (BrokenPipeError, ConnectionResetError):
            pass
        return sent

    def recv_blocking(self, limit: int) -> bytes:
        return self.sock.recv(limit)


class PipePeer(RawPeer):
    """What stands at the other ends of our standard input and output: two pipes."""

    def __init__(self, backend: Backend, to_stdin: int, from_stdout: int) -> None:
        super().__init__(backend)
        self.to_stdin: int | None = to_stdin
        self.from_stdout: int | None = from_stdout

    def send_now(self, data: bytes) -> None:
        assert self.to_stdin is not None
        assert os.write(self.to_stdin, data) == len(data)

    def shutdown(self) -> None:
        if self.to_stdin is not None:
            os.close(self.to_stdin)
            self.to_stdin = None

    def stop_reading(self) -> None:
        """Go away as the reader of our standard output (rule PIP-04)."""
        if self.from_stdout is not None:
            os.close(self.from_stdout)
            self.from_stdout = None

    def reset(self) -> None:
        raise NotImplementedError("a pipe has no reset")

    def wait_for_input(self) -> None:
        assert self.from_stdout is not None
        self._wait(self.from_stdout, write=False)

    def close(self) -> None:
        self.shutdown()
        self.stop_reading()

    def _wait(self, fd: int, write: bool) -> None:
        want: tuple[list[int], list[int], list[int]]
        want = ([], [fd], []) if write else ([fd], [], [])
        if not any(select.select(*want, LIMIT)):
            raise TimeoutError("the raw pipe peer waited in vain")

    def send_blocking(self, data: bytes) -> int:
        assert self.to_stdin is not None
        os.set_blocking(self.to_stdin, False)
        sent = 0
        end = time.monotonic() + 4 * LIMIT
        while sent < len(data):
            assert time.monotonic() < end
            self._wait(self.to_stdin, write=True)
            try:
                sent += os.write(self.to_stdin, data[sent : sent + 65536])
            except BlockingIOError:
                continue
            except BrokenPipeError:
                break
        return sent

    def recv_blocking(self, limit: int) -> bytes:
        assert self.from_stdout is not None
        self._wait(self.from_stdout, write=False)
        return os.read(self.from_stdout, min(limit, 1 << 18))
