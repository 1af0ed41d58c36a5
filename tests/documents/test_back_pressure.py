"""The examples of docs/how-to/back-pressure.md need no more memory than the page says."""

from __future__ import annotations

import asyncio
import signal
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import halfclose
import pytest
from cli.support import LIMIT, dial, read_all, reset
from core.support import run, until
from documents.blocks import ROOT
from documents.programs import SOME, module, program
from halfclose import Backend, HalfCloseableProtocol
from halfclose.testing import network
from halfclose.testing.channels.sockets import SocketPeer

PAGE = "docs/how-to/back-pressure.md"

MIB = 1 << 20

SIZE = 64 * MIB


class WriteAll(HalfCloseableProtocol):
    """Writes everything at once, and ends its half."""

    def connectionMade(self) -> None:
        for _ in range(SIZE // 65536):
            self.transport.write(bytes(65536))
        self.transport.loseWriteConnection()

    def readConnectionLost(self) -> None:
        pass

    def writeConnectionLost(self) -> None:
        pass


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    with path.open("wb") as made:
        made.truncate(SIZE)
    return path


async def peak(backend: Backend, factory: Callable[[], HalfCloseableProtocol]) -> int:
    """The most memory that sending to a peer takes that begins to read late."""
    made: list[Any] = []

    def make() -> Any:
        made.append(factory())
        return made[-1]

    async with await backend.listen("tcp:127.0.0.1:0", make) as listener:
        with SocketPeer(backend, dial(str(listener.endpoint))) as peer:
            await until(backend, lambda: made and hasattr(made[0], "transport"))
            connection = made[0].transport
            # Until nothing moves: the kernel's buffers are full.
            before = -1
            while before != (before := connection.channel.unsent()) or not before:
                await backend.sleep(0.05)
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            count = 0
            while count < SIZE:
                count += len(await peer.read_exactly(min(MIB, SIZE - count)))
            assert await peer.read_to_eof() == b""
            return most


def test_a_file_is_never_in_memory(file: Path) -> None:
    send_file = module(PAGE, "file")

    def measured(factory: Callable[[], HalfCloseableProtocol]) -> int:
        tracemalloc.start()
        try:
            return run(peak, factory, variant="anyio+asyncio", limit=LIMIT)
        finally:
            tracemalloc.stop()

    assert measured(lambda: send_file.SendFile(file)) < MIB
    assert measured(WriteAll) > SIZE / 2


@pytest.mark.parametrize("variant", SOME)
def test_the_program_sends_the_whole_file(tmp_path: Path, variant: str) -> None:
    path = tmp_path / "file"
    content = bytes(range(256)) * 10_000
    path.write_bytes(content)
    env = {"HALFCLOSE_BACKEND": variant}
    with program(PAGE, "file", "tcp:127.0.0.1:0", str(path), env=env) as running:
        endpoint = running.line().removeprefix("listening on ")
        with dial(endpoint) as client:
            assert read_all(client) == content
            # It still reads: only one half has ended.
            client.sendall(b"thanks")
            client.shutdown(socket.SHUT_WR)
        with dial(endpoint) as client:
            client.recv(1000)
            reset(client)
        with dial(endpoint) as client:
            assert len(read_all(client)) == len(content)
        running.send(signal.SIGINT)
        assert running.end() == (0, b"", "")


@pytest.mark.parametrize("variant", SOME)
def test_a_file_that_cannot_be_read_is_no_short_file(file: Path, variant: str) -> None:
    class Failing(module(PAGE, "file").SendFile):  # type: ignore[misc]
        def resumeProducing(self) -> None:
            if self.file.tell():
                raise OSError("the disk is broken")
            super().resumeProducing()

    async def main(backend: Backend) -> tuple[bytes, str]:
        async with await backend.listen("tcp:127.0.0.1:0", lambda: Failing(file)) as listener:
            with SocketPeer(backend, dial(str(listener.endpoint))) as peer:
                return await peer.read_all()

    assert run(main, variant=variant)[1] == "reset"


@pytest.mark.parametrize("variant", SOME)
def test_a_slow_reader_stops_its_peer(variant: str) -> None:
    async def main(backend: Backend) -> None:
        begun, go_on = backend.create_event(), backend.create_event()
        stored = 0

        async def save(data: bytes) -> None:
            nonlocal stored
            begun.set()
            await go_on.wait()
            stored += len(data)

        store = module(PAGE, "reader").Store
        async with await backend.listen("tcp:127.0.0.1:0", lambda: store(save)) as listener:
            with SocketPeer(backend, dial(str(listener.endpoint))) as peer:
                peer.send_now(b"x")
                await begun.wait()
                tracemalloc.start()
                try:
                    sent, before = 1, 0
                    while sent != before and sent < SIZE:
                        before = sent
                        while more := peer.send_some(bytes(65536)):
                            sent += more
                        await backend.sleep(0.05)
                    assert sent < SIZE
                    assert tracemalloc.get_traced_memory()[1] < MIB
                finally:
                    tracemalloc.stop()
                peer.shutdown()
                go_on.set()
                assert await peer.read_to_eof() == b"stored\n"
                assert stored == sent

    run(main, variant=variant)


def test_what_could_not_be_stored_is_no_success() -> None:
    async def fail(data: bytes) -> None:
        raise OSError("the disk is full")

    async def main() -> None:
        async with network() as net:
            store = module(PAGE, "reader").Store
            await net.backend.listen("memory:store", lambda: store(fail))
            with await net.raw("store") as peer:
                await peer.send_all(b"x")
                await net.advance(0)
                with pytest.raises(ConnectionResetError):
                    peer.recv(1)
            assert [str(error) for error in net.flush_failures(OSError)] == ["the disk is full"]

    asyncio.run(main())


def test_a_slow_subscriber_misses_lines() -> None:
    made = module(PAGE, "feed")

    async def main() -> None:
        feed = made.Feed()
        async with network(buffer=1000) as net:
            await net.backend.listen("memory:feed", lambda: made.Subscriber(feed))
            with await net.raw("feed") as slow, await net.raw("feed") as quick:
                await net.advance(0)
                for number in range(10_000):
                    feed.publish(b"line %d\n" % number)
                    await net.advance(0)
                    while quick.recv(65536):
                        pass
                slowly = max(each.missed for each in feed.subscribers)
                assert slowly > 1000
                text = b""
                while b"missed" not in text:
                    text += await slow.receive(65536)
                assert b"(%d lines missed)\n" % slowly in text
                for peer in (slow, quick):
                    peer.shutdown()
                    await peer.receive_all()
                assert not feed.subscribers

    asyncio.run(main())


def test_the_marks_of_the_page() -> None:
    options = module(PAGE, "marks").options
    assert (options.high_water, options.low_water) == (1 << 20, 1 << 18)
    text = (ROOT / PAGE).read_text()
    assert f"| `high_water` | bytes | {halfclose.HIGH_WATER} |" in text
    assert f"| `low_water` | bytes | {halfclose.LOW_WATER} |" in text
