"""`Farewell`: the last handler of a channel below TLS that takes time to send its end of stream."""

from __future__ import annotations

from collections.abc import Callable

from ..channel import Channel, ChannelHandler
from ..host import ConnectionHost

__all__ = ["Farewell"]


class Farewell(ChannelHandler):
    """Waits until the end of stream is with the kernel, and discards what comes meanwhile.

    A framework's transport that is closed before that may send a reset (TLS-12).

    :param channel: of which ``end_write`` has returned False.
    :param host: whose timer is used. When it is left, the channel is aborted.
    :param seconds: after which the channel is aborted too.
    :param ended: is called when the end of stream is with the kernel, with whether that of the peer
        has come.
    """

    def __init__(
        self, channel: Channel, host: ConnectionHost, seconds: float, ended: Callable[[bool], None]
    ) -> None:
        self._channel = channel
        self._ended = ended
        self._peer_ended = False
        self._host = host
        self._timer = host.call_later(seconds, self._give_up)
        host.on_leaving(self._give_up)
        host.hold_descriptors(channel.descriptors)
        channel.start(self)

    def received(self, data: bytes) -> None:
        """Does nothing: the connection is over."""

    def read_ended(self) -> None:
        self._peer_ended = True

    def writable(self) -> None:
        """Does nothing: nothing more is to be sent."""

    def write_ended(self) -> None:
        self._forget()
        self._ended(self._peer_ended)

    def write_failed(self, error: Exception) -> None:
        self.failed(error)

    def reader_gone(self, error: Exception) -> None:
        self.failed(error)

    def failed(self, error: Exception | None) -> None:
        self._give_up()

    def _give_up(self) -> None:
        self._forget()
        self._channel.abort()

    def _forget(self) -> None:
        self._timer.cancel()
        self._host.forget_leaving(self._give_up)
        self._host.release_descriptors(self._channel.descriptors)
