"""The backend's listener on a name of a `Network`."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..backend import Backend
from ..io.listening import ACCEPTS_A_TURN, FOR_GOOD, OUT_OF_RESOURCES, RETRY_DELAY
from ..listener import Listener
from ..text import printable
from .accept_queue import Listening
from .scheduler import Scheduler, Timer
from .wire import End

__all__ = ["MemoryListener"]

_log = logging.getLogger("halfclose")


class MemoryListener(Listener):
    """Accepts connections to a name.

    :param listening: the listener owns it from now on.
    :param accepted: is called with our end of each new connection.
    """

    def __init__(
        self,
        backend: Backend,
        scheduler: Scheduler,
        listening: Listening,
        accepted: Callable[[End], object],
    ) -> None:
        super().__init__(listening.endpoint)
        self._backend = backend
        self._scheduler = scheduler
        self._listening = listening
        self._accepted = accepted
        self._retry: Timer | None = None
        self._told = False
        self._failure: OSError | None = None
        listening.on_change = self._serve_if_due

    def _serve_if_due(self) -> None:
        if self._listening.acceptable and self._retry is None:
            self._scheduler.serve(self._serve)

    def _serve(self) -> None:
        """Accept what waits, up to `ACCEPTS_A_TURN` connections."""
        for _ in range(ACCEPTS_A_TURN):
            try:
                end = self._listening.accept()
            except OSError as error:
                # As on a socket, the listener waits if something is missing (ERR-09), ends if it
                # can accept no more, and outlives any other error (ERR-16).
                if error.errno in OUT_OF_RESOURCES:
                    self._wait_for_resources(error)
                    return
                if error.errno in FOR_GOOD:
                    _log.error("%s accepts no more: %s", self.endpoint, printable(str(error)))
                    self._failure = error
                    self._stop()
                    return
                continue
            if end is None:
                return
            self._told = False
            self._backend.guarded(self._accepted, end)
        self._serve_if_due()

    def _wait_for_resources(self, error: OSError) -> None:
        """Pause because of *error*, which is logged once until a connection is accepted again."""
        if not self._told:
            self._told = True
            _log.error("accepting on %s waits: %s", self.endpoint, printable(str(error)))
        self._retry = self._scheduler.call_later(RETRY_DELAY, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._serve_if_due()

    @property
    def failure(self) -> OSError | None:
        return self._failure

    def _stop(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._listening.close()

    def close(self) -> None:
        """Stop accepting. Connections that were not accepted yet are reset. Idempotent."""
        self._stop()
        self._backend.forget(self)
