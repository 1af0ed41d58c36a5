"""Whether each connection's events run in a context of its own (EVT-16)."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from .harness import MORE_THAN_THE_KERNEL, Net
from .producers import Idle
from .recorder import EVENTS, Recorder

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
            self.look("connectionMade", self.made_in)
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


_LATER = {"call_soon", "call_later", "call_soon_threadsafe", "start_soon"}


async def check_contexts(net: Net) -> None:
    """Two connections, one after the other, each of which is used from without as well."""
    for name in ("the first", "the second"):
        _whose.set(f"{name} listener's")
        tenant: list[_Tenant] = []

        def make(name: str = name, made: list[_Tenant] = tenant) -> _Tenant:
            made.append(_Tenant(net, f"{name} one's"))
            return made[0]

        connect = await net.serve(make)
        _whose.set("the program's")
        peer = net.closing(await connect())
        await net.until_made(tenant)
        one = tenant[0]
        assert one.made_in == f"{name} listener's", f"the factory ran in {one.made_in} context"
        peer.send_now(b"x")
        await net.until(one, "dataReceived")
        source = _Source(one)
        # By the program, outside of all events: the producer is the connection's all the same.
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
        assert not one.strange, "; ".join(one.strange)
        assert _whose.get() == "the program's", f"the program ran in {_whose.get()} context"
