"""Hosts for the contract suite: asyncio, uvloop and trio, started without anyio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from halfclose import Backend
from halfclose.testing import Host

__all__ = ["ASYNCIO", "TRIO", "UVLOOP"]

T = TypeVar("T")

Main = Callable[[Backend], Awaitable[T]]


class AsyncioRun(Host):
    """Runs programs by ``asyncio.run``."""

    name = "asyncio.run"

    def run(self, main: Main[T], backend: str, options: Mapping[str, Any] | None = None) -> T:
        return asyncio.run(self.open_and_run(main, backend, options))


class UvloopRun(Host):
    """Runs programs by ``uvloop.run``."""

    name = "uvloop.run"

    def run(self, main: Main[T], backend: str, options: Mapping[str, Any] | None = None) -> T:
        import uvloop

        return uvloop.run(self.open_and_run(main, backend, options))


class TrioRun(Host):
    """Runs programs by ``trio.run``."""

    name = "trio.run"

    def run(self, main: Main[T], backend: str, options: Mapping[str, Any] | None = None) -> T:
        import trio

        return trio.run(self.open_and_run, main, backend, options)


ASYNCIO: tuple[Host, ...] = (AsyncioRun(),)
UVLOOP: tuple[Host, ...] = (UvloopRun(),)
TRIO: tuple[Host, ...] = (TrioRun(),)
