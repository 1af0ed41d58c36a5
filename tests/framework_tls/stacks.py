"""Servers of halfclose protocols over TLS of each framework's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import anyio
import anyio.abc
from anyio.streams.tls import TLSStream
from framework_tls.uploading import VERSIONS, Contexts
from halfclose import Backend, ConnectionOptions, Protocol, TLSOptions
from halfclose_anyio import serve_stream
from halfclose_twisted import as_factory
from OpenSSL import SSL
from twisted.internet import endpoints
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

__all__ = ["STACKS", "Serve"]

Make = Callable[[], Protocol]
Serve = Callable[[Backend, Make, Contexts, ConnectionOptions], AbstractAsyncContextManager[int]]
"""Serves protocols, and gives the port on 127.0.0.1."""


@asynccontextmanager
async def anyio_stream(
    backend: Backend, make: Make, contexts: Contexts, options: ConnectionOptions
) -> AsyncIterator[int]:
    """``TLSStream`` of anyio's."""

    async def serve(below: Any) -> None:
        stream = await TLSStream.wrap(below, server_side=True, ssl_context=contexts.server)
        await serve_stream(stream, make(), options)

    async def accept() -> None:
        with suppress(anyio.ClosedResourceError):
            while True:
                tasks.start_soon(serve, await listener.accept())

    listener = (await anyio.create_tcp_listener(local_host="127.0.0.1")).listeners[0]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(accept)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        await listener.aclose()


@asynccontextmanager
async def trio_stream(
    backend: Backend, make: Make, contexts: Contexts, options: ConnectionOptions
) -> AsyncIterator[int]:
    """``SSLStream`` of trio's."""
    import trio

    async def serve(stream: Any) -> None:
        await serve_stream(stream, make(), options)

    async def accept() -> None:
        with suppress(trio.ClosedResourceError):
            while True:
                nursery.start_soon(serve, await listener.accept())

    plain = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    listener = trio.SSLListener(plain, contexts.server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        yield plain.socket.getsockname()[1]
        await listener.aclose()


@implementer(IOpenSSLContextFactory)
class TwistedContext:
    """The server's context for pyOpenSSL, with the one version."""

    def __init__(self, contexts: Contexts) -> None:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(contexts.pem)
        context.use_privatekey_file(contexts.pem)
        context.set_min_proto_version(VERSIONS[contexts.version])
        context.set_max_proto_version(VERSIONS[contexts.version])
        self._context = context

    def getContext(self) -> SSL.Context:
        return self._context


class StartsTLS(Factory):
    """Begins TLS on the transport of each connection, once its protocol has it."""

    noisy = False

    def __init__(self, factory: Any, options: TwistedContext) -> None:
        self._factory = factory
        self._options = options

    def buildProtocol(self, addr: Any) -> Any:
        attached = self._factory.buildProtocol(addr)
        connect = attached.makeConnection

        def begin(transport: Any) -> None:
            connect(transport)
            transport.startTLS(self._options)

        attached.makeConnection = begin
        return attached


def twisted_endpoint(wrap: Callable[[Any, TwistedContext], Any]) -> Serve:
    """`as_factory` behind an endpoint of TCP; *wrap* puts TLS between them."""

    @asynccontextmanager
    async def serve(
        backend: Backend, make: Make, contexts: Contexts, options: ConnectionOptions
    ) -> AsyncIterator[int]:
        reactor: Any = backend.reactor  # type: ignore[attr-defined]
        factory = as_factory(make, options, reactor=reactor)
        factory = wrap(factory, TwistedContext(contexts))
        port = await endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        try:
            yield port.getHost().port
        finally:
            await port.stopListening()

    return serve


def in_memory_bio(factory: Any, options: TwistedContext) -> Any:
    """As ``listenSSL`` and the endpoint ``ssl:`` do."""
    return TLSMemoryBIOFactory(options, False, factory)


@asynccontextmanager
async def own(
    backend: Backend, make: Make, contexts: Contexts, options: ConnectionOptions
) -> AsyncIterator[int]:
    """TLS of halfclose itself."""
    options = replace(options, tls=TLSOptions(contexts.server))
    listener = await backend.listen("tls:127.0.0.1:0", make, options)
    try:
        yield listener.endpoint.port
    finally:
        await listener.aclose()


STACKS: dict[str, tuple[str, Serve]] = {
    "anyio on asyncio": ("anyio+asyncio", anyio_stream),
    "anyio on uvloop": ("anyio+uvloop", anyio_stream),
    "anyio on trio": ("anyio+trio", anyio_stream),
    "trio": ("anyio+trio", trio_stream),
    "twisted": ("twisted+epoll", twisted_endpoint(in_memory_bio)),
    "twisted on uvloop": ("twisted+uvloop", twisted_endpoint(in_memory_bio)),
    "twisted, startTLS": ("twisted+select", twisted_endpoint(StartsTLS)),
}
"""Each with the variant of halfclose that runs the loop below it."""

OWN = ("anyio+asyncio", "anyio+uvloop", "anyio+trio", "twisted+epoll", "twisted+uvloop")
