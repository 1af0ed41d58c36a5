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
    """Has *call* in the place of one of *sink*'s methods."""

    def __init__(self, sink: Any, name: str, call: Callable[..., object]) -> None:
        self._sink = sink
        setattr(self, name, call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)


def told(patch: Patch, name: str, wrapper: Callable[..., object]) -> None:
    """Have ``wrapper(real, channel, *args)`` for what a channel that lingers tells by *name*."""

    def start(real: Any, channel: MemoryChannel, sink: Any) -> None:
        if not isinstance(sink, Connection):
            method = getattr(sink, name)
            sink = _Between(sink, name, lambda *args: wrapper(method, channel, *args))
        real(sink)

    around(patch, MemoryChannel, "start", start)


def lingerers(patch: Patch) -> list[Any]:
    """Who has begun to read and discard, the last one at the end."""
    found: list[Any] = []

    def start(real: Any, channel: MemoryChannel, sink: Any) -> None:
        if not isinstance(sink, Connection):
            found.append(sink)
        real(sink)

    around(patch, MemoryChannel, "start", start)
    return found
