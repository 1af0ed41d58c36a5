"""`Listener`: accepts connections until it is closed. `Backend.listen` gives one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType

from .endpoints import Endpoint

__all__ = ["Listener", "ListenerOver"]


class Listener(ABC):
    """Accepts connections until it is closed; an asynchronous context manager.

    Made by `Backend.listen`. Closing it ends none of the connections that it has accepted.

    :param endpoint: where it listens, with the port that the system chose if that was left to it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the port that the system chose. Answers after `aclose` too."""
        return self._endpoint

    @property
    def failure(self) -> OSError | None:
        """The error for which it has stopped accepting on at least one of its addresses (rule
        ERR-16). None if there was no such error, also after `close`.

        A listener that has failed does not recover: close it.
        """
        return None

    def descriptors(self) -> Iterable[int]:
        """The descriptors that it holds. A forked child gives them up (rule ERR-18)."""
        return ()

    @abstractmethod
    def close(self) -> None:
        """Stop accepting, release the descriptors, and call `Backend.forget`. Idempotent."""

    async def aclose(self) -> None:
        """Close the listener. Idempotent. It waits for nothing, so it cannot be cancelled."""
        self.close()

    async def __aenter__(self) -> Listener:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class ListenerOver(Listener):
    """A listener of one endpoint that lets the listener of another endpoint accept for it.

    For schemes that are built on another scheme.

    :param below: the listener that accepts.
    :param endpoint: where the program asked to listen.
    :param forget: `Backend.forget`.
    """

    def __init__(
        self, below: Listener, endpoint: Endpoint, forget: Callable[[Listener], None]
    ) -> None:
        super().__init__(endpoint)
        self._below = below
        self._forget = forget

    @property
    def failure(self) -> OSError | None:
        return self._below.failure

    def descriptors(self) -> Iterable[int]:
        return self._below.descriptors()

    def close(self) -> None:
        self._below.close()
        self._forget(self)
