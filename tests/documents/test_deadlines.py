"""The client and the server of docs/how-to/deadlines.md keep their deadlines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import halfclose
import pytest
from cli.support import listening
from core.support import run
from documents.blocks import example
from documents.programs import SOME, module, program_of
from documents.sessions import steps
from halfclose import Backend
from halfclose.memory import Deadlock
from halfclose.memory.wire import End
from halfclose.testing.networks import OpenNetwork, network

PAGE = "docs/how-to/deadlines.md"


@pytest.fixture
def requests() -> Any:
    return module(PAGE, "requests")


@pytest.fixture
def server() -> Any:
    return module(PAGE, "server")


async def upper(line: bytes) -> bytes:
    return line.upper()


@pytest.mark.parametrize("variant", SOME)
def test_on_sockets(requests: Any, server: Any, variant: str) -> None:
    async def main(backend: Backend) -> list[bytes]:
        listener = await backend.listen("tcp:127.0.0.1:0", lambda: server.Server(upper))
        answers: list[bytes] = await requests.main(backend, str(listener.endpoint))
        return answers

    assert run(main, variant=variant) == [b"ONE", b"TWO"]


@pytest.mark.parametrize("variant", SOME)
def test_a_late_answer_on_sockets(requests: Any, variant: str) -> None:
    with listening() as (_, endpoint):

        async def main(backend: Backend) -> None:
            client = await backend.connect(endpoint, requests.Requests)
            with pytest.raises(requests.Late, match=r"0\.05 s"):
                await client.request(b"one", 0.05)
            reason = await client.transport.whenClosed()
            assert type(reason) is halfclose.ConnectionAborted

        run(main, variant=variant)


def in_memory(test: Callable[[OpenNetwork, Any, End], Awaitable[None]], requests: Any) -> None:
    """Run *test* with a client of the page and a peer that is driven by hand."""

    async def main() -> None:
        async with network() as net:
            with net.raw_listen("server") as server:
                client = await net.backend.connect("memory:server", requests.Requests)
                with await server.accept() as peer:
                    await test(net, client, peer)

    asyncio.run(main())


def collect(net: OpenNetwork, client: Any, line: bytes, seconds: float) -> list[Any]:
    """Begin a request in a task of its own; its result, or what it raised, comes into the list."""
    results: list[Any] = []

    async def task() -> None:
        try:
            results.append(await client.request(line, seconds))
        except Exception as error:
            results.append(error)

    net.backend.start_soon(task)
    return results


def test_each_request_has_its_own_deadline(requests: Any) -> None:
    async def test(net: OpenNetwork, client: Any, peer: End) -> None:
        first, second = collect(net, client, b"one", 10), collect(net, client, b"two", 20)
        await net.advance(9)
        assert peer.recv(100) == b"one\ntwo\n"
        peer.send(b"ONE\nTW")
        await net.advance(10)
        assert (first, second) == ([b"ONE"], [])
        third = collect(net, client, b"three", 10)
        await net.advance(2)
        assert type(second[0]) is requests.Late
        # The one in time has nothing against it, but the connection is gone.
        assert type(third[0]) is requests.Lost
        assert type(third[0].__cause__) is halfclose.ConnectionAborted
        assert peer.recv(100) == b"three\n"
        with pytest.raises(ConnectionResetError):
            peer.recv(1)
        with pytest.raises(requests.Lost, match="no more requests"):
            await client.request(b"four", 1)

    in_memory(test, requests)


def test_the_end_of_requests_is_not_the_end_of_answers(requests: Any) -> None:
    async def test(net: OpenNetwork, client: Any, peer: End) -> None:
        first = collect(net, client, b"one", 10)
        await net.advance(0)
        client.finish()
        assert await peer.receive_all() == b"one\n"
        await peer.send_all(b"ONE\n")
        peer.shutdown()
        assert type(await client.transport.whenClosed()) is halfclose.ConnectionDone
        await net.advance(0)
        assert first == [b"ONE"]

    in_memory(test, requests)


def test_an_end_in_the_middle_is_no_answer(requests: Any) -> None:
    for end in ("shutdown", "reset"):

        async def test(net: OpenNetwork, client: Any, peer: End, end: str = end) -> None:
            first = collect(net, client, b"one", 10)
            await net.advance(0)
            assert peer.recv(100) == b"one\n"
            peer.send(b"ON")
            getattr(peer, end)()
            await net.advance(0)
            assert type(first[0]) is requests.Lost

        in_memory(test, requests)


def test_the_answer_to_a_cancelled_request_is_not_taken_for_the_next(requests: Any) -> None:
    async def main() -> None:
        async with halfclose.open_backend() as backend:
            listener = await backend.listen("tcp:127.0.0.1:0", lambda: Slow(1))
            client = await backend.connect(listener.endpoint, requests.Requests)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.request(b"one", 30)
            assert await client.request(b"two", 30) == b"two"

    asyncio.run(main())


class Slow(halfclose.Protocol):
    """Answers the first lines only when another one has come."""

    def __init__(self, held: int) -> None:
        self.held = held
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if self.data.count(b"\n") > self.held:
            self.transport.write(self.data)


def test_the_server_answers_in_time_and_in_order(server: Any) -> None:
    async def main() -> None:
        async with network() as net:

            async def work(line: bytes) -> bytes:
                if line == b"fail":
                    raise ValueError("no")
                await net.backend.sleep(float(line))
                return line

            await net.backend.listen("memory:server", lambda: server.Server(work))
            with await net.raw("server") as peer:
                # What takes 3 seconds ends while the one after it is worked on.
                await peer.send_all(b"1\n3\n1.5\nfail\n0\n")
                peer.shutdown()
                begun = net.clock
                answers = await peer.receive_all()
                assert answers == b"1\nerror: too slow\n1.5\nerror: failed\n0\n"
                assert net.clock - begun == pytest.approx(4.5, abs=0.1)
            [error] = net.flush_failures(ValueError)
            assert str(error) == "no"

    asyncio.run(main())


def test_the_deadline_of_ask(tmp_path: Path) -> None:
    (tmp_path / "ask.py").write_text(example("docs/how-to/await-an-answer.md", "ask"))
    [(command, [shown])] = steps(PAGE, "within")
    assert command == "python within.py tcp:127.0.0.1:9002"
    assert "within 2.5 s" in shown
    # Not to wait that long.
    source = example(PAGE, "within").replace("seconds=2.5", "seconds=0.2")
    with listening() as (_, endpoint), program_of(source, endpoint, cwd=tmp_path) as client:
        assert client.line() == shown.replace("within 2.5 s", "within 0.2 s")
        assert client.end().status == 0


def test_in_memory_the_deadline_of_asyncio_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ask", module("docs/how-to/await-an-answer.md", "ask"))
    ask_within = module(PAGE, "with_asyncio").ask_within

    async def main() -> None:
        async with network() as net:
            with net.raw_listen("silent"), pytest.raises(Deadlock):
                await ask_within(net.backend, "memory:silent", b"question", 1)

    asyncio.run(main())


def test_the_deadline_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ask", module("docs/how-to/await-an-answer.md", "ask"))
    ask_within = module(PAGE, "with_asyncio").ask_within

    async def main() -> None:
        with listening() as (_, endpoint):
            async with halfclose.open_backend() as backend:
                with pytest.raises(TimeoutError):
                    await ask_within(backend, endpoint, b"question", 0.05)

    asyncio.run(main())
