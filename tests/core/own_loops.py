"""Programs that run their event loop themselves, each in its own way."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import trio
import uvloop

__all__ = ["ASYNCIO", "HOSTS", "LIMIT", "Host"]

LIMIT = 20.0
"""Seconds that a program may take; none comes near it unless it hangs."""

Host = Callable[[Callable[[], Coroutine[Any, Any, Any]]], Any]


def _limited(main: Callable[[], Coroutine[Any, Any, Any]]) -> Coroutine[Any, Any, Any]:
    async def limited() -> Any:
        async with asyncio.timeout(LIMIT):
            return await main()

    return limited()


def _run_until_complete(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_limited(main))
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()


def _eager(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    def factory() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
        return loop

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_limited(main))


ASYNCIO: dict[str, Host] = {
    "asyncio.run": lambda main: asyncio.run(_limited(main)),
    "uvloop.run": lambda main: uvloop.run(_limited(main)),
    "run_until_complete": _run_until_complete,
    "anyio.run": lambda main: anyio.run(lambda: _limited(main)),
}
"""Those whose tasks are asyncio's."""

if sys.version_info >= (3, 12):
    ASYNCIO["eager tasks"] = _eager


def _trio(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    async def limited() -> Any:
        with trio.fail_after(LIMIT):
            return await main()

    return trio.run(limited)


HOSTS: dict[str, Host] = {**ASYNCIO, "trio.run": _trio}
"""All of them."""
