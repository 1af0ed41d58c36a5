"""A conversation over TLS in memory, on a clock that jumps: what both ends did and saw, and what
somebody between them has seen go by, who cannot decrypt it.

Everything takes a second from the client to the middle, and another one to the server.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import NamedTuple

import halfclose
import trustme
from halfclose.cli.conversation import Record, Watched
from halfclose.memory.backend import MemoryBackend

from .trace import Happening

__all__ = ["LATENCY", "Passing", "TLSTrace", "tls_trace"]

LATENCY = 1.0
"""Seconds from an end to the middle."""

_HEAD = 5
"""Bytes before the content of a record: its type, a version, and its length in the last two."""

_CLOSE_NOTIFY = "close_notify"
_TYPES = {20: "handshake", 21: _CLOSE_NOTIFY, 22: "handshake", 23: "data"}
"""What a record is, by its type. The only alert of a conversation without faults is close_notify.
TLS 1.3 hides the types, so the conversation is in 1.2; what is sent is the same."""


class Passing(NamedTuple):
    """Something that went by in the middle.

    :param when: seconds since the client has begun.
    :param of_client: whether it came from the client.
    :param what: ``handshake``, ``data``, ``close_notify`` or ``end of stream``.
    """

    when: float
    of_client: bool
    what: str


class TLSTrace(NamedTuple):
    """All that happened, and all that went by."""

    happenings: list[Happening]
    passings: list[Passing]


class _Timed(Record):
    def __init__(self, end: str, backend: halfclose.Backend, into: list[Happening]) -> None:
        super().__init__()
        self._end, self._backend, self._into = end, backend, into

    def add(self, name: str, detail: object = "", *, verb: bool = False) -> None:
        self._into.append(Happening(self._backend.time(), self._end, name, verb))


class _Quiet(halfclose.HalfCloseableProtocol):
    def readConnectionLost(self) -> None:
        pass

    def writeConnectionLost(self) -> None:
        pass


class _Question(_Quiet):
    def connectionMade(self) -> None:
        self.transport.backend.call_later(1, self.transport.write, b"question")
        self.transport.backend.call_later(2, self.transport.loseWriteConnection)


class _Answer(_Quiet):
    def readConnectionLost(self) -> None:
        for second in (1, 2):
            self.transport.backend.call_later(second, self.transport.write, b"answer")
        self.transport.backend.call_later(3, self.transport.loseConnection)


class _Middle(halfclose.HalfCloseableProtocol):
    """Passes on what comes from one end, and notes what it is.

    :param ended: called after the end of stream.
    """

    def __init__(self, of_client: bool, into: list[Passing], ended: Callable[[], object]) -> None:
        self._of_client = of_client
        self._into = into
        self._ended = ended
        self._rest = b""
        self.other: _Middle

    def dataReceived(self, data: bytes) -> None:
        self.other.transport.write(data)
        self._rest += data
        while len(self._rest) >= _HEAD:
            size = _HEAD + int.from_bytes(self._rest[3:_HEAD], "big")
            if len(self._rest) < size:
                break
            self._note(_TYPES[self._rest[0]])
            self._rest = self._rest[size:]

    def readConnectionLost(self) -> None:
        self._note("end of stream")
        self.other.transport.loseWriteConnection()
        self._ended()

    def writeConnectionLost(self) -> None:
        pass

    def _note(self, what: str) -> None:
        passing = Passing(self.transport.backend.time(), self._of_client, what)
        # A flight of the handshake is of several records.
        if passing not in self._into:
            self._into.append(passing)


async def _hold(
    backend: halfclose.Backend, client_tls: ssl.SSLContext, server_tls: ssl.SSLContext
) -> TLSTrace:
    assert isinstance(backend, MemoryBackend)
    backend.network.set_latency(LATENCY)
    happenings: list[Happening] = []
    passings: list[Passing] = []
    over = [backend.create_event() for _ in range(4)]
    client = Watched(_Question(), over[0].set, _Timed("client", backend, happenings))
    server = Watched(_Answer(), over[1].set, _Timed("server", backend, happenings))
    of_client = _Middle(True, passings, over[2].set)
    of_server = _Middle(False, passings, over[3].set)
    of_client.other, of_server.other = of_server, of_client

    def options(context: ssl.SSLContext) -> halfclose.ConnectionOptions:
        tls = halfclose.TLSOptions(context, server_hostname="server")
        return halfclose.ConnectionOptions(tls=tls)

    async with (
        await backend.listen("memory:server", lambda: server, options(server_tls)),
        await backend.listen("memory:middle", lambda: of_client),
    ):
        await backend.connect("memory:server", lambda: of_server)
        await backend.connect("memory:middle", lambda: client, options=options(client_tls))
        for each in over:
            await each.wait()
    begun = passings[0].when - LATENCY
    return TLSTrace(
        [each._replace(when=each.when - begun) for each in happenings],
        [each._replace(when=each.when - begun) for each in passings],
    )


def tls_trace() -> TLSTrace:
    """Hold the conversation."""
    authority = trustme.CA()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("server").configure_cert(server_tls)
    server_tls.maximum_version = ssl.TLSVersion.TLSv1_2
    client_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client_tls)
    return halfclose.run(_hold, client_tls, server_tls, backend="memory")
