"""What discovery reads. Importing it imports no part of the backend."""

from __future__ import annotations

from ..hooks import BackendSpec, hookimpl
from .occupant import OCCUPANT, runs
from .scheme import MemoryScheme

__all__ = ["halfclose_backends", "halfclose_endpoints"]


def _occupant() -> str | None:
    return OCCUPANT if runs() else None


@hookimpl
def halfclose_endpoints() -> list[MemoryScheme]:
    """``memory:``."""
    return [MemoryScheme()]


@hookimpl
def halfclose_backends() -> list[BackendSpec]:
    """``memory``: never chosen unless it is named, or runs."""
    return [
        BackendSpec(
            "memory",
            "halfclose.memory.backend:MemoryBackend",
            running=runs,
            # Inside another event loop, both are running: it is the inner one.
            priority=100,
            channel_types="halfclose.testing.channels.memory:CHANNEL_TYPES",
            automatic=False,
            occupant=_occupant,
        )
    ]
