"""What reads and discards, seen from the channel that it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from halfclose.connection import Connection
from halfclose.memory.channel import MemoryChannel
from mutants.patching import Patch
from mutants.wrapping import around

__all__ = ["lingerers", "told"]


class _Between:
    """Has *call* in the place of one of *handler*'s methods."""

    def __init__(self, handler: Any, name: str, call: Callable[..., object]) -> None:
        self._handler = handler
        setattr(self, name, call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)


def told(patch: Patch, name: str, wrapper: Callable[..., object]) -> None:
    """Have ``wrapper(real, channel, *args)`` for what a channel that lingers tells by *name*."""

    def start(real: Any, channel: MemoryChannel, handler: Any) -> None:
        if not isinstance(handler, Connection):
            method = getattr(handler, name)
            handler = _Between(handler, name, lambda *args: wrapper(method, channel, *args))
        real(handler)

    around(patch, MemoryChannel, "start", start)


def lingerers(patch: Patch) -> list[Any]:
    """Who has begun to read and discard, the last one at the end."""
    found: list[Any] = []

    def start(real: Any, channel: MemoryChannel, handler: Any) -> None:
        if not isinstance(handler, Connection):
            found.append(handler)
        real(handler)

    around(patch, MemoryChannel, "start", start)
    return found
