"""How often the poller reads of one socket in a turn of the loop."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import halfclose
import pytest
from core.support import LIMIT, VARIANTS, Looks, Recorder, run, until
from halfclose import TCP, Backend
from halfclose.io.socket_channel import SocketChannel

pytestmark = pytest.mark.parametrize("variant", VARIANTS)

BULK = bytes(200_000)
"""More than the first read asks for."""


class Counting(halfclose.Protocol):
    """Paused at first; counts what comes, and how often in the turn in which it first came."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks
        self._first_look: int | None = None
        self.size = 0
        self.reads = 0

    def connectionMade(self) -> None:
        self.transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        if self._first_look is None:
            self._first_look = self._looks.count
        self.size += len(data)
        self.reads += self._looks.count == self._first_look


def reads_of_the_first_turn(variant: str, count: int, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Of *count* connections, on each of which much has arrived before one turn serves them all."""

    async def main(backend: Backend) -> set[int]:
        looks = Looks(backend)
        monkeypatch.setattr(backend, "watch", looks.watch)
        servers: list[Counting] = []

        def factory() -> Counting:
            servers.append(Counting(looks))
            return servers[-1]

        async with await backend.listen(TCP("127.0.0.1", 0), factory) as listener:
            assert isinstance(listener.endpoint, TCP)
            address = ("127.0.0.1", listener.endpoint.port)
            with ExitStack() as stack:
                for _ in range(count):
                    raw = stack.enter_context(socket.create_connection(address, LIMIT))
                    raw.sendall(BULK)
                await until(backend, lambda: len(servers) == count)
                for server in servers:
                    server.transport.resumeProducing()
                await until(backend, lambda: all(server.size == len(BULK) for server in servers))
        return {server.reads for server in servers}

    return run(main, variant=variant)


def test_what_fills_a_read_is_followed_up_once(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reads_of_the_first_turn(variant, 1, monkeypatch) == {2}


def test_where_many_are_ready_each_is_read_once(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reads_of_the_first_turn(variant, 32, monkeypatch) == {1}


class Noting(Recorder):
    """Notes, whenever something comes, whether its channel takes it for bulk."""

    def __init__(self) -> None:
        super().__init__()
        self.bulk: list[bool] = []

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        assert isinstance(self.transport, halfclose.Connection)
        assert isinstance(self.transport.channel, SocketChannel)
        self.bulk.append(self.transport.channel.bulk)


def test_it_is_bulk_until_little_comes(variant: str) -> None:
    server = Noting()

    async def main(backend: Backend) -> None:
        async with await backend.listen(TCP("127.0.0.1", 0), lambda: server) as listener:
            assert isinstance(listener.endpoint, TCP)
            with socket.create_connection(("127.0.0.1", listener.endpoint.port), LIMIT) as raw:
                raw.sendall(BULK)
                await until(backend, lambda: len(server.data) == len(BULK))
                raw.sendall(b"+")
                await until(backend, lambda: len(server.data) == len(BULK) + 1)

    run(main, variant=variant)
    assert server.bulk[0] is True
    assert server.bulk[-1] is False
