"""``halfclose connect``: standard input and output as the two halves of a connection."""

from __future__ import annotations

from abc import abstractmethod

from .. import running
from ..backend import Backend
from ..endpoints import Endpoint, StandardIO
from ..interfaces import HalfCloseableProtocol
from ..options import ConnectionOptions
from ..reasons import ConnectionAborted, ConnectionDone
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
        # Aborted: by stopProducing, so that it is the other one that was lost.
        if not isinstance(reason, (ConnectionDone, ConnectionAborted)):
            self.fail(one_line(reason))

    def fail(self, why: str) -> None:
        """This connection was lost, and so the other one has to end."""
        self.problems.append(f"{self.name} lost: {why}")
        if self.begun:
            self.other.transport.unregisterProducer()
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
    unread = False

    def writeConnectionLost(self) -> None:
        # Also unasked: a pipe that lost its reader (rule PIP-04).
        if not self.other.read_ended or self.transport.droppedBytes:
            self.unread = True
            self.transport.loseConnection()

    def connectionLost(self, reason: BaseException) -> None:
        cause = reason.__cause__
        if self.unread and (cause is None or isinstance(cause, BrokenPipeError)):
            self.fail("nobody reads the output any more")
        else:
            super().connectionLost(reason)

    def stopProducing(self) -> None:
        # What the peer sent before it was lost still goes out.
        self.transport.loseConnection()
