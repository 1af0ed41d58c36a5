"""``halfclose connect`` and ``halfclose listen``: carry stdin and stdout over a connection."""

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
from ..text import one_line
from .report import Problem, reported, say
from .serving import need_standard_io
from .signals import Signals

__all__ = ["Manner", "accept_one", "relay"]


@dataclass(frozen=True)
class Manner:
    """How a conversation is held, and when it is over.

    :param options: options of the connection with the peer.
    :param idle_timeout: seconds without a byte moving either way, after which the conversation is
        over. If bytes still wait that nobody takes, that is a failure. None: never.
    :param exit_on_close: whether the conversation is over when the peer has ended its half.
    :param verbose: whether to tell on stderr what happens.
    """

    options: ConnectionOptions
    idle_timeout: float | None = None
    exit_on_close: bool = False
    verbose: bool = False


def relay(endpoint: Endpoint, backend: str | None, timeout: float, manner: Manner) -> int:
    """Carry stdin to *endpoint* and what comes from there to stdout, until both have ended.

    :param endpoint: where to connect.
    :param backend: the name of the backend; None: the one that is found.
    :param timeout: seconds that connecting may take.
    :param manner: how the conversation is held.
    :returns: the exit status.
    :raises Problem: the connection or stdio was lost.
    :raises HalfcloseError: the backend cannot be used, or connecting failed.
    :raises Stopped: a signal ended the conversation; the connection was aborted.
    """

    async def connect(backend: Backend, talk: _Talk) -> None:
        with reported(f"cannot connect to {endpoint}"):
            await backend.connect(endpoint, lambda: talk.peer, timeout, manner.options)
        there = talk.peer.transport
        talk.tell(f"connected to {there.getPeer()} from {there.getHost()}")

    return _hold(f"connection to {endpoint}", connect, backend, manner)


def accept_one(
    endpoint: Endpoint, backend: str | None, timeout: float | None, manner: Manner
) -> int:
    """Wait for one connection on *endpoint*, and carry stdin and stdout over it as `relay` does.

    :param endpoint: where to listen.
    :param backend: the name of the backend; None: the one that is found.
    :param timeout: seconds to wait for a connection; None: for ever.
    :param manner: how the conversation is held.
    :returns: the exit status.
    :raises Problem: the connection or stdio was lost, or no connection came in time.
    :raises HalfcloseError: the backend cannot be used, or listening failed.
    :raises Stopped: a signal ended the conversation; the connection, if there was one, was aborted.
    """

    async def accept(backend: Backend, talk: _Talk) -> None:
        came = backend.create_event()
        waiting = [talk.peer]

        def factory() -> HalfCloseableProtocol:
            came.set()
            return waiting.pop() if waiting else _Refused()

        with reported(f"cannot listen on {endpoint}"):
            listening = await backend.listen(endpoint, factory, manner.options)
        async with listening as listener:
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
    """The protocol of a second connection, which came before the listener was closed."""

    def connectionMade(self) -> None:
        self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        """Does nothing: the connection was aborted before."""

    def writeConnectionLost(self) -> None:
        """Does nothing: the connection was aborted before."""


def _hold(
    name: str,
    begin: Callable[[Backend, _Talk], Awaitable[None]],
    backend: str | None,
    manner: Manner,
) -> int:
    """Run one conversation, and return the exit status.

    :param name: what the connection is called in messages.
    :param begin: connects `_Talk.peer`.
    """
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
    """Hold one conversation, and give its failures, as text."""
    signals.attach(backend)
    talk = _Talk(backend, name, manner)
    # The peer comes first, so that nothing is read from standard input if connecting fails.
    await begin(backend, talk)
    await backend.connect(StandardIO(), lambda: talk.stdio, options=talk.stdio_options)
    talk.begin()
    await talk.peer.transport.whenClosed()
    await talk.stdio.transport.whenClosed()
    talk.end()
    return talk.problems


class _Talk:
    """One conversation: the connection with the peer, and the one with stdio."""

    def __init__(self, backend: Backend, name: str, manner: Manner) -> None:
        self.manner = manner
        self.problems: list[str] = []
        self.begun = False
        self.peer = _Peer(name, self)
        self.stdio = _Stdio("stdio", self)
        self.peer.other, self.stdio.other = self.stdio, self.peer
        # Bytes that are pending at the end are still written. If nobody takes them for that long,
        # they are lost, and this is reported.
        self.stdio_options = ConnectionOptions(close_timeout=manner.idle_timeout)
        self._backend = backend
        self._begun_at = backend.time()
        self._idle: Deadline | None = None

    def begin(self) -> None:
        """Begin to carry bytes, after both connections are made."""
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
        """Tell the numbers, after both connections are over."""
        if self._idle is not None:
            self._idle.cancel()
        sent = self.stdio.received - self.peer.transport.droppedBytes
        took = self._backend.time() - self._begun_at
        self.tell(f"over: {sent} bytes sent, {self.peer.received} received, {took:.3f} s")

    def tell(self, what: str) -> None:
        """Write *what* to stderr, with ``--verbose`` only."""
        if self.manner.verbose:
            say(one_line(what))

    def finish(self) -> None:
        """Close both connections, after everything that is pending has been written."""
        for one in (self.peer, self.stdio):
            one.transport.unregisterProducer()
            one.transport.loseConnection()

    def moved(self) -> None:
        """Start the idle timeout anew, because a byte came."""
        if self._idle is not None:
            self._idle.touch()

    def _waiting(self) -> int:
        """How many bytes have come from one side and wait to be taken by the other."""
        ends = (self.peer.transport, self.stdio.transport)
        return sum(one.waiting() for one in ends if isinstance(one, Connection))

    def _end_idle(self) -> None:
        """End the conversation, because nothing has moved for the idle timeout."""
        limit = f"{self.manner.idle_timeout:g} s"
        self.tell(f"no byte for {limit}")
        for one in (self.peer, self.stdio):
            # If the other end is paused, this one did not take what waits for it.
            if one.other.paused:
                one.fail(f"nothing was taken for {limit} of what waits")
                one.transport.abortConnection()
        if not self.problems:
            self.finish()


class _End(HalfCloseableProtocol):
    """The protocol of one of the two connections, and the producer for the other connection."""

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
        """Start reading, and become the producer of the other connection."""
        self.other.transport.registerProducer(self, True)
        self.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        self.talk.moved()
        self.other.take(data)

    def take(self, data: bytes) -> None:
        """Write *data*, which the other connection has read."""
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        self.read_ended = True
        self.other.transport.unregisterProducer()
        self.other.transport.loseWriteConnection()

    def connectionLost(self, reason: BaseException) -> None:
        # ConnectionAborted means that `give_up` aborted this one, because the other was lost.
        if not isinstance(reason, (ConnectionDone, ConnectionAborted)):
            self.fail(one_line(reason))

    def fail(self, why: str) -> None:
        """Report that this connection was lost, and end the other one. Idempotent."""
        if self.failed:
            return
        self.failed = True
        self.talk.problems.append(f"{self.name} lost: {why}")
        if self.talk.begun:
            self.other.transport.unregisterProducer()
            self.other.give_up()

    @abstractmethod
    def give_up(self) -> None:
        """End this connection, because the other one was lost."""

    def pauseProducing(self) -> None:
        self.paused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        self.transport.resumeProducing()

    @abstractmethod
    def stopProducing(self) -> None:
        """React to the other connection, which takes no more bytes."""


class _Peer(_End):
    """The end that talks to the peer."""

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
        # Nobody reads our output any more, but the upload may go on. Only if the peer sends
        # something, that is lost (see `_Stdio.take`). So the peer is read, to see whether it does.
        self.resumeProducing()


class _Stdio(_End):
    """The end at standard input and output."""

    unread = False
    """Whether nobody reads standard output any more."""

    def take(self, data: bytes) -> None:
        super().take(data)
        if self.unread:
            self._fail_unread()

    def writeConnectionLost(self) -> None:
        # This also comes although the peer has not ended its half, when a pipe has lost its
        # reader (rule PIP-04).
        if self.transport.droppedBytes:
            self._fail_unread()
        elif not self.other.read_ended:
            self.unread = True
            self.talk.tell("nobody reads the output any more")

    def _fail_unread(self) -> None:
        """Report that the peer sent something that nobody reads, and close stdio."""
        self.fail("nobody reads the output any more")
        self.transport.loseConnection()

    def give_up(self) -> None:
        # Not abortConnection: what the peer sent before it was lost is still written.
        self.transport.loseConnection()

    def stopProducing(self) -> None:
        # The peer was lost. The rest of standard input is left for the next program that reads it.
        self.pauseProducing()
