"""What the adapters of all stock frameworks have in common: names, and nothing mended.

An adapter maps halfclose's interface to what a framework does by itself. A verb calls the
framework's own; an event is passed on when the framework tells it, and not made up where it does
not; an exception goes wherever the framework lets it go. Only names are translated: addresses to
endpoints, and the classes of exceptions to ours, with the framework's own message.
"""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NoReturn

from halfclose import (
    Capabilities,
    ConnectionDone,
    ConnectionOptions,
    HalfCloseableProtocol,
    State,
    Transport,
)

__all__ = [
    "NoCounterpart",
    "StockListener",
    "StockTransport",
    "attached",
    "only",
    "translated",
]


class NoCounterpart(Exception):
    """The framework has nothing that could be called here; the message says so."""


class StockTransport(Transport):
    """A framework's own transport, under our names.

    :param protocol: what hears the events; whatever a program's factory gave.
    :param scheme: "tcp", "unix" or "stdio".
    """

    def __init__(self, protocol: Any, scheme: str) -> None:
        self.protocol = protocol
        self.half_closeable = isinstance(protocol, HalfCloseableProtocol)
        self.scheme = scheme
        self.made = False
        self.read_ended = False
        self.write_ending = False
        self.write_ended = False
        self.closing = False
        self.is_lost = False
        self._failure: BaseException | None = None
        attached.add(self)

    @property
    def capabilities(self) -> Capabilities:
        # A framework declares nothing off. That a pipe has no reset and that standard input
        # belongs to the next program is the kernel's doing (PIP-01, END-02).
        return Capabilities(can_reset=self.scheme == "tcp", drains=self.scheme != "stdio")

    @property
    def backend(self) -> NoReturn:
        raise NoCounterpart("a framework's transport knows no backend of ours")

    @property
    def state(self) -> State:
        if self.is_lost:
            return State.CLOSED
        if not self.made:
            return State.CONNECTING
        if self.closing:
            return State.CLOSING
        if self.write_ended:
            return State.ENDED if self.read_ended else State.WRITE_CLOSED
        if self.write_ending:
            return State.READ_CLOSED_WRITE_CLOSING if self.read_ended else State.WRITE_CLOSING
        return State.READ_CLOSED if self.read_ended else State.OPEN

    @property
    def droppedBytes(self) -> int:
        return 0

    @property
    def failure(self) -> BaseException | None:
        # No framework has it: what it tells at the end is all that is known.
        return self._failure

    def stopProducing(self) -> None:
        self.loseConnection()

    def getTcpNoDelay(self) -> bool:
        raise NoCounterpart("options of the socket are set on the socket itself")

    def getTcpKeepAlive(self) -> bool:
        raise NoCounterpart("options of the socket are set on the socket itself")

    def setTcpNoDelay(self, enabled: bool) -> None:
        raise NoCounterpart("options of the socket are set on the socket itself")

    def setTcpKeepAlive(self, enabled: bool) -> None:
        raise NoCounterpart("options of the socket are set on the socket itself")

    # -- events, as the framework tells them ---------------------------------------------------

    def tell_made(self) -> None:
        """The connection is up."""
        self.made = True
        self.protocol.makeConnection(self)

    def tell_read_ended(self) -> None:
        """The framework has told of the peer's end of stream."""
        self.read_ended = True
        self.protocol.readConnectionLost()

    def tell_write_ended(self) -> None:
        """The framework has told that our end of stream was sent."""
        self.write_ended = True
        self.protocol.writeConnectionLost()

    def tell_lost(self, reason: BaseException) -> None:
        """The framework has told that the connection is over."""
        self.is_lost = True
        if not isinstance(reason, ConnectionDone):
            self._failure = reason
        try:
            self.protocol.connectionLost(reason)
        finally:
            self.closed(reason)

    @abstractmethod
    def closed(self, reason: BaseException) -> None:
        """Let those go on who wait in `whenClosed`."""

    def discard(self) -> None:
        """The rule is over: let the framework release everything, and tell nobody."""
        self.protocol = Muted()


attached: weakref.WeakSet[StockTransport] = weakref.WeakSet()
"""Every transport that somebody still holds; that it is listed here keeps none alive."""


class Muted:
    """Hears nothing any more."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class StockListener:
    """A framework's listener, as the kit's types of channel use one."""

    def __init__(self, endpoint: Any, stop: Callable[[], Awaitable[object]]) -> None:
        self.endpoint = endpoint
        self._stop = stop

    async def aclose(self) -> None:
        await self._stop()

    async def __aenter__(self) -> StockListener:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


def only(options: ConnectionOptions | None, *known: str) -> ConnectionOptions:
    """*options*, of which a framework has those that are *known*.

    :raises NoCounterpart: another one is wanted.
    """
    wanted, default = options or ConnectionOptions(), ConnectionOptions()
    for name in vars(default):
        if name not in known and getattr(wanted, name) != getattr(default, name):
            raise NoCounterpart(f"there is no option {name}")
    return wanted


@contextmanager
def translated(names: Iterable[tuple[type[BaseException], type[Exception]]]) -> Iterator[None]:
    """Raise the first of ours whose counterpart was raised, with the framework's own message."""
    try:
        yield
    except Exception as error:
        for theirs, ours in names:
            if isinstance(error, theirs):
                cause = error if isinstance(error, OSError) else error.__cause__
                raise ours(str(error) or type(error).__name__) from cause
        raise
