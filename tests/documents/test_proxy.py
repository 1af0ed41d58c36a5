"""The proxy of docs/how-to/proxy.md keeps half-closes, back-pressure and resets."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from cli.support import (
    LIMIT,
    Command,
    accepted,
    dial,
    listening,
    read_all,
    read_to_end,
    refusing,
    reset,
    wait_until,
)
from documents.programs import SOME, module, program
from halfclose.memory.wire import End
from halfclose.testing.networks import OpenNetwork, network

PAGE = "docs/how-to/proxy.md"

SIZE = 200_000


class Running:
    """The proxy, and the plain listening socket behind it."""

    def __init__(self, command: Command, behind: socket.socket) -> None:
        self.command = command
        self.endpoint = command.line().removeprefix("listening on ")
        self._behind = behind

    @contextmanager
    def pair(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A client, and the server's end of what the proxy makes of it."""
        with dial(self.endpoint) as client, accepted(self._behind) as server:
            yield client, server


@contextmanager
def serving(backend: str) -> Iterator[Running]:
    with (
        listening() as (behind, target),
        program(
            PAGE, "proxy", "tcp:127.0.0.1:0", target, env={"HALFCLOSE_BACKEND": backend}
        ) as running,
    ):
        yield Running(running, behind)


@pytest.fixture(params=SOME)
def proxy(request: pytest.FixtureRequest) -> Iterator[Running]:
    with serving(request.param) as running:
        yield running


def test_half_closes_pass_both_ways(proxy: Running) -> None:
    with proxy.pair() as (client, server):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_all(server) == b"question"
        server.sendall(b"a" * SIZE)
        server.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"a" * SIZE
    with proxy.pair() as (client, server):
        server.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
        client.sendall(b"upload")
        client.shutdown(socket.SHUT_WR)
        assert read_all(server) == b"upload"


def test_a_reset_of_either_side_is_a_reset_of_the_other(proxy: Running) -> None:
    for side in (0, 1):
        for ended in (False, True):
            with proxy.pair() as both:
                near, far = both[side], both[1 - side]
                far.sendall(b"first")
                if ended:
                    far.shutdown(socket.SHUT_WR)
                received = b""
                while len(received) < 5:
                    received += near.recv(5)
                near.sendall(b"x" * SIZE)
                reset(near)
                data, end = read_to_end(far)
                assert end == "reset", (side, ended)
                assert data == b"x" * len(data)


def test_a_slow_reader_stops_the_sender_on_the_other_side(proxy: Running) -> None:
    for side in (0, 1):
        with proxy.pair() as both:
            near, far = both[side], both[1 - side]
            near.settimeout(0.3)
            sent = 0
            with suppress(TimeoutError):
                while sent < 64 << 20:
                    sent += near.send(b"x" * 65536)
            assert sent < 64 << 20
            near.settimeout(LIMIT)
            near.shutdown(socket.SHUT_WR)
            assert len(read_all(far)) == sent


def test_a_target_that_refuses_is_a_reset() -> None:
    for backend in SOME:
        with (
            refusing() as target,
            program(
                PAGE, "proxy", "tcp:127.0.0.1:0", target, env={"HALFCLOSE_BACKEND": backend}
            ) as running,
        ):
            endpoint = running.line().removeprefix("listening on ")
            try:
                client = dial(endpoint)
            except ConnectionResetError:
                continue  # So early that connecting has heard of it already.
            with client:
                assert read_to_end(client) == (b"", "reset")


def test_sigterm_drains_and_interrupt_resets() -> None:
    with serving("anyio+asyncio") as proxy, proxy.pair() as (client, server):
        client.sendall(b"begun")
        assert server.recv(5) == b"begun"
        proxy.command.send(signal.SIGTERM)
        wait_until(lambda: not _listens(proxy.endpoint))
        client.sendall(b" and ended")
        client.shutdown(socket.SHUT_WR)
        assert read_all(server) == b" and ended"
        server.close()
        assert read_all(client) == b""
        assert proxy.command.end().status == 0
    with serving("anyio+asyncio") as proxy, proxy.pair() as (client, server):
        client.sendall(b"begun")
        assert server.recv(5) == b"begun"
        proxy.command.send(signal.SIGINT)
        assert read_to_end(server)[1] == "reset"
        assert read_to_end(client)[1] == "reset"
        assert "Traceback" not in proxy.command.end().err


def test_a_process_that_is_killed_ends_as_if_it_were_complete() -> None:
    """What no proxy can prevent, and the page says."""
    with serving("anyio+asyncio") as proxy, proxy.pair() as (client, server):
        client.sendall(b"begun")
        assert server.recv(5) == b"begun"
        proxy.command.process.kill()
        assert read_to_end(server) == read_to_end(client) == (b"", "eof")


async def _pair_in_memory(net: OpenNetwork, target: str = "memory:target") -> tuple[Any, End]:
    """The proxy on the network's backend, and a client of it."""
    made = module(PAGE, "proxy").Proxy(target)
    await net.backend.listen("memory:proxy", made.accept)
    return made, await net.raw("proxy")


def test_in_memory_a_target_that_does_not_answer() -> None:
    async def main() -> None:
        async with network() as net:
            net.black_hole("target")
            made, client = await _pair_in_memory(net)
            with client:
                await net.advance(9)
                assert client.recv(1) is None
                await net.advance(2)
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            assert not made.open

    asyncio.run(main())


def test_in_memory_a_client_that_is_lost_while_the_proxy_connects() -> None:
    async def main() -> None:
        async with network(latency=1) as net:
            with net.raw_listen("target") as target:
                made, client = await _pair_in_memory(net)
                await net.advance(0)
                client.reset()
                with await target.accept() as server:
                    await net.advance(5)
                    with pytest.raises(ConnectionResetError):
                        server.recv(1)
                assert not made.open
                assert net.ends() == []

    asyncio.run(main())


@pytest.mark.parametrize("drains", [True, False])
def test_in_memory_leaving_in_the_middle(drains: bool) -> None:
    """Without `drain`, what is cut off looks complete: the page says so."""

    async def main() -> None:
        async with network() as net:
            with net.raw_listen("target") as target:
                made, client = await _pair_in_memory(net)
                server = await target.accept()
                await client.send_all(b"begun")
                assert await server.receive_exactly(5) == b"begun"
                if drains:
                    await made.drain(net.backend, 10)
        with client, server:
            if drains:
                with pytest.raises(ConnectionResetError):
                    server.recv(1)
            else:
                assert server.recv(1) == b""

    asyncio.run(main())


def _listens(endpoint: str) -> bool:
    try:
        # Whatever the proxy makes of it ends at once.
        reset(dial(endpoint))
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        pass  # It came while the listener was closed, which the next one will see.
    return True
