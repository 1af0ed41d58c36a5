"""A conversation in memory, on a clock that jumps: who did and saw what, when, in which state.

The client asks in three pieces and half-closes. The server has begun to answer, and goes on.
Everything takes a second from one end to the other.
"""

from __future__ import annotations

from typing import NamedTuple

import halfclose
from halfclose.cli.conversation import Record, Watched
from halfclose.memory.backend import MemoryBackend

__all__ = ["Happening", "Trace", "trace"]

_LATENCY = 1.0
_QUESTION = [b"how ", b"are ", b"you?"]
_ANSWER = 7
"""In how many pieces the answer comes, one a second."""

_BETWEEN = 0.5
"""When the states are looked at, in seconds after each second: nothing happens then."""


class Happening(NamedTuple):
    """Something that one end did or saw.

    :param when: seconds since the client's connection was made.
    :param end: ``client`` or ``server``.
    :param name: the event, or with *verb* what the protocol called.
    """

    when: float
    end: str
    name: str
    verb: bool


class Trace(NamedTuple):
    """All that happened, and for each end the states that its transport had, each since when."""

    happenings: list[Happening]
    states: dict[str, list[tuple[float, str]]]

    def when(self, end: str, name: str) -> list[float]:
        """The moments at which *name* happened at *end*."""
        return [each.when for each in self.happenings if (each.end, each.name) == (end, name)]


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
        for second, piece in enumerate(_QUESTION):
            self.transport.backend.call_later(second, self.transport.write, piece)
        self.transport.backend.call_later(len(_QUESTION), self.transport.loseWriteConnection)


class _Answer(_Quiet):
    left = _ANSWER

    def dataReceived(self, data: bytes) -> None:
        if self.left == _ANSWER:
            self.more()

    def more(self) -> None:
        if self.left:
            self.left -= 1
            self.transport.write(b"fine")
            self.transport.backend.call_later(1.0, self.more)
        else:
            self.transport.loseConnection()


async def _hold(backend: halfclose.Backend) -> Trace:
    assert isinstance(backend, MemoryBackend)
    backend.network.set_latency(_LATENCY)
    happenings: list[Happening] = []
    over = backend.create_event()
    ends = {
        "client": Watched(_Question(), lambda: None, _Timed("client", backend, happenings)),
        "server": Watched(_Answer(), lambda: None, _Timed("server", backend, happenings)),
    }
    states: dict[str, list[tuple[float, str]]] = {end: [] for end in ends}

    def look() -> None:
        for end, watched in ends.items():
            state = watched.watched.transport.state.value
            if not states[end] or states[end][-1][1] != state:
                latest = max(each.when for each in happenings if each.end == end)
                states[end].append((latest if states[end] else begun(), state))
        if any(found[-1][1] != "closed" for found in states.values()):
            backend.call_later(1.0, look)
        else:
            over.set()

    def begun() -> float:
        return next(each.when for each in happenings if each.end == "client")

    async with await backend.listen("memory:server", lambda: ends["server"]):
        await backend.connect("memory:server", lambda: ends["client"])
        backend.call_later(_BETWEEN, look)
        await over.wait()
    return Trace(
        [each._replace(when=each.when - begun()) for each in happenings],
        {end: [(when - begun(), state) for when, state in found] for end, found in states.items()},
    )


def trace() -> Trace:
    """Hold the conversation."""
    return halfclose.run(_hold, backend="memory")
