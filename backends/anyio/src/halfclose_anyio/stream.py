"""Runs a halfclose protocol over a stream that the program already has."""

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

    It returns after the protocol has heard ``connectionLost``. If the peer was still sending then,
    it first reads and discards that input (rule END-02). If it is cancelled, it aborts the
    connection, and the protocol hears ``connectionLost(ConnectionAborted)``.

    :param stream: an ``anyio.abc.ByteStream``, an ``anyio.abc.ObjectStream`` of bytes, or a
        ``trio.abc.Stream``. A stream of trio's can end one half alone only if it is a
        ``trio.abc.HalfCloseableStream``. This function owns the stream, and closes it.
    :param protocol: the protocol. What it raises is logged, and ends this connection only.
    :param options: how the connection behaves; by default as ``ConnectionOptions()`` says.
    :raises TypeError: *protocol* is not a halfclose protocol, *stream* is none of these streams, or
        it is a stream of trio's and trio does not run. The stream is left open.
    :raises RuntimeError: no event loop runs in this thread.
    :raises KeyboardInterrupt: an event of the protocol raised it.
    :raises SystemExit: likewise.
    """
    if not isinstance(protocol, Protocol):
        hint = "; call it, and pass the protocol that it makes" if callable(protocol) else ""
        raise TypeError(f"serve_stream takes a halfclose.Protocol, not {protocol!r}{hint}")
    # After the connection has closed, leaving the backend waits only for the peer's input to be
    # discarded. That has limits of its own (END-07), so `grace` need not set another.
    async with AnyioBackend("anyio", {"grace": _DAY}) as backend:
        _check(stream)
        channel = StreamChannel(backend, stream)
        backend.spawn(channel.run)
        connection = Connection(backend, channel, options or ConnectionOptions())
        connection.attach(protocol)
        await connection.whenClosed()


def _check(stream: object) -> None:
    """Refuse a *stream* that `serve_stream` cannot use.

    :raises TypeError: it cannot be used; the message says what can.
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
