"""The backend on trio."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, TypeVar

import trio  # noqa: F401

from .backend import AnyioBackend

__all__ = ["TrioBackend"]

T = TypeVar("T")


class TrioBackend(AnyioBackend):
    """`AnyioBackend`, on trio."""

    runner: ClassVar[tuple[str, dict[str, Any]]] = ("trio", {})

    @classmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        from .on_trio import second_interrupts

        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            # The program has a handler of its own, which trio leaves alone, and so do we.
            return super().run(name, options, main, args)

        async def interruptible(backend: AnyioBackend) -> T:
            with second_interrupts():
                return await main(backend, *args)

        return super().run(name, options, interruptible, ())
