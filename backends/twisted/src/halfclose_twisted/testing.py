"""Channel types for the contract suite: `as_factory` over Twisted transports."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from halfclose import TCP, UNIX, Backend, ConnectionOptions, Endpoint, ProtocolFactory
from halfclose.testing import ChannelType, Dial, RawPeer
from halfclose.testing.channels.channel_types import CHANNEL_TYPES as EVERYWHERE
from halfclose.testing.channels.channel_types import NativeTCP, NativeUnix
from halfclose.testing.channels.sockets import dial, temporary_unix_path
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint

from .backend import TwistedBackend
from .factory import as_factory

__all__ = ["CHANNEL_TYPES", "TwistedTCP", "TwistedUnix"]


class _Endpoint(ChannelType):
    @abstractmethod
    def _endpoint(self, reactor: Any, folder: str) -> Any: ...

    @abstractmethod
    def _address(self, port: Any) -> Endpoint: ...

    @asynccontextmanager
    async def serve(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AsyncIterator[Dial]:
        assert isinstance(backend, TwistedBackend)
        reactor = backend.reactor
        with temporary_unix_path() as folder:
            port = await self._endpoint(reactor, folder).listen(
                as_factory(factory, options, reactor=reactor)
            )

            async def connect() -> RawPeer:
                return dial(backend, self._address(port))

            try:
                yield connect
            finally:
                await port.stopListening()


class TwistedTCP(_Endpoint):
    """`as_factory` behind a ``TCP4ServerEndpoint``."""

    name = "twisted-tcp"
    scheme = "tcp"

    def _endpoint(self, reactor: Any, folder: str) -> Any:
        return TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")

    def _address(self, port: Any) -> Endpoint:
        return TCP("127.0.0.1", port.getHost().port)


class TwistedUnix(_Endpoint):
    """`as_factory` behind a ``UNIXServerEndpoint``."""

    name = "twisted-unix"
    scheme = "unix"

    def _endpoint(self, reactor: Any, folder: str) -> Any:
        return UNIXServerEndpoint(reactor, os.path.join(folder, "s"))

    def _address(self, port: Any) -> Endpoint:
        return UNIX(os.fsdecode(port.getHost().name))


CHANNEL_TYPES = (*EVERYWHERE, TwistedTCP(), TwistedUnix(), NativeTCP(), NativeUnix())
"""Channel types that the contract suite tests: see `halfclose.BackendSpec`."""
