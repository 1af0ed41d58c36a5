"""What anyio has no name for and each event loop has: calls, timers and descriptors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from halfclose import TimerHandle, Watch

    from .backend import AnyioBackend

__all__ = ["Loop"]


class Loop(ABC):
    """One running event loop. Every function that it calls is guarded: it raises nothing."""

    def __init__(self, backend: AnyioBackend) -> None:
        self._backend = backend

    @abstractmethod
    def time(self) -> float: ...

    @abstractmethod
    def call_soon(self, function: Callable[..., object], *args: object) -> None: ...

    @abstractmethod
    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None: ...

    @abstractmethod
    def call_later(
        self, seconds: float, function: Callable[..., object], *args: object
    ) -> TimerHandle: ...

    @abstractmethod
    def watch(self, fd: int, ready: Callable[[], object], write: bool) -> Watch: ...
