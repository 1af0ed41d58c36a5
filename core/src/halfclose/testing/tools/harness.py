"""What a rule's test is written with: connections, raw peers, and waiting for events."""

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
"""Seconds in which something that must not happen is given the chance to happen."""


MORE_THAN_THE_KERNEL = 16 * 1024 * 1024
"""Bytes that fit into no socket's or pipe's buffers."""


@dataclass(frozen=True)
class Pair(Generic[R]):
    """One connection: our protocol, its transport, and the raw peer."""

    protocol: R
    peer: RawPeer

    @property
    def transport(self) -> Any:
        """The transport under test."""
        return self.protocol.transport

    @property
    def can(self) -> Capabilities:
        """What its channel declares."""
        can: Capabilities = self.transport.capabilities
        return can


class Net:
    """What a rule's test gets: the backend, the type of channel, and connections over it."""

    def __init__(
        self, backend: Backend, channel_type: ChannelType, host: Host = HALFCLOSE_RUN
    ) -> None:
        self.backend = backend
        self.channel_type = channel_type
        self.host = host
        self.protocols: list[_Recording] = []
        self._stack = AsyncExitStack()

    # -- connections ---------------------------------------------------------------------------

    async def pair(self, protocol: R, **options: Any) -> Pair[R]:
        """Connect one raw peer to *protocol*; *options* are those of `ConnectionOptions`."""
        connect = await self.serve(lambda: protocol, **options)
        peer = await connect()
        self._stack.callback(peer.close)
        self.watch(protocol)
        await self.until(protocol, "connectionMade")
        return Pair(protocol, peer)

    async def recorded(self, **reactions: Callable[..., object]) -> Pair[Recorder]:
        """`pair` with a `Recorder` that reacts so."""
        return await self.pair(Recorder(**reactions))

    async def serve(self, factory: Callable[[], Any], **options: Any) -> Dial:
        """Attach what *factory* gives to each raw peer that dials."""
        serving = self.channel_type.serve(self.backend, factory, ConnectionOptions(**options))
        return await self._stack.enter_async_context(serving)

    def watch(self, protocol: _Recording) -> None:
        """Check *protocol*'s order of events at the end, and show them if the rule fails."""
        if protocol not in self.protocols:
            self.protocols.append(protocol)

    def closing(self, resource: Any) -> Any:
        """Close *resource* at the end of the rule."""
        self._stack.callback(resource.close)
        return resource

    # -- waiting -------------------------------------------------------------------------------

    async def until(
        self, protocol: _Recording, what: str | Callable[[], object], limit: float = LIMIT
    ) -> None:
        """Wait until *protocol* has had the event of that name, or until *what* is true after one.

        :raises AssertionError: it did not come within *limit* seconds, or connectionLost came in
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
        """Wait until a factory has put its first protocol into *made*, and it is connected.

        :raises AssertionError: it has not within `LIMIT` seconds.
        """
        end = self.backend.time() + LIMIT
        while not made:
            assert self.backend.time() < end, f"the factory was not called within {LIMIT} s"
            await self.backend.sleep(0.001)
        await self.until(made[0], "connectionMade")

    async def lost(self, protocol: _Recording, limit: float = LIMIT) -> BaseException:
        """Wait for connectionLost and give its reason."""
        await self.until(protocol, "connectionLost", limit)
        await protocol.transport.whenClosed()
        assert protocol.reason is not None
        return protocol.reason

    async def wait(self, event: Any, what: str, limit: float = LIMIT) -> None:
        """Wait for a `Backend.create_event`.

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
        """Let the loop go round, so that whatever is due in the next turns has happened."""
        for _ in range(count):
            event = self.backend.create_event()
            self.backend.call_soon(event.set)
            await event.wait()

    async def quiet(self) -> None:
        """Give something that must not happen the chance to happen."""
        await self.turns()
        await self.backend.sleep(QUIET)
        await self.turns()

    # -- the end -------------------------------------------------------------------------------

    async def close(self) -> None:
        """Release the raw ends and the listeners."""
        await self._stack.aclose()

    def check_order(self) -> None:
        """The rules about order hold for every protocol of every test."""
        for protocol in self.protocols:
            assert not protocol.broken, f"{protocol!r}: {'; '.join(protocol.broken)}"


Test = Callable[[Any, Net], Awaitable[None]] | Callable[[Any, ChannelType, Host], None]


@dataclass(frozen=True)
class Rule:
    """A rule of the contract, and the test that holds a backend to it.

    :param identifier: such as ``"EVT-05"``.
    :param test: an asynchronous method of the suite, which gets a `Net`; or a plain one, which
        gets the type of channel and the host, and runs whole programs by that.
    :param schemes: on which kinds of raw peers the rule can be seen.
    :param options: of the backend.
    :param needs: capabilities of the channel or of the backend without which it says something
        else; see `alternatives`.
    :param once: it says nothing about connections: one type of channel, the first that the
        backend names, is as good as all.
    """

    identifier: str
    test: Any
    schemes: tuple[str, ...]
    options: Mapping[str, Any]
    needs: tuple[str, ...]
    once: bool = False

    @property
    def text(self) -> str:
        """The rule, as the contract has it, and where to look if it is broken."""
        return inspect.getdoc(self.test) or ""


def rule(
    identifier: str,
    *,
    schemes: tuple[str, ...] = ("tcp", "unix", "stdio", "memory"),
    options: Mapping[str, Any] | None = None,
    needs: tuple[str, ...] = (),
    once: bool = False,
) -> Callable[[Test], Any]:
    """Make a method of the suite the test of a rule; see `Rule` for the parameters."""

    def decorate(test: Test) -> Any:
        held = Rule(identifier, test, schemes, options or {}, needs, once)

        @functools.wraps(test)
        def run_rule(self: Any, channel_type: ChannelType) -> None:
            self.hold_to(held, channel_type)

        del run_rule.__wrapped__
        run_rule.rule = held  # type: ignore[attr-defined]
        return run_rule

    return decorate
