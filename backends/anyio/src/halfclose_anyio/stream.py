"""A halfclose protocol over a stream that the program has."""

from __future__ import annotations

import socket
import sys
from typing import Any

from halfclose import Connection, ConnectionOptions, Protocol

from .backend import AnyioBackend
from .channel import StreamChannel
from .trio_streams import is_trio_stream

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

    :param stream: an ``anyio.abc.ByteStream``, an ``ObjectStream`` of bytes, or a
        ``trio.abc.Stream``, which can end one half alone if it is a ``HalfCloseableStream``;
        owned from now on.
    :param protocol: the protocol; its failures are logged, and end this connection only.
    :param options: how the connection behaves.
    :raises TypeError: *protocol* is no protocol, or *stream* no such stream, or one of trio's
        where trio does not run; the stream is left open.
    :raises RuntimeError: no event loop runs here.
    :raises KeyboardInterrupt: or SystemExit, if an event of the protocol raised it.
    """
    if not isinstance(protocol, Protocol):
        raise TypeError(f"serve_stream takes a halfclose.Protocol, not {protocol!r}")
    # What it waits for after the connection is the draining, which has limits of its own.
    async with AnyioBackend("anyio", {"grace": _DAY}) as backend:
        _check(stream)
        channel = StreamChannel(backend, stream)
        backend.spawn(channel.run)
        connection = Connection(backend, channel, options or ConnectionOptions())
        connection.attach(protocol)
        await connection.whenClosed()


def _check(stream: object) -> None:
    """Whether it is what we take.

    :raises TypeError: it is not; the message says what is.
    """
    if is_trio_stream(stream):
        if not sys.modules["trio"].lowlevel.in_trio_run():
            raise TypeError(f"{stream!r} is a stream of trio's, and trio does not run here")
        return
    methods = ("receive", "send", "send_eof", "aclose")
    if not isinstance(stream, type) and all(
        callable(getattr(stream, method, None)) for method in methods
    ):
        return
    what = stream[-1] if isinstance(stream, tuple) and stream else stream
    hint = ""
    if isinstance(what, socket.socket):
        hint = "; of a socket, anyio.abc.SocketStream.from_socket makes one"
    elif type(what).__module__.partition(".")[0] == "asyncio":
        hint = "; instead of asyncio's streams, use the connect and listen of open_backend"
    raise TypeError(
        "serve_stream takes an anyio.abc.ByteStream, an anyio.abc.ObjectStream of bytes, or a "
        f"trio.abc.Stream, which go both ways, not {stream!r}{hint}"
    )
