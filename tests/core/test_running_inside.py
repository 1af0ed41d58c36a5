"""`halfclose.run` where an event loop runs in the same thread: one error, whatever runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import halfclose
import pytest
import trio
import uvloop
from core.support import LIMIT, VARIANTS, python
from halfclose import Backend

EVERYWHERE = (*VARIANTS, "anyio", "twisted")


async def nothing(backend: Backend) -> str:
    return backend.name


def refusal(backend: str, options: dict[str, Any] | None = None) -> str:
    """What it says."""
    try:
        halfclose.run(nothing, backend=backend, options=options)
    except RuntimeError as error:
        return f"{'' if type(error) is RuntimeError else type(error)}{error}"
    return "it ran"


def expected(backend: str, occupant: str) -> str:
    return (
        f"halfclose.run cannot run the backend {backend!r} here: {occupant} runs in this thread "
        "already; inside of it, use `async with halfclose.open_backend() as backend:`"
    )


def check(occupant: str) -> None:
    """All are refused, with the same words."""
    for backend in EVERYWHERE:
        assert refusal(backend) == expected(backend, occupant)


OWN: dict[str, tuple[Callable[[Callable[[], Coroutine[Any, Any, None]]], None], str]] = {
    "asyncio.run": (lambda main: asyncio.run(main()), "an asyncio event loop"),
    "uvloop.run": (lambda main: uvloop.run(main()), "a uvloop event loop"),
    "trio.run": (trio.run, "a trio run"),
    "anyio.run": (anyio.run, "an asyncio event loop"),
}


@pytest.mark.parametrize(("host", "occupant"), OWN.values(), ids=OWN)
def test_in_a_program_that_runs_its_loop(
    host: Callable[[Callable[[], Coroutine[Any, Any, None]]], None], occupant: str
) -> None:
    """From a task, and from a callback, of which no task knows."""

    async def main() -> None:
        check(occupant)
        async with halfclose.open_backend() as backend:
            called = backend.create_event()
            found: list[str] = []

            def callback() -> None:
                found.extend(refusal(each) for each in EVERYWHERE)
                called.set()

            backend.call_soon(callback)
            await called.wait()
            assert found == [expected(each, occupant) for each in EVERYWHERE]

    host(main)


OCCUPANTS = {
    "anyio+asyncio": "an asyncio event loop",
    "anyio+uvloop": "a uvloop event loop",
    "anyio+trio": "a trio run",
    "twisted+select": "a Twisted reactor (SelectReactor)",
    "twisted+poll": "a Twisted reactor (PollReactor)",
    "twisted+epoll": "a Twisted reactor (EPollReactor)",
    # The loop below it is told of first.
    "twisted+asyncio": "an asyncio event loop",
    "twisted+uvloop": "a uvloop event loop",
    "memory": "the scheduler of the backend 'memory'",
}


@pytest.mark.parametrize("outer", OCCUPANTS)
def test_inside_of_a_run(outer: str) -> None:
    async def main(backend: Backend) -> None:
        check(OCCUPANTS[outer])
        called = backend.create_event()
        found: list[str] = []

        def callback() -> None:
            found.append(refusal(outer))
            called.set()

        backend.call_soon(callback)
        await called.wait()
        assert found == [expected(outer, OCCUPANTS[outer])]
        assert backend.name == outer

    halfclose.run(main, backend=outer)


def test_memory_inside_of_memory() -> None:
    """Unless it joins the network, which is then a plain call."""

    async def main(backend: Backend) -> None:
        occupant = OCCUPANTS["memory"]
        assert refusal("memory") == expected("memory", occupant)
        network = backend.network  # type: ignore[attr-defined]
        assert halfclose.run(nothing, backend="memory", options={"network": network}) == "memory"

    halfclose.run(main, backend="memory")


@pytest.mark.parametrize("outer", [name for name in OCCUPANTS if name != "memory"])
def test_memory_runs_inside_of_every_other(outer: str) -> None:
    async def main(backend: Backend) -> str:
        return halfclose.run(nothing, backend="memory")

    assert halfclose.run(main, backend=outer) == "memory"


@pytest.mark.parametrize("outer", ["anyio+asyncio", "anyio+trio", "twisted+select", "memory"])
def test_in_another_thread_it_is_allowed(outer: str) -> None:
    async def main(backend: Backend) -> None:
        ran: list[str] = []

        def work() -> None:
            ran.extend(halfclose.run(nothing, backend=each) for each in VARIANTS)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(LIMIT)
        assert ran == list(VARIANTS)
        # And here it still is not.
        assert "cannot run" in refusal("anyio+trio")

    halfclose.run(main, backend=outer)


@pytest.mark.parametrize("module", ["selectreactor", "epollreactor", "asyncioreactor"])
def test_in_a_callback_of_the_programs_own_reactor(module: str) -> None:
    """It froze the reactor. Before and after its run, and beside it, nothing is refused."""
    out = python(
        f"""
        import threading
        from twisted.internet import {module}
        {module}.install()
        from twisted.internet import reactor
        import halfclose

        BACKENDS = {VARIANTS!r}

        async def nothing(backend):
            return "ran"

        def attempt(backend):
            try:
                return halfclose.run(nothing, backend=backend)
            except RuntimeError as error:
                return str(error)

        def inside():
            for backend in BACKENDS:
                said = attempt(backend)
                assert said.startswith("halfclose.run cannot run the backend '" + backend), said
                assert "open_backend" in said, said
            print("refused")
            reactor.callInThread(beside)

        def beside():
            print(attempt("anyio+trio"))
            reactor.callFromThread(reactor.stop)

        print(attempt("twisted+epoll"))
        reactor.callWhenRunning(inside)
        reactor.run()
        print(attempt("twisted+select"))
        """,
        warm=True,
    )
    assert out.split() == ["ran", "refused", "ran", "ran"]


@pytest.mark.parametrize("module", ["selectreactor", "epollreactor", "asyncioreactor"])
def test_beside_the_programs_own_reactor(module: str) -> None:
    """Twisted knows one thread that runs a reactor, the last to have begun; a program has two then.

    Each may do what it might before, again and again, in threads that are used again.
    """
    out = python(
        f"""
        import threading
        from twisted.internet import {module}
        {module}.install()
        from twisted.internet import defer, reactor, threads
        from twisted.python.threadable import isInIOThread
        import halfclose

        reactor.suggestThreadPoolSize(1)

        async def nothing(backend):
            return "ran"

        async def waits(backend):
            begun = backend.create_event()
            reactor.callFromThread(here, backend, begun)
            await begun.wait()
            return "ran"

        def here(backend, ended):
            print(attempt("twisted+epoll"))
            backend.call_soon_threadsafe(ended.set)

        def attempt(backend, main=nothing):
            try:
                return halfclose.run(main, backend=backend)
            except RuntimeError as error:
                return "refused" if "open_backend" in str(error) else error

        async def program():
            for main in (nothing, waits):
                for backend in ("twisted+select", "twisted+epoll"):
                    print(await threads.deferToThread(attempt, backend, main))
                    print(attempt("twisted+epoll"), isInIOThread())

        def begin():
            begun = defer.Deferred.fromCoroutine(program())
            begun.addErrback(lambda failure: print(failure.getTraceback()))
            begun.addBoth(lambda _: reactor.stop())

        attempt("twisted+epoll")
        reactor.callWhenRunning(begin)
        reactor.run()
        """,
        warm=True,
    )
    assert out.split() == ["ran", "refused", "True"] * 2 + ["refused", "ran", "refused", "True"] * 2


def test_a_plugin_that_says_no_more_than_that_it_runs() -> None:
    """Its backend's name has to do; and one that fails to say it is passed over."""

    class Plain:
        @halfclose.hookimpl
        def halfclose_backends(self) -> list[halfclose.BackendSpec]:
            def fails() -> str:
                raise ZeroDivisionError

            return [
                halfclose.BackendSpec("odd", "x:y", occupant=fails, priority=200),
                halfclose.BackendSpec("plain", "x:y", running=lambda: runs, priority=100),
            ]

    plain = Plain()
    halfclose.register(plain)
    try:
        runs = True
        assert refusal("anyio+trio") == expected("anyio+trio", "the backend 'plain'")
        runs = False
        assert halfclose.run(nothing, backend="anyio+trio") == "anyio+trio"
    finally:
        halfclose.unregister(plain)
