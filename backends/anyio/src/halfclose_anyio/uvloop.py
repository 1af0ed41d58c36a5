"""The backend on uvloop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, TypeVar

import uvloop
from halfclose.io.standard import occupy

from .backend import AnyioBackend

__all__ = ["UvloopBackend"]

T = TypeVar("T")


class UvloopBackend(AnyioBackend):
    """`AnyioBackend`, on uvloop."""

    runner: ClassVar[tuple[str, dict[str, Any]]] = (
        "asyncio",
        {"loop_factory": uvloop.new_event_loop},
    )

    @classmethod
    def run(
        cls,
        name: str,
        options: Mapping[str, Any] | None,
        main: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
    ) -> T:
        # If a standard descriptor is closed, one of libuv's own may get its number, and to close
        # that makes libuv abort the process.
        occupy()
        return super().run(name, options, main, args)
