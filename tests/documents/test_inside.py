"""docs/how-to/inside-*.md: each example is shown, and run; what is said of threads is so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import halfclose
import pytest
import trio
from documents.blocks import ROOT, blocks
from halfclose.examples import Ask, Upper
from runners.test_runners import EXAMPLES, RUN
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread, deferToThreadPool

PAGES = sorted((ROOT / "docs" / "how-to").glob("inside-*.md"))


def test_each_example_is_shown_once_and_whole() -> None:
    shown = [block for page in PAGES for block in blocks(page) if block.language == "python"]
    assert sorted(block.text for block in shown) == sorted(
        file.read_text() for file in EXAMPLES.glob("*.py")
    )


def test_each_example_is_run() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.py")} == RUN


def test_the_overview_leads_to_each_page() -> None:
    overview = (ROOT / "docs" / "how-to" / "running-inside.md").read_text()
    assert [page.name for page in PAGES if f"({page.name}" not in overview] == []


Call = Callable[[], Any]
"""Asks the server, in a thread, and gives the answer."""


async def asked(backend: halfclose.Backend, call: Callable[[Any], Awaitable[Any]]) -> bytes:
    """What a client gets that *call* has made in a thread, of a server in the loop."""
    listener = await backend.listen("tcp:127.0.0.1:0", Upper)
    client = await call(listener.endpoint)
    await client.transport.whenClosed()
    return bytes(client.answer)


async def by_asyncio() -> bytes:
    loop = asyncio.get_running_loop()
    async with halfclose.open_backend() as backend:

        def thread(endpoint: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(backend.connect(endpoint, Ask), loop).result()

        return await asked(backend, lambda endpoint: asyncio.to_thread(thread, endpoint))


async def by_trio() -> bytes:
    async with halfclose.open_backend() as backend:

        def thread(endpoint: Any) -> Any:
            return trio.from_thread.run(backend.connect, endpoint, Ask)

        return await asked(backend, lambda endpoint: trio.to_thread.run_sync(thread, endpoint))


async def by_anyio() -> bytes:
    async with halfclose.open_backend() as backend:

        def thread(endpoint: Any) -> Any:
            return anyio.from_thread.run(backend.connect, endpoint, Ask)

        return await asked(backend, lambda endpoint: anyio.to_thread.run_sync(thread, endpoint))


async def by_twisted(backend: Any) -> bytes:
    reactor = backend.reactor

    def thread(endpoint: Any) -> Any:
        return blockingCallFromThread(
            reactor, lambda: Deferred.fromCoroutine(backend.connect(endpoint, Ask))
        )

    return await asked(
        backend,
        lambda endpoint: deferToThreadPool(reactor, reactor.getThreadPool(), thread, endpoint),
    )


@pytest.mark.parametrize(
    "run",
    [
        lambda: asyncio.run(by_asyncio()),
        lambda: trio.run(by_trio),
        lambda: anyio.run(by_anyio),
        lambda: halfclose.run(by_twisted, backend="twisted+epoll"),
    ],
    ids=["asyncio", "trio", "anyio", "twisted"],
)
def test_a_thread_calls_by_the_frameworks_own_way(run: Call) -> None:
    assert run() == b"HELLO, WORLD"
