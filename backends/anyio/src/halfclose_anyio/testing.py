"""Channel types for the contract suite: `serve_stream` over streams of anyio and trio."""

from __future__ import annotations

import os
import socket
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from anyio.abc import SocketAttribute
from halfclose import TCP, UNIX, Backend, ConnectionOptions, Endpoint, ProtocolFactory
from halfclose.backend import make_protocol
from halfclose.testing import ChannelType, Dial, RawPeer
from halfclose.testing.channels.channel_types import CHANNEL_TYPES as EVERYWHERE
from halfclose.testing.channels.channel_types import NativeTCP, NativeUnix
from halfclose.testing.channels.sockets import dial, temporary_unix_path

from .channel import StreamChannel
from .stream import serve_stream

__all__ = ["CHANNEL_TYPES", "TRIO_CHANNEL_TYPES", "AnyioTCP", "AnyioUnix", "TrioTCP"]


class _Listener(ChannelType):
    @abstractmethod
    async def _listen(self, folder: str) -> Any: ...

    @abstractmethod
    def _address(self, listener: Any) -> Endpoint: ...

    @asynccontextmanager
    async def serve(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AsyncIterator[Dial]:
        async def serve(stream: Any) -> None:
            try:
                protocol = make_protocol(factory)
            except BaseException:
                channel = StreamChannel(backend, stream)
                channel.abort()
                await channel.run()
                raise
            await serve_stream(stream, protocol, options)

        async def accept() -> None:
            with suppress(anyio.ClosedResourceError):
                while True:
                    backend.start_soon(serve, await listener.accept())

        with temporary_unix_path() as folder:
            listener = await self._listen(folder)
            backend.start_soon(accept)

            async def connect() -> RawPeer:
                return dial(backend, self._address(listener))

            try:
                yield connect
            finally:
                await listener.aclose()


class AnyioTCP(_Listener):
    """`serve_stream` behind ``anyio.create_tcp_listener``."""

    name = "anyio-tcp"
    scheme = "tcp"

    async def _listen(self, folder: str) -> Any:
        both = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        return both.listeners[0]

    def _address(self, listener: Any) -> Endpoint:
        return TCP("127.0.0.1", listener.extra(SocketAttribute.local_port))


class AnyioUnix(_Listener):
    """`serve_stream` behind a listener of anyio's on a unix socket."""

    name = "anyio-unix"
    scheme = "unix"

    async def _listen(self, folder: str) -> Any:
        # Not anyio.create_unix_listener, which looks at the path in a thread: if ^C interrupts
        # that, the thread stays behind.
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        sock.bind(os.path.join(folder, "s"))
        sock.listen()
        return await anyio.abc.SocketListener.from_socket(sock)

    def _address(self, listener: Any) -> Endpoint:
        return UNIX(listener.extra(SocketAttribute.local_address))


class _TrioListener:
    """A listener of trio's with the methods of an anyio listener."""

    def __init__(self, listener: Any) -> None:
        self._listener = listener
        self.port: int = listener.socket.getsockname()[1]

    async def accept(self) -> Any:
        import trio

        try:
            stream = await self._listener.accept()
        except trio.ClosedResourceError:
            raise anyio.ClosedResourceError from None
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # Trio keeps the kernel's send queue short, and END-02 needs a long one.
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, -1)
        return stream

    async def aclose(self) -> None:
        await self._listener.aclose()


class TrioTCP(_Listener):
    """`serve_stream` behind ``trio.open_tcp_listeners``."""

    name = "trio-tcp"
    scheme = "tcp"

    async def _listen(self, folder: str) -> Any:
        import trio

        return _TrioListener((await trio.open_tcp_listeners(0, host="127.0.0.1"))[0])

    def _address(self, listener: Any) -> Endpoint:
        return TCP("127.0.0.1", listener.port)


CHANNEL_TYPES = (*EVERYWHERE, AnyioTCP(), AnyioUnix(), NativeTCP(), NativeUnix())
"""Channel types that the contract suite tests: see `halfclose.BackendSpec`."""

TRIO_CHANNEL_TYPES = (*CHANNEL_TYPES, TrioTCP())
"""Channel types that the contract suite tests on trio, which has streams of its own."""
