"""Kinds of channel: each a way to a transport under test and the raw peer at its other end."""

from __future__ import annotations

import os
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar

from ..backend import Backend
from ..endpoints import TCP, UNIX, Endpoint
from ..interfaces import Protocol, ProtocolFactory
from ..options import ConnectionOptions
from .peers import PipePeer, RawPeer, SocketPeer

__all__ = [
    "KINDS",
    "Dial",
    "Kind",
    "LaneTCP",
    "LaneUnix",
    "NativeTCP",
    "NativeUnix",
    "Stdio",
    "dial",
    "temporary_unix_path",
]

Dial = Callable[[], Awaitable[RawPeer]]
"""Connects one raw peer; the factory's protocol is attached on our side."""


class Kind(ABC):
    """One kind of channel, for the suite.

    To add one for a framework's own transports, derive from it and name it in the suite's
    ``kinds``.
    """

    name: ClassVar[str]
    """What the run's report calls it."""
    scheme: ClassVar[str]
    """"tcp", "unix" or "stdio": what the raw peer is."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Options with which the backend is opened for it."""

    @abstractmethod
    def serve(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AbstractAsyncContextManager[Dial]:
        """Wait for raw peers and attach what *factory* gives to each that dials."""

    def left_behind(self) -> list[str]:
        """What the kind itself still holds, by name; descriptors are looked for without it."""
        return []


def dial(backend: Backend, endpoint: Endpoint) -> SocketPeer:
    """A raw peer connected to *endpoint*, whose listener has room in its queue."""
    if isinstance(endpoint, UNIX):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(endpoint.path)
    else:
        assert isinstance(endpoint, TCP)
        sock = socket.create_connection((endpoint.host, endpoint.port))
    return SocketPeer(backend, sock)


def temporary_unix_path() -> tempfile.TemporaryDirectory[str]:
    """A folder for a unix socket, with a path that is short enough."""
    return tempfile.TemporaryDirectory(prefix="hc")


class _Lane(Kind):
    @abstractmethod
    def _listen_on(self, folder: str) -> Endpoint: ...

    @asynccontextmanager
    async def serve(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AsyncIterator[Dial]:
        with temporary_unix_path() as folder:
            listener = await backend.listen(self._listen_on(folder), factory, options)

            async def connect() -> RawPeer:
                return dial(backend, listener.endpoint)

            async with listener:
                yield connect


class LaneTCP(_Lane):
    """``backend.listen`` on TCP: the socket lane, unless the backend was opened as native."""

    name = "tcp"
    scheme = "tcp"

    def _listen_on(self, folder: str) -> Endpoint:
        return TCP("127.0.0.1", 0)


class LaneUnix(_Lane):
    """``backend.listen`` on a unix socket."""

    name = "unix"
    scheme = "unix"

    def _listen_on(self, folder: str) -> Endpoint:
        return UNIX(os.path.join(folder, "s"))


class NativeTCP(LaneTCP):
    """``backend.listen`` on TCP, served by the framework's own transports."""

    name = "native-tcp"
    options: ClassVar[Mapping[str, Any]] = {"sockets": "native"}


class NativeUnix(LaneUnix):
    """``backend.listen`` on a unix socket, served by the framework's own transports."""

    name = "native-unix"
    options: ClassVar[Mapping[str, Any]] = {"sockets": "native"}


class Stdio(Kind):
    """``backend.connect("stdio:")``, with pipes put at descriptors 0 and 1 of this process."""

    name = "stdio"
    scheme = "stdio"

    @asynccontextmanager
    async def serve(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AsyncIterator[Dial]:
        saved = os.dup(0), os.dup(1)
        attached: list[Protocol] = []

        async def connect() -> RawPeer:
            stdin, to_stdin = os.pipe()
            from_stdout, stdout = os.pipe()
            os.dup2(stdin, 0)
            os.dup2(stdout, 1)
            os.close(stdin)
            os.close(stdout)
            peer = PipePeer(backend, to_stdin, from_stdout)
            try:
                attached.append(await backend.connect("stdio:", factory, options=options))
            except BaseException:
                peer.close()
                raise
            return peer

        try:
            yield connect
        finally:
            # Before the descriptors are put back: its end replaces descriptor 1.
            for protocol in attached:
                protocol.transport.abortConnection()
                await protocol.transport.whenClosed()
            for standard, copy in enumerate(saved):
                os.dup2(copy, standard)
                os.close(copy)


KINDS: tuple[Kind, ...] = (LaneTCP(), LaneUnix(), Stdio())
"""What the contract suite runs on where a backend names no others: see `halfclose.BackendSpec`."""
