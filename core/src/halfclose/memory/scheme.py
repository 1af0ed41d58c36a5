"""The scheme ``memory:``, for names in the network of the backend ``memory``."""

from __future__ import annotations

from collections.abc import Callable

from ..channel import Channel
from ..endpoints import Memory
from ..interfaces import AbstractBackend
from ..listener import Listener
from ..options import ConnectionOptions
from ..reasons import ConnectError, ListenError
from ..scheme import Scheme

__all__ = ["MemoryScheme"]

_NOT_HERE = "only the backend 'memory' has it"


class MemoryScheme(Scheme[Memory, AbstractBackend]):
    """The scheme ``memory:``, which only the backend ``memory`` can connect to and listen on."""

    name = "memory"
    examples: tuple[str, ...] = ("memory:echo",)
    needs_descriptors = False
    within_process = True

    def parse(self, rest: str) -> Memory:
        return Memory.parse(rest)

    async def connect(
        self, backend: AbstractBackend, endpoint: Memory, timeout: float | None
    ) -> Channel:
        # Imported here because every program loads this plugin, and few programs use the backend.
        from .backend import MemoryBackend

        if not isinstance(backend, MemoryBackend):
            raise ConnectError(f"cannot connect to {endpoint}: {_NOT_HERE}")
        return await backend.dial(endpoint, timeout)

    async def listen(
        self,
        backend: AbstractBackend,
        endpoint: Memory,
        options: ConnectionOptions,
        accepted: Callable[[Channel], None],
    ) -> Listener:
        from .backend import MemoryBackend

        if not isinstance(backend, MemoryBackend):
            raise ListenError(f"cannot listen on {endpoint}: {_NOT_HERE}")
        return backend.accept_on(endpoint, accepted)
