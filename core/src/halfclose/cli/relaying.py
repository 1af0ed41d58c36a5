"""``halfclose connect``: standard input and output as the two halves of a connection."""

from __future__ import annotations

from abc import abstractmethod

from .. import running
from ..backend import Backend
from ..endpoints import Endpoint, StandardIO
from ..interfaces import HalfCloseableProtocol
from ..options import ConnectionOptions
from ..reasons import ConnectionDone
from .report import Problem, one_line
from .serving import need_standard_io
from .signals import Signals

__all__ = ["relay"]


def relay(
    endpoint: Endpoint, backend: str | None, timeout: float, options: ConnectionOptions
) -> int:
    """Carry stdin to *endpoint* and what comes from there to stdout, until both have ended.

    :returns: the exit status.
    :raises Problem: a connection was lost.
    :raises HalfcloseError: the backend cannot be used, or *endpoint* not be connected to.
    """
    need_standard_io()
    with Signals() as signals:
        problems = running.run(_relay, signals, endpoint, timeout, options, backend=backend)
    if problems:
        raise Problem(problems[0])
    return 0


async def _relay(
    backend: Backend,
    signals: Signals,
    endpoint: Endpoint,
    timeout: float,
    options: ConnectionOptions,
) -> list[str]:
    signals.attach(backend)
    problems: list[str] = []
    peer, stdio = _Peer(f"connection to {endpoint}", problems), _Stdio("stdio", problems)
    peer.other, stdio.other = stdio, peer
    # The peer first: if nobody is there, standard input is left as it is.
    await backend.connect(endpoint, lambda: peer, timeout, options)
    await backend.connect(StandardIO(), lambda: stdio)
    peer.begin()
    stdio.begin()
    await peer.transport.whenClosed()
    await stdio.transport.whenClosed()
    return problems


class _End(HalfCloseableProtocol):
    """One of the two connections: a protocol, and the producer of what the other one writes."""

    other: _End

    def __init__(self, name: str, problems: list[str]) -> None:
        self.name = name
        self.problems = problems
        self.begun = False
        self.read_ended = False

    def connectionMade(self) -> None:
        self.transport.pauseProducing()

    def begin(self) -> None:
        """Both connections are made."""
        self.begun = True
        self.other.transport.registerProducer(self, True)
        self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        self.other.transport.write(data)

    def readConnectionLost(self) -> None:
        self.read_ended = True
        self.other.transport.unregisterProducer()
        self.other.transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        """Our end of stream is out; the other half goes on."""

    def connectionLost(self, reason: BaseException) -> None:
        if not isinstance(reason, ConnectionDone):
            self.problems.append(f"{self.name} lost: {one_line(reason)}")
            if self.begun:
                self.other.stopProducing()

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    @abstractmethod
    def stopProducing(self) -> None:
        """The other connection takes nothing more, so this one ends too."""


class _Peer(_End):
    def stopProducing(self) -> None:
        # Not loseConnection: a truncated upload must not look complete.
        self.transport.abortConnection()


class _Stdio(_End):
    def writeConnectionLost(self) -> None:
        if not self.other.read_ended or self.transport.droppedBytes:
            self.problems.append("stdio lost: nobody reads the output any more")
            self.other.stopProducing()
            self.stopProducing()

    def stopProducing(self) -> None:
        # What the peer sent before it was lost still goes out.
        self.transport.loseConnection()
