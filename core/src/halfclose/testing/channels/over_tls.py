"""Channel types with TLS: each is another channel type, over which both ends speak it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import replace
from typing import Any

from ...backend import Backend
from ...endpoints import Endpoint
from ...interfaces import ProtocolFactory
from ...options import ConnectionOptions
from ...tls_options import TLSOptions
from ..hosts import Host
from ..tools.certificates import NAME, client_context, server_context
from .channel_types import ChannelType, Dial
from .peers import LIMIT, RawListener, RawPeer
from .tls import TLSPeer

__all__ = ["TLSOver"]


class TLSOver(ChannelType):
    """*below* with TLS over it.

    :param name: the name of the channel type.
    :param below: the channel type that carries the records. It has to pass the options of a
        connection on to ``Backend.listen``.
    """

    def __init__(self, name: str, below: ChannelType) -> None:
        self.name = name
        self.below = below
        self.scheme = below.scheme
        self.options = below.options

    @asynccontextmanager
    async def serve(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AsyncIterator[Dial]:
        async with self._serve_below(backend, factory, self.accepting(options)) as dial:

            async def connect() -> RawPeer:
                return await _with_tls(backend, await dial())

            yield connect

    def _serve_below(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AbstractAsyncContextManager[Dial]:
        return self.below.serve(backend, factory, options)

    def accepting(self, options: ConnectionOptions) -> ConnectionOptions:
        return replace(options, tls=TLSOptions(server_context()))

    def connecting(self, options: ConnectionOptions) -> ConnectionOptions:
        return replace(options, tls=TLSOptions(client_context(), server_hostname=NAME))

    # -- other channel types -------------------------------------------------------------------

    @property
    def polled(self) -> ChannelType:
        polled = self.below.polled
        return self if polled is self.below else TLSOver(self.name, polled)

    @property
    def bare(self) -> ChannelType:
        return self.below

    # -- the other end, without a backend ------------------------------------------------------

    def listening(self, backend: Backend) -> AbstractContextManager[RawListener]:
        return _Listener(backend, self.below.listening(backend))

    def refusing(self, backend: Backend) -> AbstractContextManager[Endpoint]:
        return self.below.refusing(backend)

    @contextmanager
    def black_hole(self, backend: Backend) -> Iterator[Endpoint]:
        # The connection below is made, and nobody answers the handshake.
        with self.below.listening(backend) as listener:
            yield listener.endpoint

    def hopeless(self, backend: Backend) -> AbstractContextManager[Endpoint]:
        return self.below.hopeless(backend)

    def holdings(self, backend: Backend) -> set[object]:
        return self.below.holdings(backend)

    def left_behind(self) -> list[str]:
        return self.below.left_behind()

    # -- whole programs ------------------------------------------------------------------------

    async def run_program(
        self,
        backend: Backend,
        main: Callable[[Backend], Awaitable[object]],
        options: Mapping[str, Any],
        host: Host,
    ) -> BaseException | None:
        return await self.below.run_program(backend, main, options, host)

    def time(self, backend: Backend) -> float:
        return self.below.time(backend)


async def _with_tls(backend: Backend, below: RawPeer) -> TLSPeer:
    """Do the handshake of a client over *below*, which is closed if that fails."""
    peer = TLSPeer(backend, below, client_context())
    try:
        await peer.handshake()
    except BaseException:
        peer.drop()
        raise
    return peer


class _Listener(RawListener):
    """Accepts below, and does the handshakes, while the test waits for its own end of them."""

    def __init__(self, backend: Backend, below: Any) -> None:
        self._backend = backend
        self._below: RawListener = below
        self.endpoint = self._below.endpoint
        self._accepted: deque[RawPeer] = deque()
        self._open = True
        backend.start_soon(self._serve)

    async def _serve(self) -> None:
        while self._open:
            if self._below.acceptable:
                below = await self._below.accept()
                peer = TLSPeer(self._backend, below, server_context(), server_side=True)
                # A peer whose handshake was reset tells whoever reads from it.
                with suppress(ConnectionError):
                    await peer.handshake()
                self._accepted.append(peer)
            else:
                await self._backend.sleep(0.001)

    @property
    def acceptable(self) -> bool:
        return bool(self._accepted)

    async def accept(self) -> RawPeer:
        end = self._backend.time() + LIMIT
        while not self._accepted:
            assert self._backend.time() < end, f"nobody connected to {self.endpoint}"
            await self._backend.sleep(0.001)
        return self._accepted.popleft()

    def close(self) -> None:
        self._open = False
        self._below.close()
        while self._accepted:
            self._accepted.popleft().close()
