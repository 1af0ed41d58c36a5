"""One conversation in memory between our end and a peer of `ssl` alone, and what is judged of it.

What the peer sends goes through the test, which can spoil any byte of it.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby

from halfclose import (
    ConnectError,
    ConnectionDone,
    ConnectionLost,
    ConnectionOptions,
    ConnectTimeout,
    TLSError,
)
from halfclose.memory import End
from halfclose.testing import network
from halfclose.testing.networks import OpenNetwork
from memory.support import drive
from tls.peers import Peer
from tls.support import ALL, DATA, SERVERS, Manner, Side, Told, Truncation, options

PATIENCE = 60.0
"""Seconds of the virtual clock that the peer waits for our end."""


@dataclass
class Story:
    """What came of one conversation."""

    protocol: Told
    """Ours."""

    refused: ConnectError | None = None
    """What connecting has failed with."""

    logged: list[logging.LogRecord] = field(default_factory=list)
    """What the library has logged."""

    shaken: bool = False
    """Whether the peer's handshake was over, and all of it was sent."""

    sent: bytes = b""
    """The data of the peer's records that were sent whole."""

    ended: bool = False
    """Whether the peer's close_notify was sent whole."""

    read: bytes | None = None
    """What the peer has read up to our close_notify; None if that has not come."""

    seconds: float = 0.0
    """How long it took by the virtual clock."""


def conversation(
    side: Side,
    version: ssl.TLSVersion,
    spoil: Callable[[bytes], bytes] = bytes,
    *,
    truncation: Truncation = "error",
    manner: Manner = "answers",
    seed: int | None = None,
) -> Story:
    """Have a peer shake hands with our end, send `DATA` and its end, and read until ours.

    :param side: how our end comes to speak TLS.
    :param version: the peer's only version.
    :param spoil: makes what goes over the wire from what the peer has to send. `Cut` ends it.
    :param truncation: as for our end's `TLSOptions`.
    :param manner: what our end does beside.
    :param seed: of the network.
    """
    story = Story(Told(side if side.startswith("started") else None, truncation, manner=manner))

    async def main() -> None:
        with logged() as story.logged:
            async with network(seed) as net:
                await _converse(net, story, side, version, spoil, truncation)
                story.seconds = net.clock
        assert net.open_ends() == []

    drive(main())
    return story


class Cut(Exception):
    """Raised by a *spoil*: send this, and then nothing more but the end of stream."""

    def __init__(self, last: bytes = b"") -> None:
        self.last = last


async def _converse(
    net: OpenNetwork,
    story: Story,
    side: Side,
    version: ssl.TLSVersion,
    spoil: Callable[[bytes], bytes],
    truncation: Truncation,
) -> None:
    protocol = story.protocol
    tls = None if side.startswith("started") else options(side, truncation)
    own = ConnectionOptions(tls=tls)
    if side in SERVERS:
        async with await net.backend.listen("memory:us", lambda: protocol, own):
            await _be_peer(net, await net.raw("us"), story, side, version, spoil)
            await _ended(protocol)
        return
    with net.raw_listen("them") as listener:
        over = net.backend.create_event()

        async def accept() -> None:
            await _be_peer(net, await listener.accept(), story, side, version, spoil)
            over.set()

        net.backend.start_soon(accept)
        try:
            await net.backend.connect("memory:them", lambda: protocol, options=own)
        except ConnectError as error:
            story.refused = error
        await _ended(protocol)
        await over.wait()


async def _ended(protocol: Told) -> None:
    if protocol.events:
        await protocol.transport.whenClosed()


async def _be_peer(
    net: OpenNetwork,
    end: End,
    story: Story,
    side: Side,
    version: ssl.TLSVersion,
    spoil: Callable[[bytes], bytes],
) -> None:
    with end, _patience(net, end):
        peer = Peer(end, server_side=side not in SERVERS, version=version, spoil=spoil)
        try:
            await peer.shake_hands()
            story.shaken = True
            for data in DATA:
                await peer.send(data)
                story.sent += data
            await peer.end_write()
            story.ended = True
            story.read = await peer.read_all()
        except Cut as cut:
            with suppress(OSError):
                await end.send_all(cut.last)
        except (OSError, EOFError):
            # Our end has broken off, or what it sent made no sense to the peer.
            pass
        with suppress(OSError):
            end.shutdown()
            while await end.receive():
                pass


def records(data: bytes) -> Iterator[bytes]:
    """The records of TLS in *data*, which are whole."""
    while data:
        size = 5 + int.from_bytes(data[3:5], "big")
        yield data[:size]
        data = data[size:]


def record(kind: int, body: bytes, version: int = 0x303, length: int | None = None) -> bytes:
    """A record that no cipher has touched."""
    size = len(body) if length is None else length
    return bytes([kind]) + version.to_bytes(2, "big") + size.to_bytes(2, "big") + body


def check(story: Story) -> None:
    """Whether our end has made the best of what came."""
    protocol = story.protocol
    assert not any(entry.exc_info for entry in story.logged)
    lines = [entry.getMessage() for entry in story.logged]
    assert ALL.startswith(protocol.data)
    assert story.seconds <= PATIENCE + 10
    if not protocol.events:
        if story.refused is None:
            [line] = lines
            assert "the TLS handshake with memory:us~0 failed: " in line
            assert "\n" not in line
        else:
            assert lines == []
            assert type(story.refused) in (TLSError, ConnectTimeout)
        return
    assert lines == []
    assert protocol.events[-1] == "lost"
    if "read" in protocol.events:
        assert protocol.data == ALL
        events = [each for each in protocol.events if each != "write"]
        assert [each for each, _ in groupby(events)] == [
            "made",
            "handshake",
            "data",
            "read",
            "lost",
        ]
        assert protocol.events.count("write") <= 1
        assert type(protocol.reason) in (ConnectionDone, ConnectionLost)
    elif type(protocol.reason) is ConnectionDone:
        assert protocol.manner.startswith("closes")
    else:
        assert type(protocol.reason) is ConnectionLost
        assert protocol.reason.__cause__ is not None


@contextmanager
def _patience(net: OpenNetwork, end: End) -> Iterator[None]:
    """Ends the peer's stream after `PATIENCE`: what was spoilt may make each wait for the other."""

    def end_stream() -> None:
        with suppress(OSError):
            end.shutdown()

    timer = net.backend.call_later(PATIENCE, end_stream)
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def logged() -> Iterator[list[logging.LogRecord]]:
    """Collects what the library logs."""
    records: list[logging.LogRecord] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Collecting()
    logger = logging.getLogger("halfclose")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
