"""The schemes ``tls:`` and ``tls+unix:``.

They only say which connection carries the TLS. The backend does the handshake, as it does for every
endpoint with `ConnectionOptions.tls`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..channel import Channel
from ..endpoints import TCP, TLS, TLSUNIX
from ..host import ConnectionHost
from ..listener import Listener, ListenerOver
from ..options import ConnectionOptions
from ..scheme import Scheme

__all__ = ["TLSScheme", "TLSUNIXScheme"]


class TLSScheme(Scheme[TLS, ConnectionHost]):
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

    async def connect(
        self, backend: ConnectionHost, endpoint: TLS, timeout: float | None
    ) -> Channel:
        return await backend.open_channel(endpoint.below, timeout)

    async def listen(
        self,
        backend: ConnectionHost,
        endpoint: TLS,
        options: ConnectionOptions,
        accepted: Callable[[Channel], None],
    ) -> Listener:
        below = await backend.open_listener(endpoint.below, options, accepted)
        port = below.endpoint.port if isinstance(below.endpoint, TCP) else endpoint.port
        return ListenerOver(below, TLS(endpoint.host, port), backend.forget)


class TLSUNIXScheme(Scheme[TLSUNIX, ConnectionHost]):
    """The scheme ``tls+unix:``: TLS at a unix socket."""

    name = "tls+unix"
    examples: tuple[str, ...] = ("tls+unix:/tmp/echo.sock",)
    secure = True

    def parse(self, rest: str) -> TLSUNIX:
        return TLSUNIX.parse(rest)

    def cannot_have_mode(self, endpoint: TLSUNIX) -> str | None:
        return "it is no file, and all may connect" if endpoint.below.is_abstract else None

    async def connect(
        self, backend: ConnectionHost, endpoint: TLSUNIX, timeout: float | None
    ) -> Channel:
        return await backend.open_channel(endpoint.below, timeout)

    async def listen(
        self,
        backend: ConnectionHost,
        endpoint: TLSUNIX,
        options: ConnectionOptions,
        accepted: Callable[[Channel], None],
    ) -> Listener:
        below = await backend.open_listener(endpoint.below, options, accepted)
        return ListenerOver(below, endpoint, backend.forget)
