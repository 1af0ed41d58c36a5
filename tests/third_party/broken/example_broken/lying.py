"""Backends whose declared capabilities are not what their channels do.

They lie on their native sockets: the poller's channels are core's.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any, ClassVar

from example_loop.backend import ExampleBackend
from halfclose import BackendCapabilities, ChannelHandler, Scheme
from halfclose.io.socket_channel import SocketChannel
from halfclose.testing import NativeTCP

__all__ = ["CHANNEL_TYPES", "descriptors_off"]

CHANNEL_TYPES = (NativeTCP(),)


class _Liar(ExampleBackend):
    channel: ClassVar[type[SocketChannel]]
    off: ClassVar[str] = ""

    def adopt(self, sock: socket.socket) -> SocketChannel:
        channel = self.channel(sock, self.driver.poller)
        if self.off:
            channel.capabilities = replace(channel.capabilities, **{self.off: False})
        return channel


class _EndsBoth(SocketChannel):
    """Ends both halves where one is to be ended."""

    def end_write(self) -> bool:
        ended = super().end_write()
        self._sock.shutdown(socket.SHUT_RDWR)
        return ended


class _NeverResets(SocketChannel):
    """Closes where it is to abort."""

    def abort(self) -> None:
        self.close()


class _DropsInput(SocketChannel):
    """Forgets what the peer had sent, once a send has failed."""

    def write(self, data: bytes | memoryview) -> int:
        try:
            return super().write(data)
        except OSError:
            self.pause_reading()
            raise

    def has_input(self) -> bool:
        return False


class _ReadsOn(SocketChannel):
    """Reads into memory while reading is paused."""

    def pause_reading(self) -> None:
        pass


class _TellsNothing(SocketChannel):
    """Keeps the system's error for itself."""

    def start(self, handler: ChannelHandler) -> None:
        failed = handler.failed

        class Silent:
            def __getattr__(self, name: str) -> Any:
                return getattr(handler, name)

            def failed(self, error: Exception | None) -> None:
                failed(None)

        super().start(Silent())  # type: ignore[arg-type]


class _NeverDrains(SocketChannel):
    """Reads nothing more once another handler, that of lingering, has taken over."""

    _taken_over = False

    def start(self, handler: ChannelHandler) -> None:
        self._taken_over = hasattr(self, "_handler")
        super().start(handler)
        self.pause_reading()

    def resume_reading(self) -> None:
        if not self._taken_over:
            super().resume_reading()


class descriptors_off(ExampleBackend):
    """Declares the system's descriptors off, and serves them."""

    capabilities = BackendCapabilities(descriptors=False)

    def cannot_serve(self, scheme: Scheme[Any, Any]) -> None:
        """Where core would refuse, it goes on."""


_BREAKS: dict[str, type[SocketChannel]] = {
    "can_half_close": _EndsBoth,
    "can_reset": _NeverResets,
    "keeps_input": _DropsInput,
    "bounds_input": _ReadsOn,
    "tells_cause": _TellsNothing,
    "drains": _NeverDrains,
}


def __getattr__(name: str) -> type[ExampleBackend]:
    """The backend that lies so: ``can_reset_off`` declares it off, and it works; ``can_reset_on``
    declares it on, and it does not."""
    capability, _, declared = name.rpartition("_")
    if capability not in _BREAKS or declared not in ("on", "off"):
        raise AttributeError(name)
    if declared == "off":
        return type(name, (_Liar,), {"channel": SocketChannel, "off": capability})
    return type(name, (_Liar,), {"channel": _BREAKS[capability]})
