"""A name that is listened on, and the connections to it that nobody has accepted yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..endpoints import Memory
from ..io.listening import OUT_OF_RESOURCES
from .scheduler import Scheduler
from .waiting import Event
from .wire import End

__all__ = ["Listening", "RawListener"]


class Listening:
    """Like a listening socket.

    :param failures: what the next calls of `accept` raise.
    :param released: called when it is closed.
    """

    def __init__(self, name: str, failures: deque[OSError], released: Callable[[], object]) -> None:
        self.endpoint = Memory(name)
        self.closed = False
        self.on_change: Callable[[], object] = lambda: None
        """Called when a connection has arrived; it must raise nothing."""
        self._failures = failures
        self._released = released
        self._waiting: deque[End] = deque()

    @property
    def acceptable(self) -> bool:
        """Whether `accept` has something to give or to raise."""
        return bool(self._waiting)

    def arrived(self, end: End) -> None:
        """Somebody has connected."""
        self._waiting.append(end)
        self.on_change()

    def accept(self) -> End | None:
        """Our end of the next connection; None if there is none.

        :raises OSError: see `Network.fail_accept`.
        """
        if not self._waiting:
            return None
        if self._failures:
            error = self._failures.popleft()
            if error.errno not in OUT_OF_RESOURCES:
                self._waiting.popleft().reset()
            raise error
        return self._waiting.popleft()

    def close(self) -> None:
        """Stop listening; connections that nobody has accepted are reset. Idempotent."""
        if self.closed:
            return
        self.closed = True
        while self._waiting:
            self._waiting.popleft().reset()
        self._released()
        self.on_change()


class RawListener:
    """Accepts by hand; see `Network.raw_listen`. Close it when done: it is a context manager."""

    def __init__(self, scheduler: Scheduler, listening: Listening) -> None:
        self._scheduler = scheduler
        self._listening = listening
        self._arrival = Event(scheduler)
        listening.on_change = self._arrived

    def _arrived(self) -> None:
        self._arrival.set()
        self._arrival = Event(self._scheduler)

    @property
    def endpoint(self) -> Memory:
        """Where it listens."""
        return self._listening.endpoint

    async def accept(self) -> End:
        """Our end of the next connection, waiting for it.

        :raises OSError: see `Network.fail_accept`.
        :raises RuntimeError: the listener was closed.
        """
        while True:
            if self._listening.closed:
                raise RuntimeError(f"the listener on {self.endpoint} is closed")
            end = self._listening.accept()
            if end is not None:
                return end
            await self._arrival.wait()

    def close(self) -> None:
        """Stop listening; connections that were not accepted are reset. Idempotent."""
        self._listening.close()

    def __enter__(self) -> RawListener:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
