"""A halfclose protocol over a stream that the program has."""

from __future__ import annotations

from typing import Any

from halfclose import Connection, ConnectionOptions, Protocol

from .backend import AnyioBackend
from .channel import StreamChannel

__all__ = ["serve_stream"]

_DAY = 86400.0


async def serve_stream(
    stream: Any, protocol: Protocol, options: ConnectionOptions | None = None
) -> None:
    """Run *protocol* over *stream* until the connection is over, and close the stream.

    For a listener of the program's own::

        await listener.serve(lambda stream: serve_stream(stream, Echo()))

    It returns when the protocol has heard ``connectionLost`` and, where the peer was still
    sending, when that input has been drained (rule END-02). Cancelled, it aborts the connection;
    the protocol hears ``connectionLost(ConnectionAborted)``.

    :param stream: an ``anyio.abc.ByteStream`` or an ``ObjectStream`` of bytes; owned from now on.
    :param protocol: the protocol; its failures are logged, and end this connection only.
    :param options: how the connection behaves.
    :raises TypeError: *protocol* is no protocol; the stream is left open.
    :raises RuntimeError: no event loop runs here.
    :raises KeyboardInterrupt: or SystemExit, if an event of the protocol raised it.
    """
    if not isinstance(protocol, Protocol):
        raise TypeError(f"serve_stream takes a halfclose.Protocol, not {protocol!r}")
    # What it waits for after the connection is the draining, which has limits of its own.
    async with AnyioBackend("anyio", {"grace": _DAY}) as backend:
        channel = StreamChannel(backend, stream)
        backend.spawn(channel.run)
        connection = Connection(backend, channel, options or ConnectionOptions())
        connection.attach(protocol)
        await connection.whenClosed()
