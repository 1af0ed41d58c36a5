"""A channel without a peer, for situations that no real peer or kernel can be made to cause."""

from __future__ import annotations

from ...channel import Capabilities, Channel, ChannelHandler
from ...connection import Connection
from ...endpoints import TCP, Endpoint
from ...options import ConnectionOptions
from .harness import Net
from .recorder import Recorder

__all__ = ["FakeChannel", "FaultyHandler"]


class FakeChannel(Channel):
    """A channel whose events the test causes itself, by calls of the channel's `handler`.

    :param room: how many bytes it takes until `make_room` is called; None: it takes all.
    """

    def __init__(self, capabilities: Capabilities, room: int | None = None) -> None:
        self.capabilities = capabilities
        self._room = room
        self.handler: ChannelHandler
        self.error: OSError | None = None
        """What `write` raises; None: nothing."""
        self.sent: bytearray = bytearray()
        self.calls: list[str] = []

    def attach(self, net: Net, protocol: Recorder) -> None:
        """Connect *protocol* over this channel."""
        Connection(net.backend, self, ConnectionOptions()).attach(protocol)
        net.watch(protocol)

    def start(self, handler: ChannelHandler) -> None:
        self.handler = handler

    def resume_reading(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def write(self, data: bytes | memoryview) -> int:
        if self.error is not None:
            raise self.error
        taken = len(data) if self._room is None else min(self._room, len(data))
        self.sent += data[:taken]
        if self._room is not None:
            self._room -= taken
        return taken

    def make_room(self, size: int) -> None:
        """Let *size* more bytes be written, and tell the handler."""
        self._room = size
        self.handler.writable()

    def end_write(self) -> bool:
        self.calls.append("end_write")
        return True

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def get_peer(self) -> Endpoint:
        return TCP("192.0.2.1", 1)

    def get_host(self) -> Endpoint:
        return TCP("192.0.2.2", 2)


class FaultyHandler(ChannelHandler):
    """Passes each call on to *handler*, but raises *error* in the call named *fault*."""

    def __init__(self, handler: ChannelHandler, fault: str, error: Exception) -> None:
        self._handler = handler
        self._fault = fault
        self._error = error

    def _pass_on(self, call: str, *args: object) -> None:
        if call == self._fault:
            raise self._error
        getattr(self._handler, call)(*args)

    def received(self, data: bytes) -> None:
        self._pass_on("received", data)

    def read_ended(self) -> None:
        self._pass_on("read_ended")

    def writable(self) -> None:
        self._pass_on("writable")

    def write_ended(self) -> None:
        self._pass_on("write_ended")

    def failed(self, error: Exception | None) -> None:
        self._pass_on("failed", error)

    def write_failed(self, error: Exception) -> None:
        self._pass_on("write_failed", error)

    def reader_gone(self, error: Exception) -> None:
        self._pass_on("reader_gone", error)
