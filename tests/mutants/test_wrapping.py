"""What the mutants are written with wraps methods, properties and events, and takes it back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from halfclose import Protocol
from halfclose.connection import Connection
from halfclose.testing import network
from mutants.patching import Patch
from mutants.wrapping import after, around, before, called, event, inside, undelivered


class Bell:
    """Something to wrap."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring(self, tone: str) -> str:
        self.rung.append(tone)
        return tone.upper()

    async def wait(self) -> str:
        return "silence"

    @property
    def loudness(self) -> int:
        return len(self.rung)


@pytest.fixture
def patch() -> Iterator[Patch]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Patch(monkeypatch)


def test_around_a_method_the_wrapper_decides(patch: Patch) -> None:
    around(patch, Bell, "ring", lambda real, bell, tone: real(tone * 2))
    bell = Bell()
    assert bell.ring("a") == "AA"
    assert bell.rung == ["aa"]


def test_around_a_property(patch: Patch) -> None:
    around(patch, Bell, "loudness", lambda real, bell: real() + 10)
    assert Bell().loudness == 10


def test_around_an_asynchronous_method(patch: Patch) -> None:
    async def wait(real: Any, bell: Bell) -> str:
        return f"not {await real()}"

    around(patch, Bell, "wait", wait)
    assert asyncio.run(Bell().wait()) == "not silence"


def test_before_and_after_keep_the_result(patch: Patch) -> None:
    before(patch, Bell, "ring", lambda bell, tone: bell.rung.append("before"))
    after(patch, Bell, "ring", lambda bell, tone: bell.rung.append("after"))
    bell = Bell()
    assert bell.ring("a") == "A"
    assert bell.rung == ["before", "a", "after"]


def test_a_name_that_is_gone_fails(patch: Patch) -> None:
    with pytest.raises(AttributeError):
        around(patch, Bell, "toll", lambda real, bell: real())


def test_all_is_taken_back() -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        around(Patch(monkeypatch), Bell, "ring", lambda real, bell, tone: real("other"))
    bell = Bell()
    bell.ring("a")
    assert bell.rung == ["a"]


class Shout(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.loseConnection()


def test_an_event_of_every_protocol(patch: Patch) -> None:
    kept = undelivered(patch)
    closing = inside(patch, "loseConnection")
    closed = called(patch, "loseConnection")
    seen: list[tuple[int, int, int]] = []

    def received(real: Any, connection: Connection, data: bytes) -> None:
        real(data.upper())
        seen.append((len(closed), len(closing), len(kept[connection])))

    event(patch, "dataReceived", received)

    async def main() -> None:
        async with network() as net:
            await net.backend.listen("memory:shout", Shout)
            with await net.raw("shout") as peer:
                await peer.send_all(b"x")
                assert await peer.receive() == b"X"

    asyncio.run(main())
    assert seen == [(1, 0, 0)]
