"""What a peer sends after its close_notify: never delivered, and no harm to our answer."""

from __future__ import annotations

import ssl
import threading
from contextlib import suppress

import pytest
from core.support import LIMIT, run, until
from halfclose import Backend, ConnectionDone, ConnectionLost, ConnectionOptions
from halfclose.endpoints import Endpoint
from halfclose.testing import network
from memory.support import drive
from tls.blocking import BlockingPeer
from tls.forging import ALERT, CLOSE_NOTIFY, DATA, HANDSHAKE, facing
from tls.support import ANSWER, GREETING, VERSIONS, Side, Told, options

ENDS: tuple[Side, ...] = ("accepted", "connected")

LATER = {
    "data": (DATA, b"never to be seen"),
    "close_notify": (ALERT, CLOSE_NOTIFY),
    "an alert": (ALERT, b"\x02\x50"),
    "a handshake": (HANDSHAKE, b"\x00\x00\x00\x00"),
}
"""Records after the end."""


class Pausing(Told):
    """Pauses reading and resumes it at each event, twice."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        for _ in range(2):
            self.transport.pauseProducing()
            self.transport.resumeProducing()


@pytest.mark.parametrize("kind", LATER)
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", ENDS)
@pytest.mark.parametrize("waits", [False, True], ids=["answers at once", "answers later"])
@pytest.mark.parametrize("factory", [Told, Pausing])
def test_together_with_the_end(
    factory: type[Told], waits: bool, side: Side, version: ssl.TLSVersion, kind: str
) -> None:
    protocol = factory(waits=waits)

    async def main() -> None:
        async with network() as net, facing(net, side, version, protocol) as (peer, forger):
            await peer.end.send_all(
                forger.record(DATA, b"data")
                + forger.record(DATA, b" and more")
                + forger.record(ALERT, CLOSE_NOTIFY)
                + forger.record(*LATER[kind])
            )
            await net.advance(0)
            if waits:
                protocol.give_answer()
            assert await peer.read_all() == GREETING + ANSWER

    drive(main())
    assert protocol.data == b"data and more"
    assert protocol.events == ["made", "handshake", "data", "read", "lost"]
    assert type(protocol.reason) is ConnectionDone


@pytest.mark.parametrize("kind", LATER)
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_reset_after_it_is_no_second_end(version: ssl.TLSVersion, kind: str) -> None:
    protocol = Pausing(waits=True)

    async def main() -> None:
        async with network() as net, facing(net, "accepted", version, protocol) as (peer, forger):
            await peer.end.send_all(
                forger.record(ALERT, CLOSE_NOTIFY) + forger.record(*LATER[kind])
            )
            await net.advance(0)
            peer.end.reset()
            await protocol.transport.whenClosed()

    drive(main())
    assert protocol.events == ["made", "handshake", "read", "lost"]
    assert type(protocol.reason) is ConnectionLost


@pytest.mark.parametrize("kind", [*LATER, "junk"])
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", ENDS)
def test_later_than_the_end(side: Side, version: ssl.TLSVersion, kind: str) -> None:
    """It comes while we have not answered yet, and again with our answer under way."""
    protocol = Pausing(waits=True)

    async def main() -> None:
        async with (
            network(latency=0.01) as net,
            facing(net, side, version, protocol) as (peer, forger),
        ):

            async def send_more() -> None:
                junk = b"junk" if kind == "junk" else forger.record(*LATER[kind])
                await peer.end.send_all(junk)

            await peer.end.send_all(forger.record(ALERT, CLOSE_NOTIFY))
            await net.advance(1)
            assert protocol.events[-1] == "read"
            await send_more()
            await net.advance(1)
            protocol.give_answer()
            await send_more()
            assert await peer.read_all() == GREETING + ANSWER

    drive(main())
    assert protocol.events == ["made", "handshake", "read", "lost"]
    assert type(protocol.reason) is ConnectionDone


LARGE = b"y" * (4 << 20)


# A transport of asyncio's is not read on; see `TLSChannel`.
@pytest.mark.parametrize(
    ("variant", "sockets"),
    [
        ("anyio+asyncio", "poller"),
        ("anyio+trio", "native"),
        ("twisted+select", "poller"),
        ("twisted+select", "native"),
    ],
)
def test_our_answer_survives_junk(variant: str, sockets: str) -> None:
    """A socket that is closed with unread input sends a reset, which would destroy the answer."""
    protocol = Told(answer=LARGE, waits=True)
    ended, sent, closed = threading.Event(), threading.Event(), threading.Event()
    got: list[int] = []

    def work(endpoint: Endpoint) -> None:
        with BlockingPeer(endpoint) as peer:
            peer.end_write()
            ended.wait(LIMIT)
            peer.sock.sendall(b"junk")
            sent.set()
            closed.wait(LIMIT)
            with suppress(ConnectionError):
                got.append(len(peer.read_all()))

    async def main(backend: Backend) -> None:
        own = ConnectionOptions(tls=options("accepted"))
        async with await backend.listen("tls:127.0.0.1:0", lambda: protocol, own) as listener:
            thread = threading.Thread(target=work, args=(listener.endpoint,))
            thread.start()
            await until(backend, lambda: "read" in protocol.events)
            ended.set()
            await until(backend, sent.is_set)
            # So much is more than the kernel takes while the peer does not read.
            protocol.give_answer()
            closed.set()
            await protocol.transport.whenClosed()
            await until(backend, lambda: not thread.is_alive())

    run(main, variant=variant, options={"sockets": sockets})
    assert got == [len(GREETING + LARGE)]
    assert type(protocol.reason) is ConnectionDone
