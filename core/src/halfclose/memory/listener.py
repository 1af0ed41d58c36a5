"""Accepting for the backend."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..io.listening import ACCEPTS_A_TURN, OUT_OF_RESOURCES, RETRY_DELAY
from ..listener import Listener
from .listening import Listening
from .wire import End

if TYPE_CHECKING:
    from .backend import MemoryBackend
    from .scheduler import Timer

__all__ = ["MemoryListener"]

_log = logging.getLogger("halfclose")


class MemoryListener(Listener):
    """Gives each end that arrives on a name to *accepted*."""

    def __init__(
        self, backend: MemoryBackend, listening: Listening, accepted: Callable[[End], object]
    ) -> None:
        super().__init__(listening.endpoint)
        self._backend = backend
        self._listening = listening
        self._accepted = accepted
        self._retry: Timer | None = None
        self._told = False
        listening.on_change = self._serve_if_due

    def _serve_if_due(self) -> None:
        if self._listening.acceptable and self._retry is None:
            self._backend.network.scheduler.serve(self._serve)

    def _serve(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                end = self._listening.accept()
            except OSError as error:
                # ERR-09. Any other error is that of the one connection.
                if error.errno in OUT_OF_RESOURCES:
                    self._wait_for_resources(error)
                    return
                continue
            if end is None:
                return
            self._told = False
            self._backend.guarded(self._accepted, end)
        self._serve_if_due()

    def _wait_for_resources(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            _log.error("accepting on %s waits: %s", self.endpoint, error)
        self._retry = self._backend.network.scheduler.call_later(RETRY_DELAY, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._serve_if_due()

    def close(self) -> None:
        """Stop accepting; connections that were not accepted are reset. Idempotent."""
        if self._retry is not None:
            self._retry.cancel()
        self._listening.close()
        self._backend.forget(self)
