"""The same seed gives the same run, in this process and in another; different seeds differ."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from core.support import python
from halfclose import Backend
from halfclose.memory import Chunks
from halfclose.testing.networks import network
from memory.support import EchoBack, Noted, drive

TESTS = Path(__file__).parent.parent
SIZES = (1, 500, 70_000)


def trace(seed: int | None, chunks: Chunks | None = None) -> list[tuple[str, str, int]]:
    """All that happens to six connections that talk at once, in order."""
    seen: list[tuple[str, str, int]] = []

    class Talker(Noted):
        def __init__(self, name: str, size: int) -> None:
            super().__init__()
            self.name = name
            self.size = size

        def connectionMade(self) -> None:
            super().connectionMade()
            seen.append((self.name, "made", 0))
            self.transport.write(b"x" * self.size)
            self.transport.loseWriteConnection()

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            seen.append((self.name, "data", len(data)))

        def connectionLost(self, reason: BaseException) -> None:
            super().connectionLost(reason)
            seen.append((self.name, type(reason).__name__, len(self.received)))

    async def talk(backend: Backend, name: str, size: int) -> None:
        talker = await backend.connect("memory:echo", lambda: Talker(name, size))
        await talker.transport.whenClosed()

    async def main() -> None:
        async with network(seed, chunks=chunks) as net:
            await net.backend.listen("memory:echo", EchoBack)
            for number, size in enumerate((*SIZES, *SIZES)):
                net.backend.start_soon(talk, net.backend, f"client {number}", size)
            await net.advance(1)

    drive(main())
    assert sorted(size for _, what, size in seen if what == "ConnectionDone") == sorted(2 * SIZES)
    return seen


@pytest.mark.parametrize("seed", [None, *range(20)])
def test_the_same_seed_gives_the_same_run(seed: int | None) -> None:
    assert trace(seed) == trace(seed)


def test_different_seeds_differ_in_order_and_in_sizes() -> None:
    runs = [trace(seed) for seed in range(10)]
    assert len({tuple(run) for run in runs}) == 10
    assert len({tuple(name for name, what, _ in run if what != "data") for run in runs}) > 1
    # And so does a run without one.
    assert trace(None) not in runs


def test_the_order_is_drawn_where_sizes_are_given() -> None:
    runs = [trace(seed, chunks=1000) for seed in range(10)]
    assert {size for run in runs for _, what, size in run if what == "data"} == {1, 500, 1000}
    assert len({tuple(run) for run in runs}) > 1


@pytest.mark.parametrize("seed", [3, 4])
def test_another_process_has_the_same_run(seed: int) -> None:
    code = f"""
        import sys
        sys.path.insert(0, {str(TESTS)!r})
        from memory.test_seeds import trace
        print(trace({seed}))
    """
    for hashes in ("1", "2"):
        told = python(code, env={"PYTHONHASHSEED": hashes, "PYTHONPATH": ""})
        assert told.strip() == repr(trace(seed)), sys.version
