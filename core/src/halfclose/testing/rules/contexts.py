"""EVT-16: checks that the events of each connection run in a context of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from itertools import count
from typing import Any

from ..channels.peers import RawPeer
from ..tools.harness import MORE_THAN_THE_KERNEL, Net
from ..tools.producers import Idle
from ..tools.recorder import EVENTS, Recorder

__all__ = ["check_contexts"]

_whose: ContextVar[str] = ContextVar("_whose", default="nobody's")


class _Tenant(Recorder):
    """A protocol that puts its own name into its context, and notes calls in another context."""

    def __init__(self, net: Net, name: str) -> None:
        super().__init__(**dict.fromkeys(EVENTS, self._look))
        self._net = net
        self.name = name
        self.made_in = _whose.get()
        self.seen: set[str] = set()
        self.strange: list[str] = []
        """What it was called for in another context than its own."""

    def _look(self, *_: Any) -> None:
        if self.events == ["connectionMade"]:
            self.look("connectionMade", _FACTORY)
            _whose.set(self.name)
        else:
            self.look(self.events[-1])

    def look(self, where: str, expected: str | None = None) -> None:
        """Check that *where* runs in the connection's context, or in the one named *expected*."""
        self.seen.add(where)
        if _whose.get() != (expected or self.name):
            self.strange.append(f"{where} of {self.name} ran in {_whose.get()} context")
        for wake in list(self._wakers):
            wake()

    def was_resumed(self) -> bool:
        """resumeProducing of its producer"""
        return "resumeProducing" in self.seen

    def ran_later(self) -> bool:
        """what the loop was to run later"""
        return self.seen >= _LATER

    def start_others(self) -> None:
        """Ask the loop to call `look` later, in each way in which it can."""

        async def task() -> None:
            self.look("start_soon")

        self._net.backend.call_soon(self.look, "call_soon")
        self._net.backend.call_later(0, self.look, "call_later")
        self._net.backend.call_soon_threadsafe(self.look, "call_soon_threadsafe")
        self._net.backend.start_soon(task)


class _Source(Idle):
    """A producer whose protocol notes the context of each call."""

    def __init__(self, protocol: _Tenant) -> None:
        super().__init__(protocol)
        self._tenant = protocol

    def _note(self, name: str) -> None:
        super()._note(name)
        self._tenant.look(name)


_FACTORY = "the factory's"
_PROGRAM = "the program's"
_LATER = {"call_soon", "call_later", "call_soon_threadsafe", "start_soon"}


async def check_contexts(net: Net) -> None:
    """Check two connections that were accepted, and then one that ``connect`` has made."""
    _whose.set("the listener's")
    made: list[_Tenant] = []
    names = (f"connection {number}'s" for number in count())

    def make() -> _Tenant:
        made.append(_Tenant(net, next(names)))
        _whose.set(_FACTORY)
        return made[0]

    connect = await net.serve(make)
    _whose.set(_PROGRAM)
    # Nothing listens on the standard descriptors: the program itself connects.
    asked_by = _PROGRAM if net.channel_type.scheme == "stdio" else "the listener's"
    for use in (_use_from_without, _end):
        peer = net.closing(await connect())
        await net.until_made(made)
        await _check(net, made.pop(), asked_by, peer, use)
    with net.channel_type.listening(net.backend) as listener:
        await net.backend.connect(listener.endpoint, make)
        peer = net.closing(await listener.accept())
        await _check(net, made.pop(), _PROGRAM, peer, _end)


async def _check(
    net: Net,
    one: _Tenant,
    asked_by: str,
    peer: RawPeer,
    use: Callable[[Net, _Tenant, RawPeer], Awaitable[None]],
) -> None:
    assert one.made_in == asked_by, f"the factory ran in {one.made_in} context, not {asked_by}"
    peer.send_now(b"x")
    await net.until(one, "dataReceived")
    await use(net, one, peer)
    await net.lost(one)
    assert not one.strange, "; ".join(one.strange)
    assert _whose.get() == _PROGRAM, f"the program ran in {_whose.get()} context"


async def _use_from_without(net: Net, one: _Tenant, peer: RawPeer) -> None:
    """Register a producer from outside of all events: it must be called in the connection's
    context all the same."""
    source = _Source(one)
    one.verb("registerProducer", source, True)
    one.verb("write", b"x" * MORE_THAN_THE_KERNEL)
    await peer.read_exactly(MORE_THAN_THE_KERNEL)
    await net.until(one, one.was_resumed)
    one._reactions["readConnectionLost"] = lambda p: (p._look(), p.start_others())
    peer.shutdown()
    await net.until(one, one.ran_later)
    one.verb("unregisterProducer")
    one.verb("registerProducer", source, True)
    one.verb("abortConnection")
    await net.lost(one)
    assert one.seen >= {"pauseProducing", "resumeProducing", "stopProducing", "connectionLost"}


async def _end(net: Net, one: _Tenant, peer: RawPeer) -> None:
    one.verb("loseConnection")
    assert await peer.read_to_eof() == b""
    peer.close()
