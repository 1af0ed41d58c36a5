"""The schemes ``tls:`` and ``tls+unix:``.

They only make the connection that carries the TLS. The backend does the handshake, as it does for
every endpoint with `ConnectionOptions.tls`. Every error names the endpoint that the program has
asked for, and not the one below.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from ..channel import Channel
from ..endpoints import TCP, TLS, TLSUNIX
from ..listener import Listener, ListenerOver
from ..options import ConnectionOptions
from ..scheme import Scheme
from .addresses import unix_address
from .connecting import connect_channel
from .host import SocketHost
from .tcp import TCPScheme, connect_tcp
from .unix import UNIXScheme

__all__ = ["TLSScheme", "TLSUNIXScheme"]

_TCP = TCPScheme()
_UNIX = UNIXScheme()


class TLSScheme(Scheme[TLS, SocketHost]):
    """The scheme ``tls:``: TLS at a port of a host."""

    name = "tls"
    examples: tuple[str, ...] = ("tls:example.org:443",)
    secure = True

    def parse(self, rest: str) -> TLS:
        return TLS.parse(rest)

    def cannot_connect(self, endpoint: TLS) -> str | None:
        if endpoint.below.is_every_address:
            return "it is to listen on; name the host to connect to"
        return None

    async def connect(self, backend: SocketHost, endpoint: TLS, timeout: float | None) -> Channel:
        return await connect_tcp(backend, endpoint.below, timeout, endpoint)

    async def listen(
        self,
        backend: SocketHost,
        endpoint: TLS,
        options: ConnectionOptions,
        accepted: Callable[[Channel], None],
    ) -> Listener:
        below = await _TCP.listen(backend, endpoint.below, options, accepted)
        assert isinstance(below.endpoint, TCP)
        bound = TLS(endpoint.host, below.endpoint.port)
        return ListenerOver(below, bound, backend.forget)


class TLSUNIXScheme(Scheme[TLSUNIX, SocketHost]):
    """The scheme ``tls+unix:``: TLS at a unix socket."""

    name = "tls+unix"
    examples: tuple[str, ...] = ("tls+unix:/tmp/echo.sock",)
    secure = True

    def parse(self, rest: str) -> TLSUNIX:
        return TLSUNIX.parse(rest)

    def cannot_have_mode(self, endpoint: TLSUNIX) -> str | None:
        return "it is no file, and all may connect" if endpoint.below.is_abstract else None

    async def connect(
        self, backend: SocketHost, endpoint: TLSUNIX, timeout: float | None
    ) -> Channel:
        address = socket.AF_UNIX, unix_address(endpoint.below)
        return await connect_channel(backend, endpoint, [address], timeout)

    async def listen(
        self,
        backend: SocketHost,
        endpoint: TLSUNIX,
        options: ConnectionOptions,
        accepted: Callable[[Channel], None],
    ) -> Listener:
        below = await _UNIX.listen(backend, endpoint.below, options, accepted)
        return ListenerOver(below, endpoint, backend.forget)
