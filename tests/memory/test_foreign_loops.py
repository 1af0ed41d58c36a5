"""The same test, written once, in every event loop and in none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import halfclose
import pytest
import trio
from halfclose import ConnectionOptions, HalfCloseTimeout
from halfclose.memory import Cancelled, Deadlock, Network
from halfclose.memory.backend import MemoryBackend
from halfclose.testing.networks import OpenNetwork, network
from memory.support import EchoBack, Noted, drive
from twisted.internet.defer import Deferred

Loop = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


def in_twisted(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """In a coroutine that a Deferred drives; no reactor is needed for it."""
    outcome: list[Any] = []
    deferred = Deferred.fromCoroutine(main())
    deferred.addBoth(outcome.append)
    assert outcome, "it waits for a reactor"
    result = outcome[0]
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


def in_a_reactor(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    async def body(backend: halfclose.Backend) -> Any:
        return await main()

    return halfclose.run(body, backend="twisted+select")


def in_memory(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    async def body(backend: halfclose.Backend) -> Any:
        return await main()

    return halfclose.run(body, backend="memory")


LOOPS: dict[str, Loop] = {
    "none": lambda main: drive(main()),
    "asyncio": lambda main: asyncio.run(main()),
    "trio": trio.run,
    "anyio on trio": lambda main: anyio.run(main, backend="trio"),
    "Twisted's Deferred": in_twisted,
    "a Twisted reactor": in_a_reactor,
    "memory": in_memory,
}


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Loop:
    return LOOPS[request.param]


def test_one_test_in_every_loop(loop: Loop) -> None:
    async def main() -> tuple[list[str], bytes, float, list[str]]:
        protocol = EchoBack()
        async with network(seed=7) as net:
            options = ConnectionOptions(half_close_timeout=600)
            await net.backend.listen("memory:echo", lambda: protocol, options)
            client = await net.backend.connect("memory:echo", Noted)
            client.transport.write(b"hello" * 1000)
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
            assert client.received == b"hello" * 1000
            await net.advance(600)
            with await net.raw("echo") as peer:
                peer.send(b"x")
                assert await peer.receive_exactly(1) == b"x"
        return protocol.events, protocol.received[:5], net.clock, net.open_ends()

    events, received, clock, left = loop(main)
    assert events[:4] == ["made", "data", "read", "lost"]
    assert received == b"hello"
    assert clock == 600
    assert left == []


def test_tasks_run_beside_in_every_loop(loop: Loop) -> None:
    async def main() -> list[float]:
        ticks: list[float] = []
        async with network() as net:

            async def tick() -> None:
                while True:
                    await net.backend.sleep(10)
                    ticks.append(net.clock)

            net.backend.start_soon(tick)
            await net.backend.sleep(35)
            assert ticks == [10, 20, 30]
        return ticks

    assert loop(main) == [10, 20, 30]


def test_a_deadlock_in_every_loop(loop: Loop) -> None:
    async def main() -> str:
        async with network() as net:
            with pytest.raises(Deadlock):
                await net.backend.create_event().wait()
        return "told"

    assert loop(main) == "told"


def test_a_failure_comes_out_bare_in_every_loop(loop: Loop) -> None:
    boom = ValueError("boom")

    async def main() -> None:
        async with network() as net:
            await net.advance(1)
            raise boom

    with pytest.raises(ValueError, match="boom") as caught:
        loop(main)
    assert caught.value is boom


@pytest.mark.parametrize("name", ["none", "asyncio", "trio", "Twisted's Deferred"])
def test_a_fatal_event_ends_the_body_in_every_loop(name: str) -> None:
    class Ends(Noted):
        def dataReceived(self, data: bytes) -> None:
            raise SystemExit("enough")

    seen: list[type[BaseException]] = []

    async def body(net: OpenNetwork) -> None:
        await net.backend.listen("memory:name", Ends)
        (await net.raw("name")).send(b"x")
        try:
            await net.backend.sleep(1000)
        except BaseException as error:
            seen.append(type(error))
            with contextlib.suppress(Cancelled):
                await net.backend.sleep(1)
            raise

    async def main() -> str:
        try:
            async with network() as net:
                await body(net)
        except SystemExit as error:
            return str(error)
        return "went on"

    assert LOOPS[name](main) == "enough"
    assert seen == [Cancelled]


def test_the_loops_own_backend_is_chosen_where_none_is_named() -> None:
    inside: list[str] = []

    async def main() -> str:
        async with network() as net:
            # The scheduler is at work while it calls this, and the loop is not.
            net.backend.call_soon(lambda: inside.append(halfclose.open_backend().name))
            await net.advance(0)
            async with halfclose.open_backend() as backend:
                return backend.name

    assert asyncio.run(main()) == "anyio+asyncio"
    assert trio.run(main) == "anyio+trio"
    assert inside == ["memory", "memory"]


def test_a_backend_opened_in_a_loop_has_a_network_of_its_own() -> None:
    async def main() -> None:
        async with halfclose.open_backend("memory") as backend:
            assert isinstance(backend, MemoryBackend)
            async with halfclose.open_backend("memory") as other:
                assert isinstance(other, MemoryBackend)
                assert other.network is not backend.network
            shared = {"network": backend.network}
            async with halfclose.open_backend("memory", shared) as other:
                await other.sleep(5)
            assert backend.time() == 5

    asyncio.run(main())


def test_a_program_is_run_in_a_loop_as_a_plain_call() -> None:
    async def program(backend: halfclose.Backend) -> float:
        await backend.sleep(3)
        return backend.time()

    async def main() -> None:
        assert halfclose.run(program, backend="memory") == 3
        async with network() as net:
            assert halfclose.run(program, backend="memory", options={"network": net}) == 3
            assert net.clock == 3

    asyncio.run(main())


def test_the_clock_stands_still_while_the_loop_goes_on() -> None:
    async def main() -> None:
        async with network() as net:
            timer = net.backend.call_later(0.001, lambda: fired.append(net.clock))
            await asyncio.sleep(0.01)
            assert fired == []
            await net.advance(0.001)
            assert fired == [0.001]
            timer.cancel()

    fired: list[float] = []
    asyncio.run(main())


def test_timeouts_are_the_virtual_clocks() -> None:
    async def main() -> Noted:
        protocol = Noted()
        async with network() as net:
            options = ConnectionOptions(half_close_timeout=600)
            await net.backend.listen("memory:name", lambda: protocol, options)
            (await net.raw("name")).shutdown()
            with trio.fail_after(60):
                await net.advance(601)
        return protocol

    assert isinstance(trio.run(main).reason, HalfCloseTimeout)


def test_two_networks_in_two_tasks_of_one_loop() -> None:
    async def user(clock: float) -> Network:
        async with network() as net:
            await net.backend.listen("memory:echo", EchoBack)
            for _ in range(3):
                with await net.raw("echo") as peer:
                    peer.send(b"hello")
                    await asyncio.sleep(0)
                    assert await peer.receive_exactly(5) == b"hello"
                await net.advance(clock)
            return net

    async def main() -> tuple[Network, Network]:
        return await asyncio.gather(user(1), user(2))

    assert [net.clock for net in asyncio.run(main())] == [3, 6]
