"""What a protocol, a transport and a producer are, in Twisted's vocabulary.

The names and their meaning are those of ``twisted.internet.interfaces`` (``IProtocol``,
``IHalfCloseableProtocol``, ``ITCPTransport``, ``IPushProducer``, ``IPullProducer``). A protocol
that moves from Twisted has another base class, and a reason that is the exception itself.
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
    """One end of a connection, as every protocol sees it.

    Every method is called by the transport, in the event loop's thread, never inside another
    event of the same connection and never inside a transport method. An exception that one of
    them raises is logged and aborts the connection (rules ERR-02 to ERR-05).
    """

    transport: Transport

    def makeConnection(self, transport: Transport) -> None:
        """Attach *transport* and call `connectionMade`. Called once, before anything else."""
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:  # noqa: B027 - an optional event, not a forgotten abstract
        """The connection is up and `transport` can be used. Called once."""

    def connectionLost(self, reason: BaseException) -> None:  # noqa: B027
        """The connection is over; this is its last event, and it always comes, once.

        :param reason: why: `ConnectionDone` for a clean end, `ConnectionLost` and its subclasses
            for any other, or the exception that an event of this protocol raised.
        """

    def logPrefix(self) -> str:
        """The name under which this protocol's failures are logged; by default its class's."""
        return type(self).__name__


class Protocol(BaseProtocol):
    """A protocol that receives bytes and for which the peer's end of stream ends everything.

    When the peer stops sending, what was written is flushed and the connection is closed (rule
    EVT-12). To go on writing after the peer's end of stream, derive from
    `HalfCloseableProtocol`.
    """

    def dataReceived(self, data: bytes) -> None:
        """Bytes came from the peer.

        :param data: one or more bytes, cut wherever the network cut them.
        """


class HalfCloseableProtocol(Protocol):
    """A protocol that is told when one half of the connection ends and keeps the other.

    Twisted's ``IHalfCloseableProtocol``. Being half-closeable is a type: a transport looks only
    at whether the protocol is an instance of this class.
    """

    @abstractmethod
    def readConnectionLost(self) -> None:
        """The peer will send no more. Writing still works. Called at most once."""

    @abstractmethod
    def writeConnectionLost(self) -> None:
        """Our own end of stream is on its way, or can no longer be sent. Called at most once.

        It follows `Transport.loseWriteConnection` once every byte and the end of stream are with
        the kernel; on a pipe also the loss of its reader (rule PIP-04). Reading still works.
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
        """Stop writing until `resumeProducing`; it is called inside a ``write``."""

    def resumeProducing(self) -> None:
        """Go on writing."""

    def stopProducing(self) -> None:
        """Stop for good: nobody will take the data."""


Producer: TypeAlias = "PullProducer | PushProducer"


class Transport(ABC):
    """What a protocol holds of its connection: Twisted's ``ITCPTransport``, and a little more.

    All methods are to be called in the event loop's thread. None of them blocks, and none calls
    the protocol before it returns (rule EVT-07).
    """

    __slots__ = ()

    @property
    @abstractmethod
    def backend(self) -> AbstractBackend:
        """The backend that serves the connection, with its event loop; answers at any time.

        By it a protocol sets timers, begins tasks, and connects to others, whoever has made the
        protocol.
        """

    @property
    @abstractmethod
    def state(self) -> State:
        """Where the connection is in its life; answers at any time."""

    @property
    @abstractmethod
    def droppedBytes(self) -> int:
        """Bytes that were given to `write` too late, or lost their reader (VRB-05, PIP-04)."""

    @property
    @abstractmethod
    def failure(self) -> BaseException | None:
        """What has broken the connection: the reason that ``connectionLost`` will get, or got.

        None while nothing has, and after a clean end. It is known before `state` shows it where
        input is still to be delivered: after a failed send, or a reset while reading is paused.
        What is written from then on is dropped.
        """

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the channel below can do; answers at any time."""

    # The names under which Twisted's protocols ask for the state; read only.

    @property
    def connected(self) -> bool:
        """Whether ``connectionMade`` has been called, and ``connectionLost`` not yet."""
        return self.state.value not in ("connecting", "closed")

    @property
    def disconnecting(self) -> bool:
        """Whether the end has begun: `loseConnection` or `abortConnection` was called, a plain
        `Protocol`'s peer has ended, or the connection was lost; and so also once it is over.

        Nothing is delivered any more but ``connectionLost``. A protocol that takes its input apart
        stops there.
        """
        return self.state.value in ("closing", "ended", "closed")

    @property
    def disconnected(self) -> bool:
        """Whether ``connectionLost`` has been called."""
        return self.state.value == "closed"

    @abstractmethod
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data*, now or as soon as the peer takes it, in order.

        After the call of `loseWriteConnection`, `loseConnection` or `abortConnection`, and after
        the connection was lost, the bytes are dropped: the first drop on a connection logs a
        warning, `droppedBytes` counts them all. While a producer is registered, writes are taken
        until it unregisters. Empty data does nothing in any state.

        :param data: copied if it is mutable; the caller may change it at once.
        :raises TypeError: *data* is not bytes, bytearray or memoryview, whatever the state.
        """

    @abstractmethod
    def writeSequence(self, data: Iterable[bytes | bytearray | memoryview]) -> None:
        """`write` the concatenation of *data*; see there.

        :raises TypeError: an item is not bytes, bytearray or memoryview.
        """

    @abstractmethod
    def loseWriteConnection(self) -> None:
        """End our half: send what was written, then the end of stream, and go on reading.

        The protocol hears ``writeConnectionLost`` once that is with the kernel. With a producer
        registered it waits for ``unregisterProducer``. Idempotent; a no-op once the connection
        is closing or lost. A connection that was reset meanwhile reports ``connectionLost``.

        :raises Unsupported: the stream cannot half-close (capability ``can_half_close``);
            nothing has changed.
        """

    @abstractmethod
    def loseConnection(self) -> None:
        """End both halves: send what was written, then the end of stream, then close.

        The protocol hears only ``connectionLost`` from here on. With a producer registered it
        waits for ``unregisterProducer``. Input that the peer still sends is read and discarded,
        so that the peer can read everything that we wrote (rules END-01, END-02). Idempotent.
        """

    @abstractmethod
    def abortConnection(self) -> None:
        """Close at once and discard what is pending; on TCP the peer sees a reset. Idempotent.

        It waits for nothing, and still works after `loseConnection`.
        """

    @abstractmethod
    def pauseProducing(self) -> None:
        """Stop delivering input. What has arrived stays where it is. Idempotent."""

    @abstractmethod
    def resumeProducing(self) -> None:
        """Deliver input again, never before this call has returned. Idempotent."""

    @abstractmethod
    def stopProducing(self) -> None:
        """`loseConnection`: what a transport that is a producer does when it must stop."""

    @abstractmethod
    def registerProducer(self, producer: Producer, streaming: bool) -> None:
        """Let *producer* write, with back-pressure.

        Once `loseWriteConnection` or `loseConnection` has been called or the connection is lost,
        *producer* is not registered but told to ``stopProducing``, in the next turn.

        :param streaming: true for a `PushProducer`, false for a `PullProducer`.
        :raises RuntimeError: a producer is registered already; it stays.
        """

    @abstractmethod
    def unregisterProducer(self) -> None:
        """The producer is done. A close that waited for it goes on. Idempotent."""

    @abstractmethod
    def getPeer(self) -> Endpoint:
        """Where the other end is; answers at any time, after the end too."""

    @abstractmethod
    def getHost(self) -> Endpoint:
        """Where this end is; answers at any time, after the end too."""

    @abstractmethod
    def getHandle(self) -> object:
        """The socket or stream below, for what this interface has not; ``None`` after the end."""

    @abstractmethod
    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small writes at once (``TCP_NODELAY``; on by default). A no-op where not TCP."""

    @abstractmethod
    def getTcpNoDelay(self) -> bool:
        """Whether small writes are sent at once; False where not TCP, and after the end."""

    @abstractmethod
    def getTcpKeepAlive(self) -> bool:
        """Whether the kernel probes an idle peer; False where not TCP, and after the end."""

    @abstractmethod
    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Have the kernel probe an idle peer (``SO_KEEPALIVE``). A no-op where not TCP."""

    @abstractmethod
    async def whenClosed(self) -> BaseException:
        """Wait for the end and return the reason, after ``connectionLost`` has returned.

        Any number of tasks may wait, at any time, also later. Cancelling one waiter affects
        neither the connection nor another waiter. It never raises the reason.
        """


ProtocolFactory: TypeAlias = Callable[[], Protocol]

P = TypeVar("P", bound=Protocol)


class AbstractBackend(EventLoop):
    """An event loop that connects and listens: what programs and protocols call.

    `halfclose.run` and `halfclose.open_backend` give one, and `Transport.backend` leads to it. The
    class that implements it, and that the author of a backend derives from, is `halfclose.Backend`.
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

        It is returned even if the connection is lost already: its ``connectionLost`` tells.
        Cancelled, it leaves nothing behind.

        :param endpoint: where to; ``stdio:`` attaches descriptors 0 and 1 of this process.
        :param factory: any callable that gives a protocol; called once, when connected.
        :param timeout: seconds for everything, the name lookup included; None: no limit.
        :raises EndpointError: *endpoint* is malformed.
        :raises ValueError: *timeout* is negative.
        :raises RuntimeError: the backend has been left, or not been entered.
        :raises ConnectError: `ConnectionRefused`, `DNSLookupFailed`, `ConnectTimeout`, or any
            other reason; names the endpoint and each attempt.
        :raises BaseException: what *factory* or ``connectionMade`` raised.
        """

    @abstractmethod
    async def listen(
        self,
        endpoint: str | Endpoint,
        factory: ProtocolFactory,
        options: ConnectionOptions | None = None,
    ) -> Listener:
        """Listen, and attach what *factory* gives to each connection that comes.

        A factory that raises or gives no protocol costs that connection and is logged.

        :param endpoint: where; TCP port 0 lets the system choose, `Listener.endpoint` tells.
            ``tcp:*:PORT`` is every address of both families, ``tcp:[::]:PORT`` of IPv6 alone.
            A unix path that is a stale socket is taken over.
        :returns: the listener, an asynchronous context manager.
        :raises EndpointError: *endpoint* is malformed.
        :raises RuntimeError: the backend has been left, or not been entered.
        :raises ListenError: it cannot be listened on; names the endpoint.
        """
