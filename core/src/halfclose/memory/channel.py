"""The channel over one end of a connection."""

from __future__ import annotations

from ..backend import Backend
from ..channel import Channel, ChannelHandler
from ..endpoints import Endpoint
from .scheduler import Scheduler
from .wire import End

__all__ = ["MemoryChannel"]


_READ = 1
_WRITE = 2


class MemoryChannel(Channel):
    """Serves an end when it is ready, once a turn, as the poller serves a socket.

    :param end: the channel owns it.
    """

    def __init__(self, backend: Backend, scheduler: Scheduler, end: End) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._end = end
        self._handler: ChannelHandler
        self._wants = 0
        self._read_ended = False
        self._looked = False
        self._over = False

    def start(self, handler: ChannelHandler) -> None:
        self._handler = handler
        self._end.on_change = self._serve_if_due
        self._serve_if_due()

    def resume_reading(self) -> None:
        if not self._read_ended:
            self._want(self._wants | _READ)

    def pause_reading(self) -> None:
        self._want(self._wants & ~_READ)

    # -- being served --------------------------------------------------------------------------

    def _want(self, wants: int) -> None:
        self._wants = wants
        self._looked = False
        self._serve_if_due()

    def _serve_if_due(self) -> None:
        if self._is_due():
            self._scheduler.serve(self._serve)

    def _is_due(self) -> bool:
        if self._over:
            return False
        if not self._wants:
            # FLU-11: a failure is told where nothing is wanted too, unless input comes before it.
            return self._end.error is not None and not self._looked
        return bool(
            (self._wants & _READ and self._end.readable)
            or (self._wants & _WRITE and self._end.writable)
        )

    def _serve(self) -> None:
        try:
            if self._is_due():
                self._serve_now()
        except (KeyboardInterrupt, SystemExit) as error:
            self._backend.fatal(error)
        except BaseException as error:
            # ERR-12: a failure of ours is this connection's alone.
            self._backend.report(error, "the channel to %s failed", self._end.peer)
            self._over = True
            cause = error if isinstance(error, Exception) else None
            self._backend.guarded(self._handler.failed, cause)
        else:
            self._serve_if_due()

    def _serve_now(self) -> None:
        if not self._wants:
            self._looked = True
            if self._read_ended or not self.has_input():
                self._fail(self._end.error)
            return
        if self._wants & _READ and self._end.readable:
            self._read()
        if not self._over and self._wants & _WRITE and self._end.writable:
            self._want(self._wants & ~_WRITE)
            self._handler.writable()

    def _read(self) -> None:
        try:
            data = self._end.recv()
        except OSError as error:
            self._fail(error)
            return
        if data:
            self._handler.received(data)
        elif data is not None:
            self._read_ended = True
            self._want(self._wants & ~_READ)
            self._handler.read_ended()

    def _fail(self, error: OSError | None) -> None:
        self._over = True
        self._handler.failed(error)

    # -- what the handler calls -------------------------------------------------------------------

    def write(self, data: bytes | memoryview) -> int:
        taken = self._end.send(data)
        if taken < len(data):
            self._want(self._wants | _WRITE)
        return taken

    def end_write(self) -> bool:
        if self._end.error is not None:
            raise self._end.error
        self._end.shutdown()
        return True

    def has_input(self) -> bool:
        return bool(self._end.unread or self._end.at_end)

    def look_for_error(self) -> OSError | None:
        return self._end.error

    def unsent(self) -> int:
        return self._end.unsent

    def close(self) -> None:
        self._over = True
        self._end.close()

    def abort(self) -> None:
        self._over = True
        self._end.reset()

    def get_peer(self) -> Endpoint:
        return self._end.peer

    def get_host(self) -> Endpoint:
        return self._end.name

    def get_handle(self) -> End:
        return self._end
