"""The conversation of ``halfclose demo``, with a record of what each end did and saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from ..backend import Backend
from ..endpoints import TCP
from ..examples import Ask, Echo
from ..interfaces import HalfCloseableProtocol, Transport
from .ladder import Entry, Events

__all__ = ["Record", "Watched", "converse"]

_TIMEOUT = 10.0
"""Seconds after which a conversation is over, even if it has not ended."""

_VERBS = frozenset({"write", "loseWriteConnection", "loseConnection", "abortConnection"})
_DATA = frozenset({"dataReceived", "write"})


class Record:
    """What one end did and saw.

    How the network divides the data differs by chance, so data in a row is joined.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[str, object, bool]] = []

    def add(self, name: str, detail: object = "", *, verb: bool = False) -> None:
        """Add an event, or with *verb* a call to the transport."""
        if name in _DATA:
            for index in reversed(range(len(self._entries))):
                earlier, data, _ = self._entries[index]
                if earlier not in _DATA:
                    break
                if earlier == name:
                    self._entries[index] = (name, cast(bytes, data) + cast(bytes, detail), verb)
                    return
        self._entries.append((name, detail, verb))

    def entries(self) -> tuple[Entry, ...]:
        """All that was added, in a form that can be compared."""
        return tuple(
            Entry(name, repr(detail) if isinstance(detail, bytes) else str(detail), verb)
            for name, detail, verb in self._entries
        )


class _Spy:
    """A transport that records the calls of its protocol, and passes them on."""

    def __init__(self, transport: Transport, record: Record) -> None:
        self._transport = transport
        self._record = record

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        # A connection treats another transport as a producer in a special way, which it knows by
        # the type (rule PRD-09). So it gets the real transport.
        self._transport.registerProducer(
            self._transport if producer is self else producer, streaming
        )

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._transport, name)
        if name not in _VERBS:
            return method

        def recorded(*arguments: Any) -> Any:
            self._record.add(name, *(bytes(data) for data in arguments), verb=True)
            return method(*arguments)

        return recorded


class Watched(HalfCloseableProtocol):
    """Records each event, and passes it on to the protocol that is watched.

    :param protocol: the protocol that is watched.
    :param ended: called after ``connectionLost``.
    :param record: where it is recorded; by default a new `Record`.
    """

    def __init__(
        self,
        protocol: HalfCloseableProtocol,
        ended: Callable[[], object],
        record: Record | None = None,
    ) -> None:
        self.watched = protocol
        self._ended = ended
        self.record: Record = Record() if record is None else record

    def makeConnection(self, transport: Transport) -> None:
        self.record.add("connectionMade")
        self.watched.makeConnection(cast(Transport, _Spy(transport, self.record)))

    def dataReceived(self, data: bytes) -> None:
        self.record.add("dataReceived", data)
        self.watched.dataReceived(data)

    def readConnectionLost(self) -> None:
        self.record.add("readConnectionLost")
        self.watched.readConnectionLost()

    def writeConnectionLost(self) -> None:
        self.record.add("writeConnectionLost")
        self.watched.writeConnectionLost()

    def connectionLost(self, reason: BaseException) -> None:
        self.record.add("connectionLost", type(reason).__name__)
        self.watched.connectionLost(reason)
        self._ended()


async def converse(backend: Backend) -> Events:
    """Hold the conversation on *backend*, and give what both ends recorded."""
    over = backend.create_event()
    open_ends = [True, True]

    def ended() -> None:
        open_ends.pop()
        if not open_ends:
            over.set()

    client, server = Watched(Ask(), ended), Watched(Echo(), ended)
    timer = backend.call_later(_TIMEOUT, over.set)
    async with await backend.listen(TCP("127.0.0.1", 0), lambda: server) as listener:
        await backend.connect(listener.endpoint, lambda: client)
        await over.wait()
    timer.cancel()
    return Events(client.record.entries(), server.record.entries())
