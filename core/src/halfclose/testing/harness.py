"""Runs one rule on one backend and one kind of channel, and says what was seen if it fails."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..backend import Backend
from ..channel import Capabilities
from ..connection import Connection
from ..interfaces import Transport
from ..options import ConnectionOptions
from ..running import run
from .kinds import Dial, Kind
from .peers import LIMIT, RawPeer
from .recorder import Recorder, _Recording

__all__ = ["MORE_THAN_THE_KERNEL", "Net", "Pair", "rule"]

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
    def transport(self) -> Connection:
        """The transport under test."""
        transport: Transport = self.protocol.transport
        assert isinstance(transport, Connection)
        return transport

    @property
    def can(self) -> Capabilities:
        """What its channel declares."""
        return self.transport.capabilities


class Net:
    """What a rule's test gets: the backend, the kind of channel, and connections over it."""

    def __init__(self, backend: Backend, kind: Kind) -> None:
        self.backend = backend
        self.kind = kind
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
        serving = self.kind.serve(self.backend, factory, ConnectionOptions(**options))
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

        :raises AssertionError: it did not come within *limit* seconds.
        """
        self.watch(protocol)
        if callable(what):
            reached, wanted = what, getattr(what, "__doc__", None) or "the condition"
        else:
            name = what
            reached, wanted = (lambda: name in protocol.events), name
        event = self.backend.create_event()

        def look() -> None:
            if reached():
                event.set()

        protocol._wakers.append(look)
        timer = self.backend.call_later(limit, event.set)
        try:
            look()
            await event.wait()
        finally:
            timer.cancel()
            protocol._wakers.remove(look)
        assert reached(), f"{wanted} did not come within {limit} s; {protocol!r}"

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


Test = Callable[[Any, Net], Awaitable[None]]


def rule(
    identifier: str,
    *,
    schemes: tuple[str, ...] = ("tcp", "unix", "stdio"),
    options: Mapping[str, Any] | None = None,
) -> Callable[[Test], Callable[[Any, Kind], None]]:
    """Make an asynchronous method the test of the rule *identifier*.

    :param schemes: on which raw peers the rule can be seen.
    :param options: of the backend.
    """

    def decorate(test: Test) -> Callable[[Any, Kind], None]:
        @functools.wraps(test)
        def run_rule(self: Any, kind: Kind) -> None:
            _run(self, test, identifier, kind, options)

        del run_rule.__wrapped__
        run_rule.rule = identifier  # type: ignore[attr-defined]
        run_rule.schemes = schemes  # type: ignore[attr-defined]
        return run_rule

    return decorate


def _run(
    suite: Any, test: Test, identifier: str, kind: Kind, options: Mapping[str, Any] | None
) -> None:
    _warm_up(suite.backend, kind)
    threads = set(threading.enumerate())
    before = _descriptors()
    nets: list[Net] = []

    async def main(backend: Backend) -> None:
        net = Net(backend, kind)
        nets.append(net)
        try:
            await test(suite, net)
        finally:
            await net.close()

    try:
        run(main, backend=suite.backend, options={**kind.options, **(options or {})})
        for net in nets:
            net.check_order()
    except BaseException as error:
        _explain(error, identifier, test, suite.backend, kind, nets)
        raise
    left = sorted(_descriptors() - before) + _threads_since(threads)
    assert not left, f"{identifier} left behind: {', '.join(left)}"


_warm: set[tuple[str, str]] = set()


def _warm_up(backend: str, kind: Kind) -> None:
    """Let the framework open what it keeps for good, such as a reactor's waker."""
    if (backend, kind.name) in _warm:
        return

    async def once(opened: Backend) -> None:
        async with kind.serve(opened, Recorder, ConnectionOptions()) as connect:
            (await connect()).close()

    run(once, backend=backend, options=kind.options)
    _warm.add((backend, kind.name))


def _descriptors() -> set[str]:
    """Open descriptors, and what they are."""
    found = set()
    for fd in os.listdir("/dev/fd"):
        try:
            found.add(f"descriptor {fd} ({os.readlink(f'/dev/fd/{fd}')})")
        except OSError:
            continue
    return found


def _threads_since(before: set[threading.Thread]) -> list[str]:
    """Threads that have come and do not end."""
    left = []
    for thread in set(threading.enumerate()) - before:
        # A daemon thread is a cache of the framework's (trio keeps idle workers for a while).
        if not thread.daemon:
            thread.join(1.0)
            if thread.is_alive():
                left.append(f"thread {thread.name}")
    return left


def _explain(
    error: BaseException, identifier: str, test: Test, backend: str, kind: Kind, nets: list[Net]
) -> None:
    add_note = getattr(error, "add_note", None)
    if add_note is not None:
        add_note(f"rule {identifier} on {backend}, {kind.name}\n{test.__doc__}")
        for net in nets:
            for protocol in net.protocols:
                add_note(
                    f"seen: {protocol!r}, {len(protocol.received)} bytes received, "
                    f"reason {protocol.reason!r}"
                )
