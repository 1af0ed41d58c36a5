"""What is no TLS, on both sides: an error or one line of the log, and everything is freed."""

from __future__ import annotations

import errno
import logging
import ssl
from contextlib import suppress

import pytest
from halfclose import ConnectError, ConnectionLost, ConnectionOptions, ConnectTimeout, TLSError
from halfclose.memory import End
from halfclose.memory.channel import MemoryChannel
from halfclose.testing import network
from halfclose.testing.networks import OpenNetwork
from memory.support import drive
from tls.conversations import check, conversation, logged, record
from tls.peers import Peer
from tls.support import (
    ANSWER,
    GREETING,
    SERVERS,
    SIDES,
    VERSIONS,
    Side,
    Told,
    options,
)

HANDSHAKE = 22

BAD = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP answer": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "proxy": b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SMTP": b"220 mail.example.org ESMTP\r\n",
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "SSL 2": b"\x80\x2e\x01\x00\x02" + bytes(43),
    "data first": record(23, b"data"),
    "change of ciphers first": record(20, b"\x01"),
    "type 0": record(0, b"what is it"),
    "type 255": record(255, b"what is it"),
    "version 0": record(HANDSHAKE, b"\x01\x00\x00\x00", version=0),
    "version 65535": record(HANDSHAKE, b"\x01\x00\x00\x00", version=0xFFFF),
    "empty record": record(HANDSHAKE, b""),
    "empty hello": record(HANDSHAKE, b"\x01\x00\x00\x00"),
    "empty answer": record(HANDSHAKE, b"\x02\x00\x00\x00"),
    "record too long": record(HANDSHAKE, b"\x01\x00\x40\x00" + bytes(18428), length=18432),
    "record of 65535": record(HANDSHAKE, b"\x01", length=0xFFFF),
    "message of 16 MiB": record(HANDSHAKE, b"\x01\xff\xff\xff" + bytes(4096)),
    "message of another type": record(HANDSHAKE, b"\x63\x00\x00\x04" + bytes(4)),
}
"""The first bytes of a peer that does not speak TLS, or badly."""


async def be_rude(net_end: End, data: bytes, *, ends: bool) -> bytes:
    """Send *data* and perhaps the end of stream, and give what comes until the end or a reset."""
    answer = b""
    with net_end as end:
        try:
            await end.send_all(data)
            if ends:
                end.shutdown()
            while piece := await end.receive():
                answer += piece
        except OSError:
            pass
    return answer


@pytest.mark.parametrize("ends", [True, False], ids=["and ends", "and waits"])
@pytest.mark.parametrize("kind", BAD)
def test_a_listener_logs_one_line_and_goes_on(kind: str, ends: bool) -> None:
    made: list[Told] = []

    def factory() -> Told:
        made.append(Told())
        return made[-1]

    async def main() -> None:
        own = ConnectionOptions(tls=options("accepted"))
        with logged() as lines:
            async with network() as net:
                await net.backend.listen("memory:us", factory, own)
                await be_rude(await net.raw("us"), BAD[kind], ends=ends)
                assert net.clock <= 30
                [line] = lines
                assert line.exc_info is None
                text = line.getMessage()
                assert text.startswith("the TLS handshake with memory:us~0 failed: ")
                assert text.isprintable()
                assert made == []
                await greet(await net.raw("us"))
            assert net.open_ends() == []
        assert len(lines) == 1
        assert made[0].events[-1] == "lost"

    drive(main())


async def greet(end: End) -> None:
    """Have an honest conversation."""
    with end:
        peer = Peer(end, server_side=False)
        await peer.shake_hands()
        await peer.end_write()
        assert await peer.read_all() == GREETING + ANSWER


@pytest.mark.parametrize("ends", [True, False], ids=["and ends", "and waits"])
@pytest.mark.parametrize("kind", BAD)
def test_connect_raises_tls_error(kind: str, ends: bool) -> None:
    async def main() -> None:
        async with network() as net:
            with net.raw_listen("them") as listener:

                async def serve() -> None:
                    await be_rude(await listener.accept(), BAD[kind], ends=ends)

                net.backend.start_soon(serve)
                own = ConnectionOptions(tls=options("connected"))
                with pytest.raises((TLSError, ConnectTimeout)) as caught:
                    await net.backend.connect("memory:them", Told, options=own, timeout=40)
                assert str(caught.value).startswith("cannot connect to memory:them: ")
                assert str(caught.value).isprintable()
                assert type(caught.value) is TLSError
                assert caught.value.__cause__ is not None
        assert net.open_ends() == []

    drive(main())


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("side", ["started as server", "started as client"])
def test_start_tls_ends_in_a_loss(side: Side, kind: str) -> None:
    protocol = Told(side)

    async def main() -> None:
        with logged() as lines:
            async with network() as net:
                await net.backend.listen("memory:us", lambda: protocol)
                await be_rude(await net.raw("us"), BAD[kind], ends=False)
            assert net.open_ends() == []
        assert lines == []

    drive(main())
    assert protocol.events == ["made", "lost"]
    assert type(protocol.reason) is ConnectionLost
    assert protocol.reason.__cause__ is not None


class Stopping:
    """Lets so many bytes of what the peer sends through, and drops the rest."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self.size = 0

    def __call__(self, data: bytes) -> bytes:
        sent = data[: self._left]
        self._left -= len(sent)
        self.size += len(sent)
        return sent


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", SIDES)
def test_a_handshake_that_stops(side: Side, version: ssl.TLSVersion) -> None:
    """After 30 seconds it has failed, wherever it stopped."""
    whole = Stopping(1 << 20)
    conversation(side, version, whole)
    for limit in range(0, whole.size, 67):
        story = conversation(side, version, Stopping(limit))
        check(story)
        if "handshake" in story.protocol.events:
            continue
        assert story.seconds == 30
        if side == "accepted":
            [line] = story.logged
            assert line.getMessage().endswith("the TLS handshake was not over within 30 s")
        elif side == "connected":
            assert "the TLS handshake was not over within 30 s" in str(story.refused)
        else:
            assert str(story.protocol.reason) == "the TLS handshake was not over within 30 s"


FLOODS = {
    "garbage": (b"", record(HANDSHAKE, b"\x63" * 16384)),
    "empty records": (b"", record(HANDSHAKE, b"") * 100),
    "changes of ciphers": (b"", record(20, b"\x01") * 100),
    "warnings": (b"", record(21, b"\x01\x5a") * 100),
    "an endless hello": (record(HANDSHAKE, b"\x01\xff\xff\xff"), record(HANDSHAKE, bytes(16384))),
    "an endless answer": (record(HANDSHAKE, b"\x02\xff\xff\xff"), record(HANDSHAKE, bytes(16384))),
    "a hello in tiny records": (
        record(HANDSHAKE, b"\x01\x00\x20\x00"),
        record(HANDSHAKE, b"\x00") * 1000,
    ),
}
"""What is sent without end: the first bytes, and what follows."""


@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.parametrize("side", SIDES)
def test_a_flood_instead_of_a_handshake(side: Side, kind: str) -> None:
    """It is refused soon, and not because of the time."""
    protocol = Told(side if side.startswith("started") else None)
    refused: list[TLSError] = []

    async def send(net: OpenNetwork, end: End, lines: list[logging.LogRecord]) -> None:
        first, each = FLOODS[kind]
        sent = 0
        with end, suppress(OSError):
            await end.send_all(first)
            while not (lines or refused or "lost" in protocol.events):
                await end.send_all(each)
                await net.advance(0)
                sent += len(each)
                assert sent < 256 << 10

    async def main() -> None:
        own = ConnectionOptions(tls=None if side.startswith("started") else options(side))
        with logged() as lines:
            async with network() as net:
                if side in SERVERS:
                    await net.backend.listen("memory:us", lambda: protocol, own)
                    await send(net, await net.raw("us"), lines)
                else:

                    async def connect() -> None:
                        try:
                            await net.backend.connect("memory:them", lambda: protocol, options=own)
                        except TLSError as error:
                            refused.append(error)

                    with net.raw_listen("them") as listener:
                        net.backend.start_soon(connect)
                        await send(net, await listener.accept(), lines)
                assert net.clock == 0
        assert len(lines) == (side == "accepted")

    drive(main())
    assert "handshake" not in protocol.events


def no_room(channel: MemoryChannel) -> None:
    raise OSError(errno.ENOSPC, "no room to watch one more")


@pytest.mark.parametrize("side", SIDES)
def test_a_handshake_that_the_system_refuses(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """For example, no more descriptors can be watched."""
    protocol = Told(side if side.startswith("started") else None)
    monkeypatch.setattr(MemoryChannel, "resume_reading", no_room)
    own = ConnectionOptions(tls=None if side.startswith("started") else options(side))

    async def main() -> None:
        with logged() as lines:
            async with network() as net:
                if side in SERVERS:
                    await net.backend.listen("memory:us", lambda: protocol, own)
                    with await net.raw("us") as end, pytest.raises(OSError, match="reset by peer"):
                        await end.receive()
                elif side == "connected":
                    with net.raw_listen("them"), pytest.raises(ConnectError, match="no room"):
                        await net.backend.connect("memory:them", lambda: protocol, options=own)
                else:
                    with net.raw_listen("them"):
                        await net.backend.connect("memory:them", lambda: protocol, options=own)
                        await protocol.transport.whenClosed()
            assert net.open_ends() == []
        # startTLS tells that what was written before is dropped.
        assert len(lines) == (side != "connected")
        assert not any(line.exc_info for line in lines)

    drive(main())
    if side.startswith("started"):
        assert protocol.events == ["made", "lost"]
    else:
        assert protocol.events == []
