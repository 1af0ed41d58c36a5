"""Makes one of the calls raise that core makes to a channel and to the loop.

A rule holds the same conversation again and again, and each time another call raises.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ...channel import Capabilities, Channel, ChannelHandler
from ...connection import Connection
from ...endpoints import Endpoint
from ..channels.peers import LIMIT
from .harness import Net
from .producers import Pull
from .reactions import Boom
from .recorder import Recorder
from .waiting import eventually

__all__ = ["ENDINGS", "Faults", "converse"]

_LOOP = ("call_soon", "call_later", "time")
"""The methods of the loop that core calls while a connection is open."""

_PACKAGE = __name__.partition(".")[0]

_ASKING = frozenset(
    {part.__module__ for part in Connection.__mro__}
    | {f"{_PACKAGE}.{name}" for name in ("deadline", "io.lingering")}
)
"""The modules that call them for one connection."""


class Faults:
    """Counts the calls, and makes one of them raise.

    :param number: the number of the call that raises, counted from 0; None: none does.
    :param error: what it raises.
    :param after: whether the real call is made before the error is raised, or not made at all.
    """

    def __init__(self, number: int | None, error: BaseException, *, after: bool) -> None:
        self._number = number
        self._error = error
        self._after = after
        self.count: int = 0
        self.raised: str | None = None
        """The name of the call that has raised; None: none has."""

    def call(self, name: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Call *function*; if this is the call that fails, raise after it or in its place."""
        number, self.count = self.count, self.count + 1
        if number != self._number:
            return function(*args, **named)
        self.raised = name
        if self._after:
            function(*args, **named)
        raise self._error

    @contextmanager
    def injected(self, backend: type[Any]) -> Iterator[None]:
        """Count the calls of all backends of that class and of all new connections in the
        block."""
        changed: list[tuple[type[Any], str, Any]] = []
        made = Connection.__init__

        def init(connection: Connection, owner: Any, channel: Channel, *rest: Any) -> None:
            made(connection, owner, _Faulty(channel, self), *rest)

        try:
            changed.append((Connection, "__init__", made))
            setattr(Connection, "__init__", init)  # noqa: B010 - mypy: a method
            for name in _LOOP:
                owner = next(each for each in backend.__mro__ if name in vars(each))
                changed.append((owner, name, vars(owner)[name]))
                setattr(owner, name, self._counting(name, vars(owner)[name]))
            yield
        finally:
            for owner, name, original in reversed(changed):
                setattr(owner, name, original)

    def _counting(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def counted(*args: Any, **named: Any) -> Any:
            if _asked_by_core():
                return self.call(name, original, *args, **named)
            return original(*args, **named)

        return counted


def _asked_by_core() -> bool:
    """Whether the caller's caller belongs to a connection, not to the test, a channel or the
    backend."""
    return sys._getframe(2).f_globals.get("__name__", "") in _ASKING


class _Faulty(Channel):
    """A channel whose calls are counted."""

    def __init__(self, channel: Channel, faults: Faults) -> None:
        self._channel = channel
        self._call = faults.call

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        return self._channel.capabilities

    def start(self, handler: ChannelHandler) -> None:
        self._call("start", self._channel.start, handler)

    def resume_reading(self) -> None:
        self._call("resume_reading", self._channel.resume_reading)

    def pause_reading(self) -> None:
        self._call("pause_reading", self._channel.pause_reading)

    def write(self, data: bytes | memoryview) -> int:
        taken: int = self._call("write", self._channel.write, data)
        return taken

    def end_write(self) -> bool:
        ended: bool = self._call("end_write", self._channel.end_write)
        return ended

    def has_input(self) -> bool:
        has: bool = self._call("has_input", self._channel.has_input)
        return has

    def look_for_error(self) -> OSError | None:
        error: OSError | None = self._call("look_for_error", self._channel.look_for_error)
        return error

    def unsent(self) -> int:
        unsent: int = self._call("unsent", self._channel.unsent)
        return unsent

    def close(self) -> None:
        self._call("close", self._channel.close)

    def abort(self) -> None:
        self._call("abort", self._channel.abort)

    def get_peer(self) -> Endpoint:
        return self._channel.get_peer()

    def get_host(self) -> Endpoint:
        return self._channel.get_host()

    def get_handle(self) -> object:
        return self._channel.get_handle()

    def set_no_delay(self, enabled: bool) -> None:
        self._call("set_no_delay", self._channel.set_no_delay, enabled)

    def set_keep_alive(self, enabled: bool) -> None:
        self._call("set_keep_alive", self._channel.set_keep_alive, enabled)


class _Conversation(Recorder):
    """Uses every verb, and ends in one of the `ENDINGS`.

    :param escaped: a list to which errors are added that a verb raised. None should.
    """

    def __init__(self, net: Net, ending: str, escaped: list[str]) -> None:
        super().__init__()
        self._net = net
        self._ending = ending
        self._escaped = escaped

    def _try(self, name: str, *args: object) -> None:
        try:
            self.verb(name, *args)
        except Exception as error:
            self._escaped.append(f"{name} raised {error!r}")

    def connectionMade(self) -> None:
        super().connectionMade()
        self._try("write", b"hello")
        if self._ending != "ours":
            self._try("registerProducer", Pull(self._net, self, [b"one", b"two"]), False)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self._ending == "error":
            raise Boom("an event")
        self._try("pauseProducing")
        self._net.backend.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._try("resumeProducing")
        if self._ending == "close":
            self._try("loseConnection")
        elif self._ending == "abort":
            self._try("abortConnection")
        elif self._ending == "ours":
            self._end_our_half()

    def _end_our_half(self) -> None:
        transport: Any = self.transport
        alone = transport.capabilities.can_half_close
        self._try("loseWriteConnection" if alone else "loseConnection")

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self._try("write", b"bye")
        self._try("resumeProducing")
        self._end_our_half()


ENDINGS = ("halves", "ours", "close", "abort", "error")
"""How a conversation ends: both halves end, the peer's first; both halves end, ours first, and no
producer is registered; loseConnection; abortConnection; an event raises."""


async def converse(net: Net, ending: str, faults: Faults) -> None:
    """Hold one conversation in which one call fails.

    :param ending: one of the `ENDINGS`.
    :param faults: decides which call fails.
    :raises AssertionError: connectionLost did not come exactly once, or a verb raised.
    """
    escaped: list[str] = []
    protocol = _Conversation(net, ending, escaped)
    net.watch(protocol)
    with faults.injected(type(net.backend)):
        connect = await net.serve(lambda: protocol, half_close_timeout=LIMIT, close_timeout=LIMIT)
        with await connect() as peer:
            with suppress(ConnectionError, AssertionError):
                peer.send_now(b"ping")
                if ending == "halves":
                    peer.shutdown()
                await peer.read_all()
            with suppress(OSError):
                peer.shutdown()
            lost = await eventually(net, lambda: "connectionLost" in protocol.events)
    where = f"{faults.raised} raised, in a conversation that was to end by {ending}"
    assert lost, f"connectionLost did not come: {where}; {protocol!r}"
    assert not escaped, f"{where}: {escaped}"
    assert protocol.events.count("connectionLost") == 1, where
