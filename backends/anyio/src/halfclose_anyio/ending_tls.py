"""Ends the TLS of a stream of anyio's or trio's, and gives the stream below it.

TLS of neither can be ended alone by one call. ``aclose`` also closes the stream below, whose system
then sends a reset if the peer is still sending, and the peer loses what it has not read yet
(END-01). And while records of the peer wait to be decrypted, OpenSSL refuses to end TLS, and
nothing is sent.

So the stream below is replaced by one that only sends. Then what waits is decrypted and discarded,
and the framework is told to end TLS. After that the stream below is read itself.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.abc
from anyio.streams.tls import TLSStream
from halfclose import LINGER_TIMEOUT

from .trio_streams import TrioStream

__all__ = ["end_tls", "is_tls"]


def is_tls(stream: object) -> bool:
    """Whether *stream* is a TLS stream of anyio's, or one of trio's as a `TrioStream`."""
    return isinstance(stream, TLSStream) or _is_trios(stream)


def _is_trios(stream: object) -> bool:
    return isinstance(stream, TrioStream) and isinstance(
        stream.stream, sys.modules["trio"].SSLStream
    )


async def end_tls(stream: Any, stop_reading: Callable[[], Awaitable[None]]) -> Any:
    """Send close_notify, and return the stream below, which stays open.

    A stream that is not ``standard_compatible`` (anyio), or is ``https_compatible`` (trio), has
    none to send.

    :param stream: one for which `is_tls` is true. It cannot be used any more.
    :param stop_reading: makes whoever reads from *stream* stop.
    :raises Exception: nothing can be sent any more.
    """
    if _is_trios(stream):
        return TrioStream(await _end_trios(stream.stream, stop_reading))
    await stop_reading()
    below = stream.transport_stream
    if stream.standard_compatible:
        stream.transport_stream = _Sender(below)
        with suppress(_NothingMore, anyio.EndOfStream):
            while True:
                await stream.receive()
        with suppress(_NothingMore):
            await stream.unwrap()
    return below


async def _end_trios(stream: Any, stop_reading: Callable[[], Awaitable[None]]) -> Any:
    # Trio's handshake begins with the first read or write. If a reader is stopped in the middle of
    # it, the stream is broken. If nothing was written yet, the peer may let it stall, and then
    # there is nothing to lose.
    with anyio.move_on_after(LINGER_TIMEOUT):
        await stream.do_handshake()
    await stop_reading()
    below = stream.transport_stream
    stream.transport_stream = sender = _TrioSender(below)
    with suppress(_NothingMore):
        while await stream.receive_some():
            pass
    await stream.aclose()
    if sender.error is not None:
        # `aclose` hides it.
        raise sender.error
    return below


class _NothingMore(Exception):
    """What had come was decrypted, and what was to be sent was sent."""


class _Sender(anyio.abc.ObjectStream[bytes]):
    """Sends to *below*; nothing can be received, and nothing is closed."""

    def __init__(self, below: Any) -> None:
        self._below = below

    async def send(self, item: bytes) -> None:
        await self._below.send(item)

    async def receive(self) -> bytes:
        raise _NothingMore

    async def send_eof(self) -> None:
        """Does nothing."""

    async def aclose(self) -> None:
        """Does nothing."""


class _TrioSender:
    """`_Sender`, with the names of a ``trio.abc.Stream``."""

    error: Exception | None = None
    """What a send has raised."""

    def __init__(self, below: Any) -> None:
        self._below = below

    async def send_all(self, data: bytes) -> None:
        try:
            await self._below.send_all(data)
        except Exception as error:
            self.error = error
            raise

    async def receive_some(self) -> bytes:
        raise _NothingMore

    async def aclose(self) -> None:
        """Does nothing."""
