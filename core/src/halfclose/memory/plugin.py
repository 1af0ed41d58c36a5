"""The plugin of the backend ``memory``. To import it imports no part of the backend itself."""

from __future__ import annotations

from ..hooks import BackendSpec, hookimpl
from .occupant import OCCUPANT, runs
from .scheme import MemoryScheme

__all__ = ["halfclose_backends", "halfclose_endpoints"]


def _occupant() -> str | None:
    """What runs in this thread, in words, if it is a scheduler of this backend."""
    return OCCUPANT if runs() else None


@hookimpl
def halfclose_endpoints() -> list[MemoryScheme]:
    """The scheme ``memory:``."""
    return [MemoryScheme()]


@hookimpl
def halfclose_backends() -> list[BackendSpec]:
    """The backend ``memory``, which is chosen only if it is named or runs in this thread."""
    return [
        BackendSpec(
            "memory",
            "halfclose.memory.backend:MemoryBackend",
            running=runs,
            # If this backend is used inside another event loop, both run, and this is the inner
            # one, which the program means.
            priority=100,
            channel_types="halfclose.testing.channels.memory:CHANNEL_TYPES",
            automatic=False,
            occupant=_occupant,
        )
    ]
