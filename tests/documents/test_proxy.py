"""The proxy of docs/how-to/proxy.md keeps half-closes, back-pressure and resets."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from cli.support import accepted, dial, listening, read_all, refusing, reset, wait_until
from documents.programs import LIMIT, SOME, line_of, program, read_to_end
from warm import Fork

SIZE = 200_000


class Running:
    """The proxy, and the plain listening socket behind it."""

    def __init__(self, process: object, endpoint: str, behind: socket.socket) -> None:
        assert isinstance(process, Fork)
        self.process = process
        self.endpoint = endpoint
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
            "proxy.md", "proxy", "tcp:127.0.0.1:0", target, env={"HALFCLOSE_BACKEND": backend}
        ) as running,
    ):
        yield Running(running, line_of(running).removeprefix("listening on "), behind)


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
                "proxy.md", "proxy", "tcp:127.0.0.1:0", target, env={"HALFCLOSE_BACKEND": backend}
            ) as running,
            dial(line_of(running).removeprefix("listening on ")) as client,
        ):
            assert read_to_end(client) == (b"", "reset")


def test_sigterm_drains_and_interrupt_resets() -> None:
    with serving("anyio+asyncio") as proxy, proxy.pair() as (client, server):
        client.sendall(b"begun")
        assert server.recv(5) == b"begun"
        proxy.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not _listens(proxy.endpoint))
        client.sendall(b" and ended")
        client.shutdown(socket.SHUT_WR)
        assert read_all(server) == b" and ended"
        server.close()
        assert read_all(client) == b""
        assert proxy.process.wait(LIMIT) == 0
    with serving("anyio+asyncio") as proxy, proxy.pair() as (client, server):
        client.sendall(b"begun")
        assert server.recv(5) == b"begun"
        proxy.process.send_signal(signal.SIGINT)
        assert read_to_end(server)[1] == "reset"
        assert read_to_end(client)[1] == "reset"


def _listens(endpoint: str) -> bool:
    try:
        # Whatever the proxy makes of it ends at once.
        reset(dial(endpoint))
    except ConnectionRefusedError:
        return False
    return True
