"""Leaving a backend says which connections did not end in time (END-03)."""

from __future__ import annotations

import logging
import socket
from contextlib import ExitStack

import halfclose
import pytest
from core.support import VARIANTS, Recorder, run, until
from halfclose import Backend
from halfclose.testing import network

GRACE = 0.05

NEVER_TAKEN = bytes(32 << 20)
"""More than a kernel keeps for a peer that does not read."""


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize("variant", VARIANTS)
def test_those_that_are_reset_are_told(
    variant: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[Recorder] = []

    class Stuck(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.write(NEVER_TAKEN)
            made.append(self)

    with ExitStack() as stack:
        peers: list[str] = []

        async def main(backend: Backend) -> None:
            listener = await backend.listen("tcp:127.0.0.1:0", Stuck)
            port = int(str(listener.endpoint).rpartition(":")[2])
            for _ in range(number):
                peer = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                peers.append(f"tcp:127.0.0.1:{peer.getsockname()[1]}")
                await until(backend, lambda: len(made) == len(peers))

        run(main, variant=variant, options={"grace": GRACE})

    named = ", ".join(peers[:3] + (["..."] if number > 3 else []))
    what = "1 connection" if number == 1 else f"{number} connections"
    end = "was" if number == 1 else "were"
    assert warned(caplog) == [f"{what} did not end within 0.05 s, and {end} reset: {named}"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_told_of_those_whose_bytes_are_all_with_the_kernel(
    variant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A peer that never ends its half is left after the grace too, but it loses nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        async def main(backend: Backend) -> None:
            client = await backend.connect(f"tcp:127.0.0.1:{port}", Recorder)
            client.transport.write(b"all of it")

        run(main, variant=variant, options={"grace": GRACE})
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(100) == b"all of it"
            assert peer.recv(100) == b""
    assert warned(caplog) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_told_if_the_body_raised(variant: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its exception says that all was aborted, without any grace."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        async def main(backend: Backend) -> None:
            client = await backend.connect(f"tcp:127.0.0.1:{port}", Recorder)
            client.transport.write(NEVER_TAKEN)
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            run(main, variant=variant)
    assert warned(caplog) == []


def test_a_network_in_memory_tells_it_too(caplog: pytest.LogCaptureFixture) -> None:
    async def main(backend: Backend) -> None:
        async with network(grace=7) as net:
            server = net.raw_listen("server")
            client = await net.backend.connect("memory:server", Recorder)
            client.transport.write(NEVER_TAKEN)
            await server.accept()

    halfclose.run(main, backend="memory")
    assert warned(caplog) == ["1 connection did not end within 7 s, and was reset: memory:server"]
