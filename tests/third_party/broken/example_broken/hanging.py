"""Backends that hang."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from example_loop.backend import ExampleBackend
from example_loop.loop import Timer
from halfclose import Address

__all__ = ["AfterMain", "InCallback", "InResolve", "InStop", "NoTimers", "SpinsInResolve"]

T = TypeVar("T")

FOR_EVER = 1e6


class InCallback(ExampleBackend):
    """The first function that the loop is to call soon never returns: nothing works."""

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        super().call_soon(time.sleep, FOR_EVER)


class AfterMain(ExampleBackend):
    """``run`` does not return although ``main`` has."""

    @classmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        result = super().run(name, options, main, args)
        time.sleep(FOR_EVER)
        return result


class InStop(ExampleBackend):
    """Leaving waits for an event that never comes."""

    async def stop(self, error: BaseException | None) -> None:
        await super().stop(error)
        await self.create_event().wait()


class NoTimers(ExampleBackend):
    """``call_later`` never calls: a wait of the suite's own has no end."""

    def call_later(self, seconds: float, function: Callable[..., object], *args: object) -> Timer:
        return super().call_later(FOR_EVER, function, *args)


class InResolve(ExampleBackend):
    """A name is looked up for ever, in the loop's thread: all else works."""

    async def resolve(self, host: str, port: int) -> list[Address]:
        time.sleep(FOR_EVER)
        return []


class SpinsInResolve(ExampleBackend):
    """Likewise, in Python code that takes the processor."""

    async def resolve(self, host: str, port: int) -> list[Address]:
        while True:
            pass
