"""Trio's own streams, as the channel over a stream uses them."""

from __future__ import annotations

import sys
from typing import Any

import anyio
import anyio.abc
from anyio.abc import SocketAttribute

__all__ = ["TrioStream", "is_trio_stream"]


def is_trio_stream(stream: object) -> bool:
    """Whether *stream* is a ``trio.abc.Stream``; trio is not imported for it."""
    trio = sys.modules.get("trio")
    return trio is not None and isinstance(stream, trio.abc.Stream)


class TrioStream(anyio.abc.ByteStream):
    """A ``trio.abc.Stream``, by the names of anyio.

    :param stream: it can end one half alone if it is a ``trio.abc.HalfCloseableStream``.
    """

    def __init__(self, stream: Any) -> None:
        import trio

        self.stream = stream
        self.can_half_close = isinstance(stream, trio.abc.HalfCloseableStream)
        self.sockets = _sockets_of(stream)
        """The sockets below, which may be one, two for the two directions, or none."""
        self.is_socket = len(self.sockets) == 1 and _is_plain(stream)
        """Whether what the stream reads and sends is what its one socket does."""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        data: bytes = await self.stream.receive_some(max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        await self.stream.send_all(item)

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    async def aclose(self) -> None:
        await self.stream.aclose()

    @property
    def extra_attributes(self) -> Any:
        # Of two, that on which we send: there a reset has to go.
        if self.sockets:
            return {SocketAttribute.raw_socket: lambda: self.sockets[0]}
        return {}


def _sockets_of(stream: Any) -> tuple[Any, ...]:
    """The trio sockets at the bottom of *stream*, each once."""
    import trio

    if isinstance(stream, trio.SocketStream):
        return (stream.socket,)
    if isinstance(stream, trio.StapledStream):
        sending, receiving = _sockets_of(stream.send_stream), _sockets_of(stream.receive_stream)
        return sending if sending == receiving else sending + receiving
    if isinstance(stream, trio.SSLStream):
        return _sockets_of(stream.transport_stream)
    return ()


def _is_plain(stream: Any) -> bool:
    import trio

    if isinstance(stream, trio.StapledStream):
        return _is_plain(stream.send_stream) and _is_plain(stream.receive_stream)
    return isinstance(stream, trio.SocketStream)
