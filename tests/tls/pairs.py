"""Pairs of connections that begin in plain, and what they speak TLS with."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache

import pytest
import trustme
from core.support import VARIANTS, Recorder, until
from halfclose import Backend, ConnectionOptions, HalfCloseableProtocol, TLSOptions

from core import support

__all__ = [
    "NAME",
    "Noted",
    "authority",
    "client_tls",
    "each_variant",
    "pair",
    "place",
    "run",
    "server_tls",
    "trusting",
    "with_certificate",
]

NAME = "server.example"
"""The name in the server's certificate."""

_NATIVE = " with its own transports"

each_variant = pytest.mark.parametrize(
    "variant",
    [
        "memory",
        *(
            pytest.param(name + sockets, marks=pytest.mark.thorough)
            for name in VARIANTS
            for sockets in ("", _NATIVE)
        ),
    ],
)


def run(
    main: Callable[[Backend], Awaitable[None]],
    *,
    variant: str,
    options: Mapping[str, object] | None = None,
) -> None:
    """As that of `core.support`, for what `each_variant` gives."""
    chosen = dict(options or {})
    if variant.endswith(_NATIVE):
        chosen["sockets"] = "native"
    support.run(main, variant=variant.removesuffix(_NATIVE), options=chosen)


@cache
def authority() -> trustme.CA:
    """The authority that has signed the server's certificate."""
    return trustme.CA()


def trusting() -> ssl.SSLContext:
    """A new context of a client that trusts `authority` alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


def with_certificate() -> ssl.SSLContext:
    """A new context of a server with a certificate for `NAME`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _certificate().configure_cert(context)
    return context


@cache
def _certificate() -> trustme.LeafCert:
    return authority().issue_cert(NAME)


def client_tls(**options: object) -> TLSOptions:
    """The options of a client that trusts the server of `server_tls`."""
    return TLSOptions(**{"context": trusting(), "server_hostname": NAME, **options})  # type: ignore[arg-type]


def server_tls(**options: object) -> TLSOptions:
    """The options of a server with a certificate for `NAME`."""
    return TLSOptions(**{"context": with_certificate(), **options})  # type: ignore[arg-type]


class Noted(Recorder):
    """Notes its events, that of the handshake among them, and what came before the handshake."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = b""

    def handshakeCompleted(self) -> None:
        self.events.append("handshake")
        self.plain = bytes(self.data)
        self.data.clear()


def place(backend: Backend) -> str:
    """An endpoint of *backend*, in plain."""
    return "tcp:127.0.0.1:0" if backend.capabilities.descriptors else "memory:pair"


@asynccontextmanager
async def pair(
    backend: Backend,
    client: Callable[[], HalfCloseableProtocol] = Noted,
    server: Callable[[], HalfCloseableProtocol] = Noted,
    options: ConnectionOptions | None = None,
) -> AsyncIterator[tuple[Noted, Noted]]:
    """A client and a server, connected in plain. Afterwards both are aborted."""
    accepted: list[Noted] = []

    def accept() -> HalfCloseableProtocol:
        protocol = server()
        accepted.append(protocol)  # type: ignore[arg-type]
        return protocol

    async with await backend.listen(place(backend), accept, options) as listener:
        connected = await backend.connect(listener.endpoint, client, options=options)
        await until(backend, lambda: accepted and accepted[0].events)
    try:
        yield connected, accepted[0]  # type: ignore[misc]
    finally:
        for protocol in (connected, accepted[0]):
            protocol.transport.abortConnection()
            await protocol.transport.whenClosed()
