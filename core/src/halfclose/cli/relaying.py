"""``halfclose connect`` and ``halfclose listen``: standard input and output as a connection."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .. import running
from ..backend import Backend
from ..connection import Connection
from ..deadline import Deadline
from ..endpoints import Endpoint, StandardIO
from ..interfaces import HalfCloseableProtocol
from ..options import ConnectionOptions
from ..reasons import ConnectionAborted, ConnectionDone, HalfCloseTimeout
from .report import Problem, one_line, say
from .serving import need_standard_io
from .signals import Signals

__all__ = ["Manner", "accept_one", "relay"]


@dataclass(frozen=True)
class Manner:
    """How a conversation is held, and when it is over.

    :param options: of the connection with the peer.
    :param idle_timeout: seconds in which no byte came, and none that waits was taken, after which
        it is over, and nothing is wrong unless one waits; None: never.
    :param exit_on_close: it is over when the peer has ended its half.
    :param verbose: tell on stderr what happens.
    """

    options: ConnectionOptions
    idle_timeout: float | None = None
    exit_on_close: bool = False
    verbose: bool = False


def relay(endpoint: Endpoint, backend: str | None, timeout: float, manner: Manner) -> int:
    """Carry stdin to *endpoint* and what comes from there to stdout, until both have ended.

    :param timeout: seconds for connecting.
    :returns: the exit status.
    :raises Problem: a connection was lost.
    :raises HalfcloseError: the backend cannot be used, or *endpoint* not be connected to.
    :raises Stopped: a signal ended it; the connection was aborted.
    """

    async def connect(backend: Backend, talk: _Talk) -> None:
        await backend.connect(endpoint, lambda: talk.peer, timeout, manner.options)
        there = talk.peer.transport
        talk.tell(f"connected to {there.getPeer()} from {there.getHost()}")

    return _hold(f"connection to {endpoint}", connect, backend, manner)


def accept_one(
    endpoint: Endpoint, backend: str | None, timeout: float | None, manner: Manner
) -> int:
    """Wait for one connection on *endpoint*, and `relay` between it and stdin and stdout.

    :param timeout: seconds to wait for it; None: for ever.
    :returns: the exit status.
    :raises Problem: a connection was lost, or none came in time.
    :raises HalfcloseError: the backend cannot be used, or *endpoint* not be listened on.
    :raises Stopped: a signal ended it; a connection was aborted.
    """

    async def accept(backend: Backend, talk: _Talk) -> None:
        came = backend.create_event()
        waiting = [talk.peer]

        def factory() -> HalfCloseableProtocol:
            came.set()
            return waiting.pop() if waiting else _Refused()

        async with await backend.listen(endpoint, factory, manner.options) as listener:
            say(f"listening on {listener.endpoint}")
            talk.peer.name = f"connection on {listener.endpoint}"
            timer = None if timeout is None else backend.call_later(timeout, came.set)
            await came.wait()
        if timer is not None:
            timer.cancel()
        if waiting:
            raise Problem(f"nobody connected to {listener.endpoint} within {timeout:g} s")
        there = talk.peer.transport
        talk.tell(f"connection from {there.getPeer()} to {there.getHost()}")

    return _hold(f"connection on {endpoint}", accept, backend, manner)


class _Refused(HalfCloseableProtocol):
    """Came in the moment in which another one was the first."""

    def connectionMade(self) -> None:
        self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        """It is over already."""

    def writeConnectionLost(self) -> None:
        """It is over already."""


def _hold(
    name: str,
    begin: Callable[[Backend, _Talk], Awaitable[None]],
    backend: str | None,
    manner: Manner,
) -> int:
    need_standard_io()
    with Signals() as signals:
        problems = running.run(_converse, signals, name, begin, manner, backend=backend)
    if problems:
        raise Problem(problems[0])
    return 0


async def _converse(
    backend: Backend,
    signals: Signals,
    name: str,
    begin: Callable[[Backend, _Talk], Awaitable[None]],
    manner: Manner,
) -> list[str]:
    signals.attach(backend)
    talk = _Talk(backend, name, manner)
    # The peer first: if nobody is there, standard input is left as it is.
    await begin(backend, talk)
    await backend.connect(StandardIO(), lambda: talk.stdio, options=talk.stdio_options)
    talk.begin()
    await talk.peer.transport.whenClosed()
    await talk.stdio.transport.whenClosed()
    talk.end()
    return talk.problems


class _Talk:
    """One conversation: the peer and us."""

    def __init__(self, backend: Backend, name: str, manner: Manner) -> None:
        self.manner = manner
        self.problems: list[str] = []
        self.begun = False
        self.peer = _Peer(name, self)
        self.stdio = _Stdio("stdio", self)
        self.peer.other, self.stdio.other = self.stdio, self.peer
        # What is pending when it is over goes out, or is lost and told.
        self.stdio_options = ConnectionOptions(close_timeout=manner.idle_timeout)
        self._backend = backend
        self._begun_at = backend.time()
        self._idle: Deadline | None = None

    def begin(self) -> None:
        """Both connections are made."""
        if self.problems:
            self.stdio.transport.loseConnection()
            return
        self.begun = True
        limit = self.manner.idle_timeout
        if limit is not None:
            self._idle = Deadline(self._backend, limit, self._end_idle, self._waiting)
        self.peer.begin()
        self.stdio.begin()

    def end(self) -> None:
        """Both connections are over."""
        if self._idle is not None:
            self._idle.cancel()
        sent = self.stdio.received - self.peer.transport.droppedBytes
        took = self._backend.time() - self._begun_at
        self.tell(f"over: {sent} bytes sent, {self.peer.received} received, {took:.3f} s")

    def tell(self, what: str) -> None:
        """Say *what*, if we are asked to."""
        if self.manner.verbose:
            say(one_line(what))

    def finish(self) -> None:
        """End both connections, and let what is pending go out before."""
        for one in (self.peer, self.stdio):
            one.transport.unregisterProducer()
            one.transport.loseConnection()

    def moved(self) -> None:
        """A byte came."""
        if self._idle is not None:
            self._idle.touch()

    def _waiting(self) -> int:
        """Bytes that came, and that the other side has yet to take."""
        ends = (self.peer.transport, self.stdio.transport)
        return sum(one.waiting() for one in ends if isinstance(one, Connection))

    def _end_idle(self) -> None:
        limit = f"{self.manner.idle_timeout:g} s"
        self.tell(f"no byte for {limit}")
        for one in (self.peer, self.stdio):
            # What is paused has more to say, which nobody will hear.
            if one.other.paused:
                one.fail(f"nothing was taken for {limit} of what waits")
                one.transport.abortConnection()
        if not self.problems:
            self.finish()


class _End(HalfCloseableProtocol):
    """One of the two connections: a protocol, and the producer of what the other one writes."""

    other: _End

    def __init__(self, name: str, talk: _Talk) -> None:
        self.name = name
        self.talk = talk
        self.received = 0
        self.read_ended = False
        self.paused = False
        self.failed = False

    def connectionMade(self) -> None:
        self.transport.pauseProducing()

    def begin(self) -> None:
        self.other.transport.registerProducer(self, True)
        self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        self.talk.moved()
        self.other.take(data)

    def take(self, data: bytes) -> None:
        """The other connection has read *data*."""
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        self.read_ended = True
        self.other.transport.unregisterProducer()
        self.other.transport.loseWriteConnection()

    def connectionLost(self, reason: BaseException) -> None:
        # Aborted: by give_up, so that it is the other one that was lost.
        if not isinstance(reason, (ConnectionDone, ConnectionAborted)):
            self.fail(one_line(reason))

    def fail(self, why: str) -> None:
        """This connection was lost, and so the other one has to end."""
        if self.failed:
            return
        self.failed = True
        self.talk.problems.append(f"{self.name} lost: {why}")
        if self.talk.begun:
            self.other.transport.unregisterProducer()
            self.other.give_up()

    @abstractmethod
    def give_up(self) -> None:
        """The other connection was lost, so this one ends too."""

    def pauseProducing(self) -> None:
        self.paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        self.transport.resumeProducing()

    @abstractmethod
    def stopProducing(self) -> None:
        """The other connection takes nothing more."""


class _Peer(_End):
    def readConnectionLost(self) -> None:
        self.talk.tell(f"the peer has ended its half, {self.received} bytes received")
        super().readConnectionLost()
        if self.talk.manner.exit_on_close:
            self.talk.finish()

    def writeConnectionLost(self) -> None:
        self.talk.tell(f"our half has ended, {self.other.received} bytes sent")

    def connectionLost(self, reason: BaseException) -> None:
        if isinstance(reason, HalfCloseTimeout):
            self.fail(f"{one_line(reason)} (to end without a failure then: --idle-timeout)")
        else:
            super().connectionLost(reason)

    def give_up(self) -> None:
        # Not loseConnection: a truncated upload must not look complete.
        self.transport.abortConnection()

    def stopProducing(self) -> None:
        # Nobody reads our output any more. That is no end of the upload: only if the peer says
        # something, it is lost (`_Stdio.take`). So we look.
        self.resumeProducing()


class _Stdio(_End):
    unread = False

    def take(self, data: bytes) -> None:
        super().take(data)
        if self.unread:
            self._fail_unread()

    def writeConnectionLost(self) -> None:
        # Also unasked: a pipe that lost its reader (rule PIP-04).
        if self.transport.droppedBytes:
            self._fail_unread()
        elif not self.other.read_ended:
            self.unread = True
            self.talk.tell("nobody reads the output any more")

    def _fail_unread(self) -> None:
        self.fail("nobody reads the output any more")
        self.transport.loseConnection()

    def give_up(self) -> None:
        # What the peer sent before it was lost still goes out.
        self.transport.loseConnection()

    def stopProducing(self) -> None:
        # The peer was lost: what is left of our input is the next program's.
        self.pauseProducing()
