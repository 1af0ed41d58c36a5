"""The listening end of a name: the connections that have arrived and were not accepted yet."""

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
    """The queue of connections to a name, as a listening socket has it in a kernel.

    :param failures: the errors that the next calls of `accept` raise; see `Network.fail_accept`.
    :param released: is called when this is closed.
    """

    def __init__(self, name: str, failures: deque[OSError], released: Callable[[], object]) -> None:
        self.endpoint: Memory = Memory(name)
        self.closed: bool = False
        self.on_change: Callable[[], object] = lambda: None
        """Called when a connection has arrived, and when this was closed. It must not raise."""
        self._failures = failures
        self._released = released
        self._waiting: deque[End] = deque()

    @property
    def acceptable(self) -> bool:
        """Whether a connection waits, so that `accept` gives or raises something."""
        return bool(self._waiting)

    def arrived(self, end: End) -> None:
        """Add a new connection, whose end *end* is ours."""
        self._waiting.append(end)
        self.on_change()

    def accept(self) -> End | None:
        """Our end of the next connection; None if no connection waits.

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
        """Stop listening. Connections that were not accepted yet are reset. Idempotent."""
        if self.closed:
            return
        self.closed = True
        while self._waiting:
            self._waiting.popleft().reset()
        self._released()
        self.on_change()


class RawListener:
    """A listener whose connections a test accepts by hand; see `Network.raw_listen`.

    It has to be closed, and can be used as a context manager for that.

    :param scheduler: what serves the network.
    :param listening: the queue of the connections that arrive.
    """

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
        """The endpoint that it listens on."""
        return self._listening.endpoint

    async def accept(self) -> End:
        """Wait for the next connection, and give our end of it.

        If it is cancelled, no connection is lost.

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
        """Stop listening. Connections that were not accepted yet are reset. Idempotent."""
        self._listening.close()

    def __enter__(self) -> RawListener:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
