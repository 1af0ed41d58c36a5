"""Peers that send without end what costs them little: our memory stays bounded, and we go on."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest
from halfclose import ConnectionLost
from halfclose.testing import network
from memory.support import drive
from tls.forging import ALERT, DATA, HANDSHAKE, Forger, facing
from tls.support import V12, V13, VERSIONS, Side, Told

_CLIENT_HELLO = b"\x01\x00\x00\x29\x03\x03" + bytes(32) + b"\x00\x00\x02\xc0\x2c\x01\x00"

ANSWERED: dict[str, tuple[Side, ssl.TLSVersion, Callable[[Forger], bytes]]] = {
    "key updates, to a server": ("accepted", V13, lambda forger: forger.key_update(asked=True)),
    "key updates, to a client": ("connected", V13, lambda forger: forger.key_update(asked=True)),
    "renegotiation, to a server": (
        "accepted",
        V12,
        lambda forger: forger.record(HANDSHAKE, _CLIENT_HELLO),
    ),
    "renegotiation, to a client": (
        "connected",
        V12,
        lambda forger: forger.record(HANDSHAKE, bytes(4)),
    ),
}
"""What each is answered by TLS itself: our end's side, the version, and the record."""

BOUND = 256 << 10
"""Bytes that our end may hold, with the 64 KiB that a connection in this network holds."""


@pytest.mark.parametrize("kind", ANSWERED)
def test_a_flood_whose_answers_nobody_reads(kind: str) -> None:
    side, version, forge = ANSWERED[kind]
    protocol = Told()

    async def main() -> None:
        async with (
            network(buffer=1 << 14) as net,
            facing(net, side, version, protocol) as (peer, forger),
        ):
            await net.advance(0)
            held = 0
            try:
                for _ in range(100):
                    await peer.end.send_all(b"".join(forge(forger) for _ in range(100)))
                    await net.advance(0)
                    held = max(held, protocol.transport.channel.unsent())  # type: ignore[attr-defined]
            except ConnectionResetError:
                pass
            assert held < 128 << 10
            await protocol.transport.whenClosed()

    drive(main())
    assert protocol.events == ["made", "handshake", "lost"]
    assert type(protocol.reason) is ConnectionLost
    assert str(protocol.reason) == "the peer makes TLS answer it, and does not read the answers"


@pytest.mark.parametrize("kind", ANSWERED)
def test_a_flood_whose_answers_are_read(kind: str) -> None:
    """However many there are, the connection goes on."""
    side, version, forge = ANSWERED[kind]
    protocol = Told(waits=True)

    async def main() -> None:
        async with (
            network(buffer=1 << 14) as net,
            facing(net, side, version, protocol) as (peer, forger),
        ):
            for _ in range(20):
                await peer.end.send_all(b"".join(forge(forger) for _ in range(100)))
                await net.advance(0)
                while peer.end.readable and peer.end.recv():
                    await net.advance(0)
            await peer.end.send_all(forger.record(DATA, b"data"))
            await net.advance(0)
            protocol.transport.abortConnection()

    drive(main())
    assert protocol.data == b"data"
    assert protocol.events == ["made", "handshake", "data", "lost"]


USELESS = {
    "empty records": (DATA, b""),
    "warnings": (ALERT, b"\x01\x5a"),
}


@pytest.mark.parametrize("kind", USELESS)
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", ["accepted", "connected"])
def test_records_that_say_nothing(side: Side, version: ssl.TLSVersion, kind: str) -> None:
    """A few are allowed, and a flood of them ends the connection."""
    protocol = Told()

    async def main() -> None:
        async with network() as net, facing(net, side, version, protocol) as (peer, forger):
            few = b"".join(forger.record(*USELESS[kind]) for _ in range(3))
            await peer.end.send_all(few + forger.record(DATA, b"data"))
            await net.advance(0)
            assert protocol.data == b"data"
            many = b"".join(forger.record(*USELESS[kind]) for _ in range(100))
            await peer.end.send_all(many)
            await protocol.transport.whenClosed()

    drive(main())
    assert protocol.events == ["made", "handshake", "data", "lost"]
    assert type(protocol.reason) is ConnectionLost
    assert isinstance(protocol.reason.__cause__, ssl.SSLError)
