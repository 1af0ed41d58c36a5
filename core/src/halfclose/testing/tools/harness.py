"""The tools that every rule's test gets: connections with raw peers, and waiting for events."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ...backend import Backend
from ...channel import Capabilities
from ...options import ConnectionOptions
from ..channels.channel_types import ChannelType, Dial
from ..channels.peers import LIMIT, RawPeer
from ..hosts import HALFCLOSE_RUN, Host
from .recorder import Recorder, _Recording

__all__ = ["MORE_THAN_THE_KERNEL", "Net", "Pair", "Rule", "rule"]

R = TypeVar("R", bound=_Recording)

QUIET = 0.05
"""Seconds that a test waits to see that something does not happen."""

MORE_THAN_THE_KERNEL = 16 * 1024 * 1024
"""A number of bytes that no buffers of a socket or pipe can hold."""


@dataclass(frozen=True)
class Pair(Generic[R]):
    """One connection: our protocol, its transport, and the raw peer.

    :param protocol: our protocol.
    :param peer: the raw peer.
    """

    protocol: R
    peer: RawPeer

    @property
    def transport(self) -> Any:
        """The transport under test."""
        return self.protocol.transport

    @property
    def can(self) -> Capabilities:
        """The capabilities that the connection's channel declares."""
        can: Capabilities = self.transport.capabilities
        return can


class Net:
    """What a rule's test gets: the backend, the channel type, and methods to connect and wait.

    :param backend: the backend under test.
    :param channel_type: on which the rule is tested.
    :param host: what started the loop.
    """

    def __init__(
        self, backend: Backend, channel_type: ChannelType, host: Host = HALFCLOSE_RUN
    ) -> None:
        self.backend = backend
        self.channel_type = channel_type
        self.host = host
        self.protocols: list[_Recording] = []
        """The protocols that `watch` was called for."""
        self._stack = AsyncExitStack()

    # -- connections ---------------------------------------------------------------------------

    async def pair(self, protocol: R, **options: Any) -> Pair[R]:
        """Connect one raw peer to *protocol*, and wait until the connection is made.

        :param protocol: our protocol, a `Recorder` or a `PlainRecorder`.
        :param options: those of `ConnectionOptions`.
        """
        connect = await self.serve(lambda: protocol, **options)
        peer = await connect()
        self._stack.callback(peer.close)
        self.watch(protocol)
        await self.until(protocol, "connectionMade")
        return Pair(protocol, peer)

    async def recorded(self, **reactions: Callable[..., object]) -> Pair[Recorder]:
        """Connect one raw peer to a new `Recorder`, and wait until the connection is made.

        :param reactions: what the recorder does in its events.
        """
        return await self.pair(Recorder(**reactions))

    async def serve(self, factory: Callable[[], Any], **options: Any) -> Dial:
        """Accept raw peers until the rule's end, and give the function that connects one.

        :param factory: makes the protocol of each connection.
        :param options: those of `ConnectionOptions`.
        """
        serving = self.channel_type.serve(self.backend, factory, ConnectionOptions(**options))
        return await self._stack.enter_async_context(serving)

    def watch(self, protocol: _Recording) -> None:
        """Check the order of *protocol*'s events at the end, and show them if the rule fails.

        Idempotent.

        :param protocol: a `Recorder` or a `PlainRecorder`.
        """
        if protocol not in self.protocols:
            self.protocols.append(protocol)

    def closing(self, resource: Any) -> Any:
        """Have *resource* closed at the end of the rule. Returns *resource*.

        :param resource: anything with a method ``close()``.
        """
        self._stack.callback(resource.close)
        return resource

    # -- waiting -------------------------------------------------------------------------------

    async def until(
        self, protocol: _Recording, what: str | Callable[[], object], limit: float = LIMIT
    ) -> None:
        """Wait until *protocol* has had an event, or until a condition is true.

        :param protocol: a `Recorder` or a `PlainRecorder`.
        :param what: the name of the event; or a function, the condition, which is called after
            each event of *protocol*.
        :param limit: seconds to wait at most.
        :raises AssertionError: it did not happen within *limit* seconds, or connectionLost came in
            place of the event.
        """
        self.watch(protocol)
        if callable(what):
            reached, wanted = what, getattr(what, "__doc__", None) or "the condition"
        else:
            name = what
            reached, wanted = (lambda: name in protocol.events), name
        event = self.backend.create_event()

        def in_vain() -> bool:
            return not callable(what) and "connectionLost" in protocol.events

        def look() -> None:
            if reached() or in_vain():
                event.set()

        protocol._wakers.append(look)
        timer = self.backend.call_later(limit, event.set)
        try:
            look()
            await event.wait()
        finally:
            timer.cancel()
            protocol._wakers.remove(look)
        assert reached() or not in_vain(), (
            f"{wanted} will never come: {protocol!r}, {protocol.reason!r}"
        )
        assert reached(), f"{wanted} did not come within {limit} s; {protocol!r}"

    async def until_made(self, made: list[Any]) -> None:
        """Wait until a factory has put its first protocol into *made*, and that is connected.

        :param made: the list that the factory appends to.
        :raises AssertionError: this took longer than ten seconds.
        """
        end = self.backend.time() + LIMIT
        while not made:
            assert self.backend.time() < end, f"the factory was not called within {LIMIT} s"
            await self.backend.sleep(0.001)
        await self.until(made[0], "connectionMade")

    async def lost(self, protocol: _Recording, limit: float = LIMIT) -> BaseException:
        """Wait for connectionLost, and give its reason.

        :param protocol: a `Recorder` or a `PlainRecorder`.
        :param limit: seconds to wait at most.
        :raises AssertionError: it did not come within *limit* seconds.
        """
        await self.until(protocol, "connectionLost", limit)
        await protocol.transport.whenClosed()
        assert protocol.reason is not None
        return protocol.reason

    async def wait(self, event: Any, what: str, limit: float = LIMIT) -> None:
        """Wait until *event*, which `Backend.create_event` has made, is set.

        :param event: the event.
        :param what: what sets it, for the message.
        :param limit: seconds to wait at most.
        :raises AssertionError: it was not set within *limit* seconds.
        """
        expired: list[bool] = []

        def expire() -> None:
            expired.append(True)
            event.set()

        timer = self.backend.call_later(limit, expire)
        try:
            await event.wait()
        finally:
            timer.cancel()
        assert not expired, f"{what} did not happen within {limit} s"

    async def turns(self, count: int = 5) -> None:
        """Let the loop make *count* turns, so that everything has happened that was due in them.

        :param count: how many turns.
        """
        for _ in range(count):
            event = self.backend.create_event()
            self.backend.call_soon(event.set)
            await event.wait()

    async def quiet(self) -> None:
        """Wait for a moment, so that something that must not happen could happen."""
        await self.turns()
        await self.backend.sleep(QUIET)
        await self.turns()

    # -- the end -------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the raw peers and the listeners."""
        await self._stack.aclose()

    def check_order(self) -> None:
        """Fail if a protocol of this test got its events in a wrong order.

        :raises AssertionError: one did; the message tells how.
        """
        for protocol in self.protocols:
            assert not protocol.broken, f"{protocol!r}: {'; '.join(protocol.broken)}"


Test = Callable[[Any, Net], Awaitable[None]] | Callable[[Any, ChannelType, Host], None]


@dataclass(frozen=True)
class Rule:
    """A rule of the contract, and its test.

    :param identifier: the rule's id, such as ``"EVT-05"``.
    :param test: an asynchronous method of the suite, which gets a `Net`; or a synchronous method,
        which gets the channel type and the host, and runs whole programs itself.
    :param schemes: the schemes of the channel types on which the rule can be tested.
    :param options: options with which the backend is opened.
    :param needs: capabilities of the channel or of the backend. Without one of them the rule
        demands something else; see `alternatives`.
    :param once: whether the rule says nothing about connections. Then it is tested only on the
        first channel type that the backend names.
    """

    identifier: str
    test: Any
    schemes: tuple[str, ...]
    options: Mapping[str, Any]
    needs: tuple[str, ...]
    once: bool = False

    @property
    def text(self) -> str:
        """The rule, as in the contract, and where to look if it is broken."""
        return inspect.getdoc(self.test) or ""


def rule(
    identifier: str,
    *,
    schemes: tuple[str, ...] = ("tcp", "unix", "stdio", "memory"),
    options: Mapping[str, Any] | None = None,
    needs: tuple[str, ...] = (),
    once: bool = False,
) -> Callable[[Test], Any]:
    """Make a method of the suite the test of a rule.

    The method is asynchronous and gets a `Net`; or it is synchronous, gets the channel type and the
    host, and runs whole programs itself. Its docstring is the rule, and where to look if it is
    broken.

    :param identifier: the rule's id, such as ``"EVT-05"``.
    :param schemes: the schemes of the channel types on which the rule can be tested.
    :param options: options with which the backend is opened.
    :param needs: names of `Capabilities` or `BackendCapabilities`. Without one of them the rule
        demands something else.
    :param once: whether the rule says nothing about connections. Then it is tested only on the
        first channel type that the backend names.
    """

    def decorate(test: Test) -> Any:
        held = Rule(identifier, test, schemes, options or {}, needs, once)

        @functools.wraps(test)
        def run_rule(self: Any, channel_type: ChannelType) -> None:
            self.hold_to(held, channel_type)

        del run_rule.__wrapped__
        run_rule.rule = held  # type: ignore[attr-defined]
        return run_rule

    return decorate
