"""What goes to the socket of a Twisted transport, and when."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from core.support import TWISTED, Recorder, run, until
from halfclose import TCP, UNIX, ConnectionDone
from halfclose_twisted import as_factory
from twisted.internet import endpoints
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol

pytestmark = pytest.mark.parametrize("variant", TWISTED)

NATIVE = {"sockets": "native"}


def test_what_is_written_is_with_the_peer_when_write_returns(variant: str) -> None:
    seen: list[bytes] = []

    class Answering(Recorder):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"answer to " + data)
            seen.append(raw.recv(100))

    with socket.socket() as raw:

        async def main(backend: Any) -> None:
            async with await backend.listen(TCP("127.0.0.1", 0), Answering) as listener:
                raw.settimeout(10)
                raw.connect(("127.0.0.1", listener.endpoint.port))
                raw.sendall(b"1")
                await until(backend, lambda: len(seen) == 1)
                raw.sendall(b"2")
                await until(backend, lambda: len(seen) == 2)

        # The peer stays.
        run(main, variant=variant, options={**NATIVE, "grace": 0})
    assert seen == [b"answer to 1", b"answer to 2"]


def test_what_was_written_before_goes_before(variant: str) -> None:
    """A transport that was somebody else's may still hold what it was given."""

    class Greeting(TwistedProtocol):
        transport: Any

        def connectionMade(self) -> None:
            self.transport.write(b"before ")
            heir = as_factory(Following).buildProtocol(self.transport.getPeer())
            self.transport.protocol = heir
            heir.makeConnection(self.transport)

    class Following(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.write(b"after")
            self.transport.loseWriteConnection()

    async def main(backend: Any) -> None:
        factory = Factory.forProtocol(Greeting)
        factory.noisy = False
        endpoint = endpoints.TCP4ServerEndpoint(backend.reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(factory)
        client = await backend.connect(TCP("127.0.0.1", port.getHost().port), Recorder)
        await until(backend, lambda: "read" in client.events)
        assert client.data == b"before after"
        client.transport.loseConnection()
        await client.transport.whenClosed()
        await port.stopListening()

    run(main, variant=variant)


def test_our_end_does_not_wait_for_a_peer_that_does_not_read(variant: str, tmp_path: Path) -> None:
    """A unix socket is writable only while three quarters of its buffer are free."""
    handles: list[socket.socket] = []

    class Sending(Recorder):
        def readConnectionLost(self) -> None:
            super().readConnectionLost()
            handle = self.transport.getHandle()
            assert isinstance(handle, socket.socket)
            handles.append(handle)
            size = handle.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2
            self.transport.write(bytes(size))
            self.transport.loseConnection()

    path = str(tmp_path / "sock")
    server = Sending()
    with socket.socket(socket.AF_UNIX) as raw:

        async def main(backend: Any) -> None:
            async with await backend.listen(UNIX(path), lambda: server):
                raw.connect(path)
                raw.shutdown(socket.SHUT_WR)
                await until(backend, lambda: "lost" in server.events)
                assert isinstance(server.reason, ConnectionDone)
                assert server.transport.droppedBytes == 0
                await until(backend, lambda: handles[0].fileno() < 0)

        run(main, variant=variant, options=NATIVE)
        got = b"".join(iter(lambda: raw.recv(65536), b""))
    assert len(got) > 50_000
