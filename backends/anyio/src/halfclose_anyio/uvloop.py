"""The backend on uvloop."""

from __future__ import annotations

from typing import Any, ClassVar

import uvloop

from .backend import AnyioBackend

__all__ = ["UvloopBackend"]


class UvloopBackend(AnyioBackend):
    """`AnyioBackend`, on uvloop."""

    runner: ClassVar[tuple[str, dict[str, Any]]] = (
        "asyncio",
        {"loop_factory": uvloop.new_event_loop},
    )
