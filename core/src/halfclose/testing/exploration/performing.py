"""Performs one script on one backend, and reports what broke the contract."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from ...backend import Backend
from ...endpoints import TCP, UNIX, Endpoint, Memory
from ...interfaces import Protocol
from ...memory.network import Network
from ...options import ConnectionOptions
from ...reasons import ConnectError
from ...running import run
from ..channels.channel_types import ChannelType
from ..channels.sockets import temporary_unix_path
from ..judging.leaks import descriptors
from ..tools.logs import logged
from .ends import Actor, HalfEnd, PlainEnd, Planned
from .expected_log import check_log
from .model import Model
from .obligations import due
from .raw import RawEnd
from .script import ENDS, WAYS, Act, Fault, Script, Step, Turns, Verb, Wait

__all__ = ["Outcome", "perform"]

TURNS = 6
"""Turns of the loop to wait for what must not come."""

VIRTUAL = 30.0
"""Seconds of a simulated network's clock that take the place of `perform`'s limit."""

LEAVING = 3.0
"""Seconds that leaving the backend may take when both connections are over. It is less than the
backend's grace, so that a backend that waits for something without need is noticed."""


@dataclass(frozen=True)
class Outcome:
    """What happened when a script was performed.

    :param broken: what broke the contract first, with the rule; empty if nothing did.
    :param trace: the calls and the events, in order.
    :param seen: a line for each end: its events, how many bytes it wrote and received, its reason.
    :param free: whether timing has decided any part of *seen*.
    """

    broken: str
    trace: tuple[str, ...] = ()
    seen: tuple[str, ...] = field(default=(), compare=False)
    free: bool = True


class _Performance:
    """Performs one script in a backend that is open.

    :param limit: seconds without any event, after which what has not come counts as missing.
    :param network: the simulated network; None for a real one.
    """

    def __init__(
        self,
        backend: Backend,
        channel_type: ChannelType,
        script: Script,
        limit: float,
        network: Network | None,
    ) -> None:
        self._backend = backend
        self._channel_type = channel_type
        self._script = script
        self._limit = limit
        self._network = network
        self.model = Model(script.a.protocol, script.b.protocol)
        self._actors = {
            name: Actor(self.model, name, script.end(name), self._changed) for name in ENDS
        }
        self._raw: RawEnd | None = None
        self._change: Any = None

    def _changed(self) -> None:
        if self._change is not None:
            self._change.set()

    def _protocol(self, name: str) -> Protocol:
        actor = self._actors[name]
        return HalfEnd(actor) if actor.side.half else PlainEnd(actor)

    # -- the whole -----------------------------------------------------------------------------

    async def run(self) -> None:
        async with AsyncExitStack() as stack:
            if not await self._begin(stack):
                return
            for step in self._script.steps:
                if self.model.broken:
                    return
                await self._do(step)
            await self._finish()

    async def _begin(self, stack: AsyncExitStack) -> bool:
        """Connect the two ends, and return whether that went far enough to go on."""
        settings = ConnectionOptions()
        if self._script.water is not None:
            low, high = self._script.water
            settings = ConnectionOptions(low_water=low, high_water=high)
        try:
            if self.model.a.raw:
                serving = self._channel_type.serve(
                    self._backend, lambda: self._protocol("b"), settings
                )
                connect = await stack.enter_async_context(serving)
                peer = stack.enter_context(await connect())
                self._raw = RawEnd(self.model, peer, self._channel_type.scheme != "unix")
            else:
                endpoint = _endpoint(self._channel_type, stack)
                listener = await self._backend.listen(
                    endpoint, lambda: self._protocol("b"), settings
                )
                await stack.enter_async_context(listener)
                await self._backend.connect(
                    listener.endpoint, lambda: self._protocol("a"), options=settings
                )
        except Planned:
            pass
        except ConnectError as error:
            # ERR-11 promises a protocol, but a framework's own transport may refuse a socket whose
            # peer has reset it already.
            if not (self.model.b.hard and self._channel_type.options.get("sockets") == "native"):
                seen = f"connect raised {type(error).__name__} from {error.__cause__!r}"
                self.model.breaks("ERR-11", self.model.a, seen)
            return False
        model = self.model
        if not await self._wait(lambda: model.b.made or model.a.hard):
            self._miss()
        if not model.b.made:
            await self._turns(TURNS)
        return True

    async def _do(self, step: Step) -> None:
        if isinstance(step, Act):
            self._act(step.end, step.verbs)
        elif isinstance(step, Wait):
            await self._settle()
        elif isinstance(step, Turns):
            await self._turns(step.count)
        else:
            self._fault(step)

    def _act(self, name: str, verbs: tuple[Verb, ...]) -> None:
        if name == "a" and self._raw is not None:
            self._raw.act(verbs)
        elif self.model.side(name).made:
            self._actors[name].act(verbs)

    def _fault(self, fault: Fault) -> None:
        network = self._network
        assert network is not None
        self.model.note(str(fault))
        way: Any = fault.way
        reader = self.model.side(WAYS[fault.way]).peer
        if fault.name == "reset":
            self.model.breakable()
            network.reset_after(fault.number, way=way)
        elif fault.name == "delay":
            network.delay_end(fault.number, way=way)
        elif fault.name == "stall":
            reader.stalled = True
            network.stall(way=way)
        else:
            reader.stalled = False
            network.release(way=way)

    async def _finish(self) -> None:
        """Let all that was held up go on, close both ends, and check how they are in the end."""
        if self._network is not None:
            for way in WAYS:
                self._fault(Fault("release", way))
        for names in (("unregister", "resume"), ("lose", "unregister")):
            await self._settle()
            for name in ENDS:
                if not self.model.broken:
                    self._act(name, tuple(map(Verb, names)))
        await self._settle()
        for side in self.model.sides:
            transport = side.transport
            if self.model.broken or transport is None:
                continue
            if not side.lost:
                self.model.breaks("EVT-06", side, "connectionLost does not come")
            elif await transport.whenClosed() is not side.reason:
                self.model.breaks("EVT-15", side, "whenClosed gave another reason")
            elif transport.droppedBytes != side.dropped:
                what = f"droppedBytes is {transport.droppedBytes}, not {side.dropped}"
                self.model.breaks("VRB-05", side, what)

    # -- waiting -------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Wait until all that must come has come, and a little longer."""
        model = self.model
        while not model.broken:
            if not await self._wait(lambda: not due(model)):
                self._miss()
                return
            await self._turns(TURNS)
            if not due(model):
                model.settled()
                return

    def _miss(self) -> None:
        for missing in due(self.model)[:1]:
            self.model.broken.append(missing)
            self.model.note(f"!! {missing}")

    async def _wait(self, reached: Callable[[], object]) -> bool:
        """Wait until *reached* is true, or something broke the contract.

        :returns: False if neither happened, and nothing came for the length of the limit.
        """
        while not reached() and not self.model.broken:
            before = self.model.noted
            if not await self._change_comes() and self.model.noted == before:
                return bool(reached())
        return True

    async def _change_comes(self) -> bool:
        """Wait for an event, and return whether one came within the limit."""
        if self._raw is not None:
            return await self._polled(self._raw)
        expired: list[bool] = []

        def expire() -> None:
            expired.append(True)
            self._changed()

        self._change = self._backend.create_event()
        timer = self._backend.call_later(self._limit, expire)
        try:
            await self._change.wait()
        finally:
            timer.cancel()
            self._change = None
        return not expired

    async def _polled(self, raw: RawEnd) -> bool:
        """`_change_comes` with a raw peer, which must be polled."""
        before = self.model.noted
        end = self._backend.time() + self._limit
        quick = 10
        while self._backend.time() < end:
            raw.poll()
            if self.model.noted > before:
                return True
            if quick:
                quick -= 1
                await self._turns(1)
            else:
                await self._backend.sleep(0.001)
        return False

    async def _turns(self, count: int) -> None:
        for _ in range(count):
            event = self._backend.create_event()
            self._backend.call_soon(event.set)
            await event.wait()
            if self._raw is not None:
                self._raw.poll()

    def abort(self) -> None:
        """Abort both connections, after the contract was broken."""
        for side in self.model.sides:
            if side.transport is not None:
                side.transport.abortConnection()


def perform(backend: str, channel_type: ChannelType, script: Script, limit: float) -> Outcome:
    """Perform *script* on the backend named *backend*, in a new event loop.

    :param limit: seconds without any event, after which what has not come counts as missing.
    """
    network: Network | None = None
    options = dict(channel_type.options)
    if channel_type.scheme == "memory":
        network = options["network"] = _network(script)
        limit = VIRTUAL

    performed: list[_Performance] = []

    async def main(opened: Backend) -> None:
        performance = _Performance(opened, channel_type, script, limit, network)
        performed.append(performance)
        await performance.run()
        ended.append(_clock(network))
        if performance.model.broken:
            trace.extend(performance.model.trace)
            performance.abort()

    before = descriptors()
    ended: list[float] = []
    trace: list[str] = []
    with logged() as records:
        run(main, backend=backend, options=options)
    model = performed[0].model
    if not model.broken:
        _check_remains(model, _clock(network) - ended[0], descriptors() - before, network)
        check_log(model, records)
    broken = model.broken[0] if model.broken else ""
    return Outcome(broken, tuple(trace or model.trace), tuple(_seen(model)), model.free)


def _network(script: Script) -> Network:
    # One read of 21 is long, since a long stream in small chunks would take a million events.
    chunks = (script.chunk,) * 20 + (1 << 16,) if script.chunk else None
    return Network(script.seed or None, chunks=chunks)


def _clock(network: Network | None) -> float:
    return time.monotonic() if network is None else network.clock


def _check_remains(model: Model, leaving: float, left: set[str], network: Network | None) -> None:
    remains = sorted(left) + (network.open_ends() if network is not None else [])
    if remains:
        model.breaks("END-03", model.a, f"left behind: {', '.join(remains)}")
    if leaving > LEAVING:
        model.breaks("END-03", model.a, f"leaving the backend took {leaving:.1f} s")


def _seen(model: Model) -> list[str]:
    """A line for each end of what it saw, leaving out what may rightly differ between two runs."""
    found = []
    for side in model.sides:
        events: list[str] = []
        for name in side.events:
            if name != "writeConnectionLost" and events[-1:] != [name]:
                events.append(name)
        ended = "writeConnectionLost" in side.events
        found.append(
            f"{side.name}: {', '.join(events)}, "
            f"{'with' if ended else 'without'} writeConnectionLost; "
            f"{side.accepted} bytes taken, {side.dropped} dropped, {side.received} received; "
            f"{type(side.reason).__name__}"
        )
    return found


def _endpoint(channel_type: ChannelType, stack: AsyncExitStack) -> Endpoint:
    if channel_type.scheme == "unix":
        return UNIX(os.path.join(stack.enter_context(temporary_unix_path()), "s"))
    return Memory("exploration") if channel_type.scheme == "memory" else TCP("127.0.0.1", 0)
