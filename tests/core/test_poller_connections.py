"""What the poller spares its short connections."""

from __future__ import annotations

import gc
import socket
import weakref

import pytest
from core.support import VARIANTS, EchoBack, Recorder, run, until
from halfclose import TCP, Backend, Transport

pytestmark = pytest.mark.parametrize("variant", VARIANTS)


def test_the_end_of_stream_is_told_in_the_turn_of_what_was_before_it(variant: str) -> None:
    class Paused(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.pauseProducing()

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            backends[0].call_soon_threadsafe(self.events.append, "next turn")

    backends: list[Backend] = []
    server = Paused()

    async def main(backend: Backend) -> None:
        backends.append(backend)
        async with await backend.listen(TCP("127.0.0.1", 0), lambda: server) as listener:
            assert isinstance(listener.endpoint, TCP)
            with socket.create_connection(("127.0.0.1", listener.endpoint.port)) as raw:
                raw.sendall(b"request")
                raw.shutdown(socket.SHUT_WR)
                await until(backend, lambda: server.events)
                server.transport.resumeProducing()
                await until(backend, lambda: "next turn" in server.events)

    run(main, variant=variant)
    assert server.events[:4] == ["made", "data", "read", "next turn"]


def test_what_is_lost_is_freed_without_the_garbage_collector(variant: str) -> None:
    ends: list[weakref.ref[Transport]] = []

    class Noted(EchoBack):
        def connectionMade(self) -> None:
            ends.append(weakref.ref(self.transport))

    async def main(backend: Backend) -> None:
        async with await backend.listen(TCP("127.0.0.1", 0), Noted) as listener:
            assert isinstance(listener.endpoint, TCP)
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", listener.endpoint.port)) as raw:
                    raw.sendall(b"hello")
                    raw.shutdown(socket.SHUT_WR)
                    raw.settimeout(0)
                    await until(backend, lambda: ended(raw))
            await until(backend, lambda: len(ends) == 3)
            await until(backend, lambda: all(end() is None for end in ends))

    gc.disable()
    try:
        run(main, variant=variant)
    finally:
        gc.enable()


def ended(raw: socket.socket) -> bool:
    """Whether *raw* has been read to its end of stream."""
    try:
        return raw.recv(100) == b""
    except BlockingIOError:
        return False
