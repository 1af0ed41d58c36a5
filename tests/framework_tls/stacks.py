"""Servers and clients of halfclose protocols over TLS of each framework's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, cast

import anyio
import anyio.abc
from anyio.streams.tls import TLSStream
from framework_tls.uploading import NAME, VERSIONS, Contexts
from halfclose import TCP, Backend, ConnectionOptions, Protocol, TLSOptions
from halfclose_anyio import serve_stream
from halfclose_twisted import as_factory
from OpenSSL import SSL
from twisted.internet.endpoints import (
    SSL4ClientEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.protocol import Factory
from twisted.protocols.policies import WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

__all__ = ["CLIENTS", "ENDS_BARE", "OVER_A_WRAPPER", "OWN", "STACKS", "Connect", "Serve", "own"]

Make = Callable[[], Protocol]
Serve = Callable[[Backend, Make, Contexts, ConnectionOptions], AbstractAsyncContextManager[int]]
"""Serves protocols, and gives the port on 127.0.0.1."""


def anyio_streams(*, standard: bool = True) -> Serve:
    """``TLSStream`` of anyio's."""

    @asynccontextmanager
    async def serve(
        backend: Backend, make: Make, contexts: Contexts, options: ConnectionOptions
    ) -> AsyncIterator[int]:
        async def serve_one(below: Any) -> None:
            stream = await TLSStream.wrap(
                below,
                server_side=True,
                ssl_context=contexts.server,
                standard_compatible=standard,
            )
            await serve_stream(stream, make(), options)

        async def accept() -> None:
            with suppress(anyio.ClosedResourceError):
                while True:
                    tasks.start_soon(serve_one, await listener.accept())

        both = await anyio.create_tcp_listener(local_host="127.0.0.1")
        listener: Any = both.listeners[0]
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(accept)
            yield listener.extra(anyio.abc.SocketAttribute.local_port)
            await listener.aclose()

    return serve


def trio_streams(*, standard: bool = True) -> Serve:
    """``SSLStream`` of trio's."""

    @asynccontextmanager
    async def serve(
        backend: Backend, make: Make, contexts: Contexts, options: ConnectionOptions
    ) -> AsyncIterator[int]:
        import trio

        async def serve_one(stream: Any) -> None:
            await serve_stream(stream, make(), options)

        async def accept() -> None:
            with suppress(trio.ClosedResourceError):
                while True:
                    nursery.start_soon(serve_one, await listener.accept())

        plain = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        listener = trio.SSLListener(plain, contexts.server, https_compatible=not standard)
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(accept)
            yield plain.socket.getsockname()[1]
            await listener.aclose()

    return serve


@implementer(IOpenSSLContextFactory)
class TwistedContext:
    """A context for pyOpenSSL, with the one version."""

    def __init__(self, contexts: Contexts, *, server: bool = True) -> None:
        if server:
            context = SSL.Context(SSL.TLS_SERVER_METHOD)
            context.use_certificate_chain_file(contexts.pem)
            context.use_privatekey_file(contexts.pem)
        else:
            context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            context.load_verify_locations(contexts.authority)
            context.set_verify(SSL.VERIFY_PEER)
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
        endpoint: Any = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")  # type: ignore[no-untyped-call]
        port = await endpoint.listen(factory)
        try:
            yield port.getHost().port
        finally:
            await port.stopListening()

    return serve


def in_memory_bio(factory: Any, options: TwistedContext) -> Any:
    """As ``listenSSL`` and the endpoint ``ssl:`` do."""
    return TLSMemoryBIOFactory(cast(Any, options), False, factory)


def in_a_wrapper(factory: Any, options: TwistedContext) -> Any:
    """TLS that is not directly over a socket."""
    return cast(Any, WrappingFactory)(in_memory_bio(factory, options))


@asynccontextmanager
async def own(
    backend: Backend, make: Make, contexts: Contexts, options: ConnectionOptions
) -> AsyncIterator[int]:
    """TLS of halfclose itself."""
    options = replace(options, tls=TLSOptions(contexts.server))
    listener = await backend.listen("tls:127.0.0.1:0", make, options)
    try:
        yield cast(TCP, listener.endpoint).port
    finally:
        await listener.aclose()


STACKS: dict[str, tuple[str, Serve]] = {
    "anyio on asyncio": ("anyio+asyncio", anyio_streams()),
    "anyio on uvloop": ("anyio+uvloop", anyio_streams()),
    "anyio on trio": ("anyio+trio", anyio_streams()),
    "trio": ("anyio+trio", trio_streams()),
    "twisted": ("twisted+epoll", twisted_endpoint(in_memory_bio)),
    "twisted on uvloop": ("twisted+uvloop", twisted_endpoint(in_memory_bio)),
    "twisted, startTLS": ("twisted+select", twisted_endpoint(StartsTLS)),
}
"""Each with the variant of halfclose that runs the loop below it."""

ENDS_BARE: dict[str, tuple[str, Serve]] = {
    "anyio on asyncio": ("anyio+asyncio", anyio_streams(standard=False)),
    "trio": ("anyio+trio", trio_streams(standard=False)),
}
"""Those that end the stream without the end of TLS, because the program wants that."""

OVER_A_WRAPPER = ("twisted+epoll", twisted_endpoint(in_a_wrapper))
"""TLS that the channel cannot end by itself."""

Connect = Callable[[Backend, Protocol, Contexts, int], Awaitable[None]]
"""Runs a protocol as a client of a port on 127.0.0.1."""


async def anyio_client(backend: Backend, protocol: Protocol, contexts: Contexts, port: int) -> None:
    below = await anyio.connect_tcp("127.0.0.1", port)
    stream = await TLSStream.wrap(below, hostname=NAME, ssl_context=contexts.client)
    await serve_stream(stream, protocol)


async def trio_client(backend: Backend, protocol: Protocol, contexts: Contexts, port: int) -> None:
    import trio

    below = await trio.open_tcp_stream("127.0.0.1", port)
    await serve_stream(trio.SSLStream(below, contexts.client, server_hostname=NAME), protocol)


def twisted_client(endpoint: Callable[[Any, int, Any], Any]) -> Connect:
    async def connect(backend: Backend, protocol: Protocol, contexts: Contexts, port: int) -> None:
        reactor: Any = backend.reactor  # type: ignore[attr-defined]
        client = endpoint(reactor, port, TwistedContext(contexts, server=False))
        await client.connect(as_factory(lambda: protocol, reactor=reactor))

    return connect


def _ssl(reactor: Any, port: int, context: Any) -> Any:
    return SSL4ClientEndpoint(reactor, "127.0.0.1", port, context)  # type: ignore[no-untyped-call]


def _wrapped(reactor: Any, port: int, context: Any) -> Any:
    below: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    return wrapClientTLS(context, below)


CLIENTS: dict[str, tuple[str, Connect]] = {
    "anyio on asyncio": ("anyio+asyncio", anyio_client),
    "anyio on uvloop": ("anyio+uvloop", anyio_client),
    "trio": ("anyio+trio", trio_client),
    "twisted, SSL4ClientEndpoint": ("twisted+epoll", twisted_client(_ssl)),
    "twisted, wrapClientTLS": ("twisted+asyncio", twisted_client(_wrapped)),
}
"""As `STACKS`."""

OWN = ("anyio+asyncio", "anyio+uvloop", "anyio+trio", "twisted+epoll", "twisted+uvloop")
"""The variants over whose native transports TLS of halfclose itself is tried."""
