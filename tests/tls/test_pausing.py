"""Paused, with a peer that sends on: little is held, nobody spins, and all comes later (TLS-17)."""

from __future__ import annotations

import ssl
import threading
from contextlib import suppress

import pytest
from core.support import Looks, run, until
from halfclose import Backend, ConnectionOptions
from halfclose.endpoints import Endpoint
from halfclose.testing import network
from memory.support import drive
from tls.blocking import BlockingPeer
from tls.forging import DATA, facing
from tls.support import V13, VERSIONS, Side, Told, options

SIZE = 16 << 20
"""More than the kernel holds on both sides."""


class Counted(Told):
    """Pauses at an event, and counts what comes.

    :param event: the event at which it pauses.
    """

    def __init__(self, event: str) -> None:
        super().__init__()
        self._event = event
        self.count = 0

    def connectionMade(self) -> None:
        super().connectionMade()
        if self._event == "connectionMade":
            self.transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        self.count += len(data)
        if self._event == "dataReceived":
            self._event = ""
            self.transport.pauseProducing()


@pytest.mark.parametrize("event", ["connectionMade", "dataReceived"])
@pytest.mark.parametrize("variant", ["anyio+asyncio", "anyio+trio", "twisted+select"])
def test_a_peer_that_sends_on(variant: str, event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = Counted(event)
    sending = threading.Event()

    def work(endpoint: Endpoint) -> None:
        with BlockingPeer(endpoint) as peer, suppress(OSError):
            peer.send(b"first")
            sending.set()
            for _ in range(SIZE >> 16):
                peer.send(bytes(1 << 16))
            peer.end_write()
            peer.read_all()

    async def main(backend: Backend) -> None:
        looks = Looks(backend)
        monkeypatch.setattr(backend, "watch", looks.watch)
        calls = 0
        call_soon = backend.call_soon

        def counting(function: object, *args: object) -> None:
            nonlocal calls
            calls += 1
            call_soon(function, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(backend, "call_soon", counting)
        own = ConnectionOptions(tls=options("accepted"))
        async with await backend.listen("tls:127.0.0.1:0", lambda: protocol, own) as listener:
            thread = threading.Thread(target=work, args=(listener.endpoint,))
            thread.start()
            await until(backend, sending.is_set)
            if event == "dataReceived":
                await until(backend, lambda: protocol.count)
            seen = (-1, -1)
            while seen != (looks.count, calls):
                seen = (looks.count, calls)
                # To measure that nothing happens takes time.
                await backend.sleep(0.1)
            # A piece of 32 KiB may have been decrypted, and no more.
            assert protocol.count <= 32 << 10
            assert thread.is_alive()
            protocol.transport.resumeProducing()
            await protocol.transport.whenClosed()
            await until(backend, lambda: not thread.is_alive())

    run(main, variant=variant)
    assert protocol.count == len(b"first") + SIZE
    assert protocol.events == ["made", "handshake", "read", "lost"]


@pytest.mark.parametrize("side", ["accepted", "connected"])
def test_key_updates_while_paused(side: Side) -> None:
    protocol = Told()

    async def main() -> None:
        async with network() as net, facing(net, side, V13, protocol) as (peer, forger):
            protocol.transport.pauseProducing()
            for _ in range(20):
                update = forger.key_update(asked=True)
                await peer.end.send_all(update + forger.record(DATA, b"data"))
                # This would never come back if anything went on.
                await net.advance(0)
            assert protocol.data == b""
            protocol.transport.resumeProducing()
            await net.advance(0)
            assert protocol.data == b"data" * 20
            peer.end.close()

    drive(main())


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_reset_behind_what_was_paused(version: ssl.TLSVersion) -> None:
    """What has come before it is delivered, each record once."""
    protocol = Told()

    async def main() -> None:
        async with (
            network() as net,
            facing(net, "accepted", version, protocol) as (peer, forger),
        ):
            protocol.transport.pauseProducing()
            data = b"".join(forger.record(DATA, bytes([number])) for number in range(20))
            await peer.end.send_all(data)
            await net.advance(0)
            peer.end.reset()
            await net.advance(0)
            protocol.transport.resumeProducing()
            await protocol.transport.whenClosed()

    drive(main())
    assert protocol.data == bytes(range(20))
    assert protocol.events == ["made", "handshake", "data", "lost"]
