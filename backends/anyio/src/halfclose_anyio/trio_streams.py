"""Lets the channel over an anyio stream serve a stream of trio's too."""

from __future__ import annotations

import sys
from typing import Any

import anyio
import anyio.abc
from anyio.abc import SocketAttribute

__all__ = ["TrioStream", "is_trio_stream"]


def is_trio_stream(stream: object) -> bool:
    """Whether *stream* is a ``trio.abc.Stream``. It does not import trio."""
    trio = sys.modules.get("trio")
    return trio is not None and isinstance(stream, trio.abc.Stream)


class TrioStream(anyio.abc.ByteStream):
    """A ``trio.abc.Stream`` with the methods of an anyio stream.

    :param stream: the stream. Only a ``trio.abc.HalfCloseableStream`` can end one half alone.
    """

    def __init__(self, stream: Any) -> None:
        import trio

        self.stream = stream
        self.can_half_close: bool = isinstance(stream, trio.abc.HalfCloseableStream)
        self.sockets: tuple[Any, ...] = _sockets_of(stream)
        """The sockets below: none, one, or two if each direction has its own."""
        self.is_socket: bool = len(self.sockets) == 1 and _is_plain(stream)
        """Whether the stream passes the bytes of one socket on unchanged, as TLS does not."""

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
        # Of two sockets the first is the one we send on, and a reset has to go there.
        if self.sockets:
            return {SocketAttribute.raw_socket: lambda: self.sockets[0]}
        return {}


def _sockets_of(stream: Any) -> tuple[Any, ...]:
    """The trio sockets at the bottom of *stream*, each once; the one that sends comes first."""
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
