"""Our side of a conversation with a peer, and what came of it."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import halfclose
from halfclose import ConnectionOptions, TLSOptions, TruncatedError

from . import credentials
from .peer import Peer
from .ports import free_port
from .setting import ANSWER, HEAD, LATE, LIMIT, Part, Setting, Side

__all__ = ["ALONE", "BARE", "BOTH", "Outcome", "connect", "hold"]

ALONE = "close_notify"
BOTH = "close_notify, end of stream"
BARE = "end of stream"
"""How the end of a peer's half can look."""


class Outcome(NamedTuple):
    """What came of a conversation.

    :param end: how the end of the peer's half looked.
    :param here: bytes that came from the peer.
    :param there: bytes that the peer's user got from us.
    :param reason: how the connection ended for us.
    """

    end: str
    here: int
    there: int
    reason: BaseException


class _Ours(halfclose.HalfCloseableProtocol):
    """Our side.

    :param asks: whether we end our half first.
    """

    def __init__(self, peer: Peer, asks: bool) -> None:
        self.asks = asks
        self.http = peer.http
        self.question = peer.question
        self.we_heard = threading.Event()
        self.we_ended = threading.Event()
        self.received = b""
        self.end = "none"
        self.reason: BaseException | None = None
        self.over: halfclose.Event

    def connectionMade(self) -> None:
        if self.asks:
            self.transport.write(self.question)
            self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.we_heard.set()
        if self.http and not self.asks and self.received.endswith(b"\r\n\r\n"):
            # It never ends its half before the answer.
            self.transport.backend.call_later(LATE, self._answer, HEAD)

    def writeConnectionLost(self) -> None:
        self.we_ended.set()

    def readConnectionLost(self) -> None:
        self.end = ALONE
        if not self.asks and not self.http:
            self.transport.backend.call_later(LATE, self._answer, b"")

    def _answer(self, head: bytes) -> None:
        if not self.http and _has_ended(self.transport):
            self.end = BOTH
        self.transport.write(head + ANSWER)
        self.transport.loseWriteConnection()

    def connectionLost(self, reason: BaseException) -> None:
        if isinstance(reason.__cause__, TruncatedError):
            self.end = BARE
        self.reason = reason
        self.over.set()


def _has_ended(transport: halfclose.Transport) -> bool:
    """Whether the connection below TLS has ended too. Nothing else was sent since close_notify."""
    sock = transport.getHandle()
    assert isinstance(sock, socket.socket)
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def hold(
    peer: Peer,
    side: Side,
    part: Part,
    version: str,
    variant: str,
    files: Path,
    truncation: Literal["error", "eof"] = "error",
) -> Outcome:
    """Have a conversation.

    :param side: what the peer is, of TLS.
    :param part: what the peer does.
    :param version: a key of `credentials.VERSIONS`.
    :param variant: the name of our backend.
    :param files: what `credentials.make` has written.
    :param truncation: that of `TLSOptions`.
    """
    ours = _Ours(peer, part == "answers")
    context = credentials.context(files, version, server_side=side == "client")
    tls = TLSOptions(context, server_hostname="localhost", truncation=truncation)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        pool = stack.enter_context(ThreadPoolExecutor())
        setting = Setting(
            side, part, free_port(), files, folder, ours.we_heard, ours.we_ended, pool, stack
        )
        theirs = halfclose.run(
            _converse, peer, setting, ours, ConnectionOptions(tls=tls), backend=variant
        )
        there = theirs.result()
    assert ours.reason is not None
    head, _, body = ours.received.rpartition(b"\r\n\r\n")
    return Outcome(ours.end, len(body if head else ours.received), there, ours.reason)


async def _converse(
    backend: halfclose.AbstractBackend,
    peer: Peer,
    setting: Setting,
    ours: _Ours,
    options: ConnectionOptions,
) -> Future[int]:
    """What the peer's user has, after both sides are done."""
    done = backend.create_event()
    ours.over = backend.create_event()
    too_long = False
    timer: halfclose.TimerHandle | None = None

    def stop() -> None:
        nonlocal too_long
        too_long = True
        done.set()
        ours.over.set()

    def start(port: int) -> Future[int]:
        nonlocal timer
        # This may compile the peer's program first.
        theirs = peer.start(replace(setting, port=port))
        theirs.add_done_callback(lambda _: backend.call_soon_threadsafe(done.set))
        timer = backend.call_later(LIMIT, stop)
        return theirs

    try:
        if setting.side == "client":
            async with await backend.listen("tls:127.0.0.1:0", lambda: ours, options) as listener:
                assert isinstance(listener.endpoint, halfclose.TLS)
                theirs = start(listener.endpoint.port)
                await ours.over.wait()
        else:
            theirs = start(setting.port)
            await connect(backend, setting.port, ours, options)
            await ours.over.wait()
        # It may still read what we have sent.
        await done.wait()
    finally:
        if timer is not None:
            timer.cancel()
    said = (setting.folder / "said").read_text()
    assert not too_long, f"{peer.name} is not done: {ours.__dict__}\n{said}"
    return theirs


async def connect(
    backend: halfclose.AbstractBackend,
    port: int,
    protocol: halfclose.HalfCloseableProtocol,
    options: ConnectionOptions,
) -> None:
    """Connect *protocol*, as soon as somebody listens."""
    endpoint = f"tls:127.0.0.1:{port}"
    deadline = backend.time() + LIMIT
    while True:
        try:
            await backend.connect(endpoint, lambda: protocol, options=options, timeout=LIMIT)
        except halfclose.ConnectionRefused:
            assert backend.time() < deadline, f"nobody listens at {endpoint}"
            waited = backend.create_event()
            backend.call_later(0.01, waited.set)
            await waited.wait()
        else:
            return
