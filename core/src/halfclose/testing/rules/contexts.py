"""Whether each connection's events run in a context of its own (EVT-16)."""

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
    """Calls its context by its own name, and notes where it meets another."""

    def __init__(self, net: Net, name: str) -> None:
        super().__init__(**dict.fromkeys(EVENTS, self._look))
        self._net = net
        self.name = name
        self.made_in = _whose.get()
        self.seen: set[str] = set()
        self.strange: list[str] = []
        """Where it has run in another's context."""

    def _look(self, *_: Any) -> None:
        if self.events == ["connectionMade"]:
            self.look("connectionMade", _FACTORY)
            _whose.set(self.name)
        else:
            self.look(self.events[-1])

    def look(self, where: str, expected: str | None = None) -> None:
        """This runs in the connection's own context."""
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
        """Have the loop run something later, in each of its ways."""

        async def task() -> None:
            self.look("start_soon")

        self._net.backend.call_soon(self.look, "call_soon")
        self._net.backend.call_later(0, self.look, "call_later")
        self._net.backend.call_soon_threadsafe(self.look, "call_soon_threadsafe")
        self._net.backend.start_soon(task)


class _Source(Idle):
    """A producer that notes where it is called."""

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
    """Connections that were accepted and one that was made, one after the other."""
    _whose.set("the listener's")
    made: list[_Tenant] = []
    names = (f"connection {number}'s" for number in count())

    def make() -> _Tenant:
        made.append(_Tenant(net, next(names)))
        _whose.set(_FACTORY)
        return made[0]

    connect = await net.serve(make)
    _whose.set(_PROGRAM)
    # On the standard descriptors it is the program that connects, and one connection at a time.
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
    """By the program, outside of all events: a producer is the connection's all the same."""
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
