"""What these tests share: certificates, the sides of TLS, and a protocol."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Literal

import trustme
from halfclose import HalfCloseableProtocol, TLSOptions
from halfclose.interfaces import HandshakeListener

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

ALL = b"".join(DATA)

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


Truncation = Literal["error", "eof"]


def options(side: Side, truncation: Truncation = "error") -> TLSOptions:
    """The options of our end on that *side*."""
    if side in SERVERS:
        return TLSOptions(server_context(), truncation=truncation)
    return TLSOptions(client_context(), server_hostname=NAME, truncation=truncation)


Manner = Literal["answers", "ends first", "closes at once", "closes at data", "is late"]
MANNERS: tuple[Manner, ...] = (
    "answers",
    "ends first",
    "closes at once",
    "closes at data",
    "is late",
)
"""What our end does beside: it reads late, or does not wait for the peer's end."""


class Told(HalfCloseableProtocol, HandshakeListener):
    """Notes what it is told, answers after the peer's end of stream, and closes.

    :param start: how it starts TLS, if it does.
    :param truncation: as for TLSOptions, where it starts TLS.
    :param answer: what it answers.
    :param manner: what else it does.
    :param waits: whether the test calls `give_answer`.
    """

    def __init__(
        self,
        start: Side | None = None,
        truncation: Truncation = "error",
        *,
        answer: bytes = ANSWER,
        waits: bool = False,
        manner: Manner = "answers",
    ) -> None:
        self.events: list[str] = []
        self.data = b""
        self.reason: BaseException | None = None
        self._start = start
        self._truncation = truncation
        self._answer = answer
        self._waits = waits
        self.manner = manner

    def connectionMade(self) -> None:
        self.events.append("made")
        if self._start is not None:
            tls = options(self._start, self._truncation)
            self.transport.startTLS(tls, server_side=self._start in SERVERS)
        self.transport.write(GREETING)
        if self.manner == "ends first":
            self.transport.loseWriteConnection()
        elif self.manner == "closes at once":
            self.transport.loseConnection()
        elif self.manner == "is late":
            self.transport.pauseProducing()
            self.transport.backend.call_later(1, self.transport.resumeProducing)

    def handshakeCompleted(self) -> None:
        self.events.append("handshake")

    def dataReceived(self, data: bytes) -> None:
        if self.events[-1] != "data":
            self.events.append("data")
        self.data += data
        if self.manner == "closes at data":
            self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        self.events.append("read")
        if not (self._waits or self.manner == "ends first"):
            self.give_answer()

    def give_answer(self) -> None:
        self.transport.write(self._answer)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        self.events.append("write")

    def connectionLost(self, reason: BaseException) -> None:
        self.events.append("lost")
        self.reason = reason
