"""What `Backend.listen` gives: something that accepts connections until it is closed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType

from .endpoints import Endpoint

__all__ = ["Listener", "ListenerOver"]


class Listener(ABC):
    """Accepts connections until it is closed; an asynchronous context manager.

    Made by `Backend.listen`. Closing it only stops accepting: connections live on (END-03).

    :param endpoint: where it listens, with the real port.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the real port; answers after `aclose` too."""
        return self._endpoint

    @property
    def failure(self) -> OSError | None:
        """Why it accepts no more, on one of its addresses at least; None: it was not ended but by
        `close`, if at all (rule ERR-16). Once it is there, `close` is all that is left to do."""
        return None

    def descriptors(self) -> Iterable[int]:
        """The descriptors that it holds, which a forked child is to let go of (rule ERR-18)."""
        return ()

    @abstractmethod
    def close(self) -> None:
        """Stop accepting, release what it held, and tell `Backend.forget`. Idempotent."""

    async def aclose(self) -> None:
        """`close`. Idempotent; it waits for nothing, so there is nothing to cancel."""
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
    """A listener by another name, for a scheme that listens by way of another endpoint.

    :param below: the listener that accepts.
    :param endpoint: where the program has asked to listen.
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
