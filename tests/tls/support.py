"""What these tests share: certificates, and one conversation in memory with a peer of `ssl` alone.

The peer's side is driven by hand, so that a test can spoil any byte of it.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import trustme
from halfclose import ConnectError, ConnectionOptions, HalfCloseableProtocol, TLSOptions
from halfclose.interfaces import HandshakeListener
from halfclose.memory import End
from halfclose.testing import network
from halfclose.testing.networks import OpenNetwork
from memory.support import drive

V12 = ssl.TLSVersion.TLSv1_2
V13 = ssl.TLSVersion.TLSv1_3
VERSIONS = (V12, V13)

Side = Literal["accepted", "connected", "started as server", "started as client"]
SIDES: tuple[Side, ...] = ("accepted", "connected", "started as server", "started as client")
"""How our end comes to speak TLS; the last two by startTLS."""

SERVERS = ("accepted", "started as server")
"""The sides on which our end is the server of TLS."""

GREETING = b"greeting"
"""What our end sends first."""

ANSWER = b"the answer to it all"
"""What our end sends after the peer's end of stream."""

DATA = (b"first", b"s" * 300, b"third and last")
"""What the peer sends, each in a record of its own."""

PATIENCE = 60.0
"""Seconds of the virtual clock that the peer waits for our end."""

NAME = "localhost"


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


@cache
def server_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A server's context, which tests share; see `new_server_context`."""
    return new_server_context(version)


@cache
def client_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client's context, which tests share; see `new_client_context`."""
    return new_client_context(version)


def new_server_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A server's context with a certificate, of *version* alone unless that is None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert(NAME).configure_cert(context)
    return _limited(context, version)


def new_client_context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """A client's context that trusts the server's, of *version* alone unless that is None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _authority().configure_trust(context)
    return _limited(context, version)


def _limited(context: ssl.SSLContext, version: ssl.TLSVersion | None) -> ssl.SSLContext:
    if version is not None:
        context.minimum_version = context.maximum_version = version
    return context


def options(side: Side, context: ssl.SSLContext | None = None) -> TLSOptions:
    """The options of our end on that *side*."""
    if side in SERVERS:
        return TLSOptions(context or server_context())
    return TLSOptions(context or client_context(), server_hostname=NAME)


class Told(HalfCloseableProtocol, HandshakeListener):
    """Notes what it is told, answers after the peer's end of stream, and closes.

    :param start: how it starts TLS, if it does.
    :param answer: what it answers.
    :param waits: whether the test calls `give_answer`.
    """

    def __init__(
        self, start: Side | None = None, *, answer: bytes = ANSWER, waits: bool = False
    ) -> None:
        self.events: list[str] = []
        self.data = b""
        self.reason: BaseException | None = None
        self._start = start
        self._answer = answer
        self._waits = waits

    def connectionMade(self) -> None:
        self.events.append("made")
        if self._start is not None:
            self.transport.startTLS(options(self._start), server_side=self._start in SERVERS)
        self.transport.write(GREETING)

    def handshakeCompleted(self) -> None:
        self.events.append("handshake")

    def dataReceived(self, data: bytes) -> None:
        if self.events[-1] != "data":
            self.events.append("data")
        self.data += data

    def readConnectionLost(self) -> None:
        self.events.append("read")
        if not self._waits:
            self.give_answer()

    def give_answer(self) -> None:
        self.transport.write(self._answer)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        self.events.append("write")

    def connectionLost(self, reason: BaseException) -> None:
        self.events.append("lost")
        self.reason = reason


class Peer:
    """The other side of a connection, by `ssl` alone.

    :param context: by default one that tests share.
    :param spoil: makes what goes over the wire from what the peer has to send.
    """

    def __init__(
        self,
        end: End,
        *,
        server_side: bool,
        version: ssl.TLSVersion | None = None,
        context: ssl.SSLContext | None = None,
        spoil: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.end = end
        self.server_side = server_side
        self.first_sent = b""
        self.first_received = b""
        self._spoil = spoil
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        if context is None:
            context = server_context(version) if server_side else client_context(version)
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side, None if server_side else NAME
        )

    async def flush(self) -> None:
        """Send what there is to send."""
        if self._outgoing.pending:
            data = self._outgoing.read()
            self.first_sent = self.first_sent or data
            await self.end.send_all(self._spoil(data))

    async def _fetch(self) -> None:
        """Wait for more input.

        :raises EOFError: there is no more.
        """
        data = await self.end.receive()
        if not data:
            raise EOFError("the other side has ended its stream")
        self.first_received = self.first_received or data
        self._incoming.write(data)

    async def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.flush()
                await self._fetch()
            except ssl.SSLError:
                await self.flush()
                raise
        await self.flush()

    async def send(self, data: bytes) -> None:
        self.tls.write(data)
        await self.flush()

    async def end_write(self) -> None:
        """Send close_notify."""
        kept = self._incoming.read()
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._incoming.write(kept)
        await self.flush()

    async def read(self) -> bytes:
        """The next data; ``b""`` at the other side's close_notify.

        :raises EOFError: its stream has ended without one.
        """
        while True:
            try:
                return self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                await self.flush()
                await self._fetch()
            except ssl.SSLZeroReturnError:
                return b""

    async def read_all(self) -> bytes:
        """All data until the other side's close_notify.

        :raises EOFError: its stream has ended without one.
        """
        data = b""
        while piece := await self.read():
            data += piece
        return data


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
    seed: int | None = None,
) -> Story:
    """Have a peer shake hands with our end, send `DATA` and its end, and read until ours.

    :param side: how our end comes to speak TLS.
    :param version: the peer's only version.
    :param spoil: makes what goes over the wire from what the peer has to send. `Cut` ends it.
    :param seed: of the network.
    """
    story = Story(Told(side if side.startswith("started") else None))

    async def main() -> None:
        with logged() as story.logged:
            async with network(seed) as net:
                await _converse(net, story, side, version, spoil)
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
) -> None:
    protocol = story.protocol
    own = ConnectionOptions(tls=None if side.startswith("started") else options(side))
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
