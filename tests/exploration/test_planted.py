"""Defects that are planted in the core: the machine finds each, and its script shows it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from halfclose import Connection, State
from halfclose.connection.outgoing import Outgoing
from halfclose.connection.producers import Feed
from halfclose.io.socket_channel import SocketChannel
from halfclose.lifecycle import Move
from halfclose.testing.exploration import explore, replay, search

SECONDS = 300.0
"""The most that a search may take, and as much to shorten what it found, on a machine with other
work; on a quiet one each takes up to half a minute, most of it to shorten."""

Plant = Callable[[pytest.MonkeyPatch], None]


def replacing(owner: type, name: str, make: Callable[[Any], Callable[..., Any]]) -> Plant:
    """Replace a method by what *make* gives for the original."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(owner, name, make(getattr(owner, name)))

    return plant


def inside(original: Any) -> Any:
    """What a verb causes is delivered at once."""
    return lambda self: self._pump()


def shortening(original: Any) -> Any:
    """What the kernel does not take at once loses its last byte."""

    def keep(self: Outgoing, data: bytes, taken: int) -> None:
        original(self, data, taken)
        assert self._queue is not None
        self._queue[-1] = self._queue[-1][:-1]
        self.size -= 1

    return keep


def hasty(original: Any) -> Any:
    """An end of stream does not wait for a producer."""
    return lambda self, end_will_be_told: False


def quiet(original: Any) -> Any:
    """The end of our half is forgotten where the peer's has ended."""

    def deliver(self: Connection) -> None:
        if self._life.can(Move.READ_ENDED):
            original(self)
        else:
            self._enter(Move.WRITE_ENDED)
            self._settle()

    return deliver


def twice(original: Any) -> Any:
    """connectionLost comes again."""

    def deliver(self: Connection) -> None:
        protocol = self._protocol
        original(self)
        protocol.connectionLost(self._reason)  # type: ignore[arg-type]

    return deliver


def restless(original: Any) -> Any:
    """A pause does nothing."""
    return lambda self: None


def polite(original: Any) -> Any:
    """An abort ends like a close."""
    return lambda self: self.close()


def stubborn(original: Any) -> Any:
    """A producer is not told that the connection is lost."""

    def deliver(self: Connection) -> None:
        self._feed = None
        original(self)

    return deliver


def stuck(original: Any) -> Any:
    """Once our own half has ended, reading does not go on."""

    def resume(self: Connection) -> None:
        if not self._write_eof.sent:
            original(self)

    return resume


def raising(original: Any) -> Any:
    """A verb raises where the connection is over."""

    def pause(self: Connection) -> None:
        if self.state is State.CLOSED:
            raise OSError("closed")
        original(self)

    return pause


PLANTS: dict[str, tuple[Plant, set[str]]] = {
    "an event inside a verb": (replacing(Connection, "_pump_soon", inside), {"EVT-07"}),
    "a byte less": (replacing(Outgoing, "keep", shortening), {"FLU-01"}),
    "a producer not waited for": (
        replacing(Feed, "delays_end", hasty),
        {"PRD-03", "PRD-04", "VRB-05", "VRB-09", "PRD-06", "EVT-02"},
    ),
    "no writeConnectionLost at the end": (
        replacing(Connection, "_deliver_write_ended", quiet),
        {"VRB-09", "EVT-04", "ERR-01"},
    ),
    "connectionLost twice": (replacing(Connection, "_deliver_lost", twice), {"EVT-06"}),
    "no pause": (replacing(Connection, "pauseProducing", restless), {"FLU-06"}),
    "an abort without a reset": (
        replacing(SocketChannel, "abort", polite),
        {"FLU-05", "EVT-02", "ERR-01"},
    ),
    "a producer not stopped": (replacing(Connection, "_deliver_lost", stubborn), {"PRD-06"}),
    "a half-closed connection that stays paused": (
        replacing(Connection, "resumeProducing", stuck),
        {"FLU-01", "EVT-02", "EVT-12"},
    ),
    "a verb that raises": (replacing(Connection, "pauseProducing", raising), {"VRB-04"}),
}
"""What is planted, and the rules of which one must have caught it."""

ON_SOCKETS = {"an abort without a reset"}
"""What is planted into the channel over a socket."""


@contextmanager
def planted(plant: Plant) -> Iterator[None]:
    """While the defect is there."""
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        yield


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_defect_is_found_and_shown_again(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_SHORTENING", SECONDS)
    plant, rules = PLANTS[name]
    # In memory where the core is broken, which takes no time; a socket's channel has a poller.
    backend = "anyio+asyncio" if name in ON_SOCKETS else "memory"
    with planted(plant):
        found = explore(backend, SECONDS, seed=1)
        assert found is not None
        again = replay(backend, str(found.script))
    assert found.rule in rules, str(found)
    assert found.again
    assert not again.passed
    assert again.rule == found.rule, str(again)
    assert len(found.script.steps) + len(found.script.b.reactions) <= 5, str(found)
    healthy = replay(backend, str(found.script))
    assert healthy.passed, str(healthy)
