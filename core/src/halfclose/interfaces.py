"""The interfaces between the library and a program: protocol, transport, producer and backend.

The names and their meaning are those of ``twisted.internet.interfaces`` (``IProtocol``,
``IHalfCloseableProtocol``, ``ITCPTransport``, ``IPushProducer``, ``IPullProducer``). A protocol
that moves here from Twisted needs another base class, and its ``connectionLost`` gets the exception
itself as the reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Protocol as Interface
from typing import TypeAlias, TypeVar, runtime_checkable

from .channel import Capabilities
from .endpoints import Endpoint
from .lifecycle import State
from .listener import Listener
from .loop import EventLoop
from .options import ConnectionOptions

__all__ = [
    "AbstractBackend",
    "BaseProtocol",
    "HalfCloseableProtocol",
    "Producer",
    "Protocol",
    "ProtocolFactory",
    "PullProducer",
    "PushProducer",
    "Transport",
]


class BaseProtocol(ABC):
    """The events that every protocol has, whether half-closeable or not.

    The transport calls every method in the event loop's thread, never inside another event of the
    same connection and never inside a method of the transport. An exception that one of them
    raises is logged and aborts the connection (rules ERR-02 to ERR-05).
    """

    transport: Transport
    """The connection, from `connectionMade` on."""

    def makeConnection(self, transport: Transport) -> None:
        """Attach *transport* and call `connectionMade`. Called once, before any other event
        (rule EVT-01).

        :param transport: the connection, which is up.
        """
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:  # noqa: B027 - an optional event, not a forgotten abstract
        """The connection is up and `transport` can be used. Called once."""

    def connectionLost(self, reason: BaseException) -> None:  # noqa: B027
        """The connection is over. This is its last event, and it always comes, exactly once.

        :param reason: why: `ConnectionDone` for a clean end, `ConnectionLost` or a subclass of it
            for any other end, or the exception that an event of this protocol raised.
        """

    def logPrefix(self) -> str:
        """The name under which this protocol's failures are logged; by default its class's
        name."""
        return type(self).__name__


class Protocol(BaseProtocol):
    """A protocol that receives bytes and for which the peer's end of stream ends everything.

    When the peer stops sending, what was written is flushed and the connection is closed (rule
    EVT-12). To go on writing after the peer's end of stream, derive from
    `HalfCloseableProtocol`.
    """

    def dataReceived(self, data: bytes) -> None:
        """Bytes came from the peer.

        :param data: one or more bytes, cut wherever the network has cut the stream.
        """


class HalfCloseableProtocol(Protocol):
    """A protocol that is told when one half of the connection ends, and keeps the other half.

    This is Twisted's ``IHalfCloseableProtocol``. A transport looks only at whether the protocol is
    an instance of this class.
    """

    @abstractmethod
    def readConnectionLost(self) -> None:
        """The peer will send no more. Writing still works. Called at most once."""

    @abstractmethod
    def writeConnectionLost(self) -> None:
        """Our own end of stream is on its way, or can no longer be sent. Called at most once.

        It comes after `Transport.loseWriteConnection`, once every byte and the end of stream are
        with the kernel. On a pipe it also comes when nobody reads the pipe any more (rule PIP-04).
        Reading still works.
        """


@runtime_checkable
class PullProducer(Interface):
    """Gives one piece of data each time that it is asked: Twisted's ``IPullProducer``."""

    def resumeProducing(self) -> None:
        """Write one piece to the transport, or call ``unregisterProducer``."""

    def stopProducing(self) -> None:
        """Stop for good: nobody will take the data."""


@runtime_checkable
class PushProducer(Interface):
    """Writes as it pleases until it is told to pause: Twisted's ``IPushProducer``."""

    def pauseProducing(self) -> None:
        """Stop writing until `resumeProducing`. Called inside a ``write`` of the producer."""

    def resumeProducing(self) -> None:
        """Go on writing."""

    def stopProducing(self) -> None:
        """Stop for good: nobody will take the data."""


Producer: TypeAlias = "PullProducer | PushProducer"
"""What `Transport.registerProducer` takes."""


class Transport(ABC):
    """The connection, as its protocol sees it: Twisted's ``ITCPTransport``, and a little more.

    All methods are to be called in the event loop's thread. None of them blocks, and none calls
    the protocol before it returns (rule EVT-07).
    """

    __slots__ = ()

    @property
    @abstractmethod
    def backend(self) -> AbstractBackend:
        """The backend that serves the connection. Answers at any time.

        A protocol uses it to set timers, to start tasks and to open further connections.
        """

    @property
    @abstractmethod
    def state(self) -> State:
        """Where the connection is in its life. Answers at any time."""

    @property
    @abstractmethod
    def droppedBytes(self) -> int:
        """How many bytes were dropped: given to `write` too late (rule VRB-05), or waiting for a
        pipe that nobody reads any more (rule PIP-04)."""

    @property
    @abstractmethod
    def failure(self) -> BaseException | None:
        """What has broken the connection: the reason that ``connectionLost`` will get, or got.

        None while the connection works, and after a clean end. While input is still to be
        delivered, `failure` is set before `state` changes: after a failed send, or after a reset
        while reading is paused. Bytes that are written from then on are dropped (rule VRB-11).
        """

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the channel below can do. Answers at any time."""

    # Protocols that were written for Twisted ask for the state by the next three names.

    @property
    def connected(self) -> bool:
        """Whether ``connectionMade`` has been called, and ``connectionLost`` not yet."""
        return self.state.value not in ("connecting", "closed")

    @property
    def disconnecting(self) -> bool:
        """Whether the end has begun, or is past. Only ``connectionLost`` is delivered from then on.

        The end begins with `loseConnection` or `abortConnection`, with the loss of the connection,
        or with the peer's end of stream where the protocol is not half-closeable. A protocol that
        splits its input into messages stops splitting when this is true.
        """
        return self.state.value in ("closing", "ended", "closed")

    @property
    def disconnected(self) -> bool:
        """Whether ``connectionLost`` has been called."""
        return self.state.value == "closed"

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data*, now or as soon as the peer takes it, in order.

        The bytes are dropped if `loseWriteConnection`, `loseConnection` or `abortConnection` has
        been called before, or the connection is lost. The first drop on a connection logs a
        warning, and `droppedBytes` counts all of them. While a producer is registered, bytes are
        sent until it unregisters. Empty data does nothing in any state.

        :param data: copied if it is mutable, so the caller may change it at once.
        :raises TypeError: *data* is not bytes, bytearray or memoryview, whatever the state.
        """

    @abstractmethod
    def writeSequence(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send the concatenation of *data*, as `write` does.

        :param data: the pieces, each as `write` takes it.
        :raises TypeError: an item is not bytes, bytearray or memoryview.
        """

    @abstractmethod
    def loseWriteConnection(self) -> None:
        """End our half: send what was written, then the end of stream, and go on reading.

        A half-closeable protocol hears ``writeConnectionLost`` once the end of stream is with the
        kernel. If a producer is registered, our half ends after ``unregisterProducer``. Idempotent;
        does nothing once the connection is closing or lost. If the peer has reset the connection
        meanwhile, nothing is raised here, and ``connectionLost`` follows.

        :raises Unsupported: the stream cannot end one half alone (capability ``can_half_close`` is
            off). Nothing has changed then.
        """

    @abstractmethod
    def loseConnection(self) -> None:
        """End both halves: send what was written, then the end of stream, then close.

        The protocol hears only ``connectionLost`` from here on. If a producer is registered, the
        connection ends after ``unregisterProducer``. Input that the peer still sends is read and
        discarded, so that the peer can read everything that we wrote (rules END-01, END-02).
        Idempotent.
        """

    @abstractmethod
    def abortConnection(self) -> None:
        """Close at once and discard what is pending. On TCP the peer sees a reset. Idempotent.

        It waits neither for the peer nor for a producer, and also works after `loseConnection`.
        """

    @abstractmethod
    def pauseProducing(self) -> None:
        """Deliver no input until `resumeProducing`. Nothing that arrives is lost. Idempotent."""

    @abstractmethod
    def resumeProducing(self) -> None:
        """Deliver input again, never before this call has returned. Idempotent."""

    @abstractmethod
    def stopProducing(self) -> None:
        """Call `loseConnection`. This is what a transport does that is registered as the producer
        of another one and has to stop."""

    @abstractmethod
    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """Let *producer* write, with back-pressure.

        If `loseWriteConnection` or `loseConnection` has been called before, or the connection is
        lost, *producer* is not registered. Its ``stopProducing`` is called in the next turn then.

        :param producer: what writes to this transport, and is told when to pause and when to go on.
        :param streaming: true for a `PushProducer`, false for a `PullProducer`.
        :raises RuntimeError: a producer is registered already. That one stays registered.
        """

    @abstractmethod
    def unregisterProducer(self) -> None:
        """Forget the producer, which is done. A close that has waited for it goes on. Idempotent.

        Does nothing if no producer is registered.
        """

    @abstractmethod
    def getPeer(self) -> Endpoint:
        """The endpoint of the peer. Answers at any time, after the end too."""

    @abstractmethod
    def getHost(self) -> Endpoint:
        """The endpoint of this side. Answers at any time, after the end too."""

    @abstractmethod
    def getHandle(self) -> object:
        """The socket or stream below, to use what this class has no method for; ``None`` after the
        end."""

    @abstractmethod
    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small writes at once (``TCP_NODELAY``, on by default), or not.

        Does nothing if the connection is not TCP, or is over.

        :param enabled: True: send at once. False: let the kernel collect small writes.
        """

    @abstractmethod
    def getTcpNoDelay(self) -> bool:
        """Whether small writes are sent at once. False if the connection is not TCP or is over."""

    @abstractmethod
    def getTcpKeepAlive(self) -> bool:
        """Whether the kernel probes an idle peer. False if the connection is not TCP or is over."""

    @abstractmethod
    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Have the kernel probe an idle peer (``SO_KEEPALIVE``), or not.

        Does nothing if the connection is not TCP, or is over.

        :param enabled: True: probe. False: do not.
        """

    @abstractmethod
    async def whenClosed(self) -> BaseException:
        """Wait until ``connectionLost`` has returned, and return the reason. Never raises it.

        Any number of tasks may wait, before the end or after it. Cancelling one of them affects
        neither the connection nor the other tasks.
        """


ProtocolFactory: TypeAlias = Callable[[], Protocol]
"""Anything that gives a protocol when it is called without arguments, such as its class."""

P = TypeVar("P", bound=Protocol)


class AbstractBackend(EventLoop):
    """An event loop that connects and listens: the methods that programs and protocols call.

    `halfclose.run`, `halfclose.open_backend` and `Transport.backend` give one. The class that
    implements it, and from which the author of a backend derives, is `halfclose.Backend`.
    """

    @abstractmethod
    async def connect(
        self,
        endpoint: str | Endpoint,
        factory: Callable[[], P],
        timeout: float | None = 30.0,
        options: ConnectionOptions | None = None,
    ) -> P:
        """Connect, attach the protocol that *factory* gives, and return that protocol.

        The protocol is returned even if the connection is lost already; its ``connectionLost`` has
        been called then, or follows. If the call is cancelled, nothing is left behind.

        :param endpoint: where to connect; ``stdio:`` attaches descriptors 0 and 1 of this process.
        :param factory: any callable that gives a protocol. It is called once, when connected.
        :param timeout: seconds for everything, the name lookup included. None means no limit.
        :param options: the settings of this connection; by default those of `ConnectionOptions`.
        :raises EndpointError: *endpoint* is malformed.
        :raises ValueError: *timeout* is negative.
        :raises RuntimeError: the backend has been left, or has not been entered.
        :raises ConnectError: the connection was not made: `ConnectionRefused`, `DNSLookupFailed`,
            `ConnectTimeout`, or `ConnectError` itself for any other reason. The message names the
            endpoint and each attempt.
        :raises TypeError: *factory* is not callable or gave no protocol, or *timeout* is no
            number.
        :raises BaseException: what *factory* or ``connectionMade`` raised.
        """

    @abstractmethod
    async def listen(
        self,
        endpoint: str | Endpoint,
        factory: ProtocolFactory,
        options: ConnectionOptions | None = None,
    ) -> Listener:
        """Listen, and attach to each connection that comes the protocol that *factory* gives.

        If *factory* raises or gives no protocol, that is logged, that connection is aborted, and
        the listener goes on. If the call is cancelled, nothing is left behind.

        :param endpoint: where to listen. With TCP port 0 the system chooses a port, and
            `Listener.endpoint` has it. ``tcp:*:PORT`` is every address of both families,
            ``tcp:[::]:PORT`` every address of IPv6. A unix path that is a stale socket is taken
            over.
        :param factory: any callable that gives a protocol. It is called for each connection.
        :param options: the settings of each connection; by default those of `ConnectionOptions`.
        :returns: the listener, an asynchronous context manager.
        :raises EndpointError: *endpoint* is malformed.
        :raises TypeError: *factory* is not callable.
        :raises RuntimeError: the backend has been left, or has not been entered.
        :raises ListenError: nothing can listen on *endpoint*. The message names it.
        """
