"""Channel types: each makes connections with a transport under test and a raw peer at its end."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    closing,
    contextmanager,
    nullcontext,
)
from typing import Any, ClassVar, TypeAlias

from ...backend import Backend
from ...discovery import locate
from ...endpoints import TCP, UNIX, Endpoint
from ...interfaces import Protocol, ProtocolFactory
from ...options import ConnectionOptions
from ...reasons import BackendLoadError
from ..hosts import Host
from .peers import RawListener, RawPeer
from .pipes import install_pipes, preserved_descriptors
from .sockets import (
    SocketListener,
    black_hole,
    dial,
    open_sockets,
    refusing,
    temporary_unix_path,
)

__all__ = [
    "CHANNEL_TYPES",
    "ChannelType",
    "Dial",
    "NativeTCP",
    "NativeUnix",
    "PollerTCP",
    "PollerUnix",
    "Serve",
    "Stdio",
    "check_channel_types",
    "load_channel_types",
]

Dial: TypeAlias = Callable[[], Awaitable[RawPeer]]
"""Connects one raw peer and gives it; the factory's protocol is attached at our end."""

Serve: TypeAlias = Callable[
    [Backend, ProtocolFactory, ConnectionOptions], AbstractAsyncContextManager[Dial]
]
"""The type of `ChannelType.serve`."""


class ChannelType(ABC):
    """One channel type, for the suite: all that a rule needs and the backend does not give.

    To add a channel type for a framework's own TCP or unix sockets, derive a class from this one,
    write its `serve`, and name an instance in `halfclose.BackendSpec.channel_types` or in the
    suite's ``channel_types``. A channel type without sockets of the operating system overrides the
    other methods too.
    """

    name: ClassVar[str]
    """The channel type's name in reports."""
    scheme: ClassVar[str]
    """"tcp", "unix", "stdio" or "memory": what sort of connection the raw peer has."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Options with which the backend is opened for this channel type."""

    @abstractmethod
    def serve(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AbstractAsyncContextManager[Dial]:
        """Accept raw peers until the end of the block, and attach a protocol to each.

        :param backend: the backend under test.
        :param factory: makes the protocols.
        :param options: of each connection.
        :returns: a context manager that gives a function to connect a raw peer.
        """

    # -- other channel types -------------------------------------------------------------------

    @property
    def polled(self) -> ChannelType:
        """The channel type most like this one that every backend serves by ``Backend.listen``."""
        return PollerUnix() if self.scheme == "unix" else PollerTCP()

    @property
    def beside(self) -> ChannelType:
        """The channel type for a second connection: this one, unless there can be only one."""
        return self

    # -- the other end, without a backend ------------------------------------------------------

    def listening(self, backend: Backend) -> AbstractContextManager[RawListener]:
        """A raw listener, to which the backend can connect.

        :param backend: the backend in whose loop the test waits for connections.
        """
        return SocketListener(backend, self.polled.scheme)

    def refusing(self, backend: Backend) -> AbstractContextManager[Endpoint]:
        """An endpoint that refuses connections: nobody listens, and nobody else can take it.

        :param backend: the backend in whose loop the test waits.
        """
        return refusing(self.polled.scheme)

    def black_hole(self, backend: Backend) -> AbstractContextManager[Endpoint]:
        """An endpoint that never answers an attempt to connect.

        :param backend: the backend in whose loop the test waits.
        """
        return black_hole(backend, self.polled.scheme)

    def hopeless(self, backend: Backend) -> AbstractContextManager[Endpoint]:
        """An endpoint to which connecting fails at once with a plain `ConnectError`.

        The reason is one for which there is no subclass.

        :param backend: the backend in whose loop the test waits.
        """
        if self.scheme == "unix":
            return nullcontext(UNIX("/nonexistent/halfclose"))
        # A multicast address.
        return nullcontext(TCP("224.0.0.1", 9))

    def holdings(self, backend: Backend) -> set[object]:
        """The identities of all ends of connections that are open now, with those of raw peers.

        By this a test sees whether our end was released. A peer cannot tell that from a shutdown.

        :param backend: the backend in whose loop the test waits.
        """
        return open_sockets()

    def left_behind(self) -> list[str]:
        """The names of what is still open, other than descriptors, which the suite finds itself."""
        return []

    # -- whole programs ------------------------------------------------------------------------

    async def run_program(
        self,
        backend: Backend,
        main: Callable[[Backend], Awaitable[object]],
        options: Mapping[str, Any],
        host: Host,
    ) -> BaseException | None:
        """Run ``main(backend)`` as a second program, while the test goes on.

        The program has a backend of the same name, under the same host.

        :param backend: the test's backend, in whose loop the test waits for the program.
        :param main: the program, an asynchronous function.
        :param options: options of the program's own backend.
        :param host: the host that runs the test.
        :returns: what the program raised; None: nothing.
        """
        return await host.run_program(main, backend, {**self.options, **options})

    def time(self, backend: Backend) -> float:
        """Seconds of a clock that such a program and the test share.

        :param backend: the test's backend.
        """
        return time.monotonic()

    def outliving(self, backend: Backend) -> AbstractContextManager[Serve]:
        """Give a `serve` whose connections stay open after its block, for the backend to close.

        Enter this around the whole program.

        :param backend: the test's backend.
        """
        return nullcontext(self.serve)


class _Polled(ChannelType):
    """A channel type whose `serve` calls ``Backend.listen``."""

    @abstractmethod
    def _listen_on(self, folder: str) -> Endpoint:
        """The endpoint to listen on; *folder* is a new one for the path of a unix socket."""

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


class PollerTCP(_Polled):
    """``backend.listen`` on TCP, with the backend's default option ``sockets``."""

    name = "tcp"
    scheme = "tcp"

    def _listen_on(self, folder: str) -> Endpoint:
        return TCP("127.0.0.1", 0)


class PollerUnix(_Polled):
    """``backend.listen`` on a unix socket, with the backend's default option ``sockets``."""

    name = "unix"
    scheme = "unix"

    def _listen_on(self, folder: str) -> Endpoint:
        return UNIX(os.path.join(folder, "s"))


class NativeTCP(PollerTCP):
    """``backend.listen`` on TCP, served by the framework's own transports."""

    name = "native-tcp"
    options: ClassVar[Mapping[str, Any]] = {"sockets": "native"}


class NativeUnix(PollerUnix):
    """``backend.listen`` on a unix socket, served by the framework's own transports."""

    name = "native-unix"
    options: ClassVar[Mapping[str, Any]] = {"sockets": "native"}


class Stdio(ChannelType):
    """``backend.connect("stdio:")``, with pipes at descriptors 0 and 1 of this process."""

    name = "stdio"
    scheme = "stdio"

    @property
    def beside(self) -> ChannelType:
        return self.polled

    @asynccontextmanager
    async def serve(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AsyncIterator[Dial]:
        attached: list[Protocol] = []

        async def connect() -> RawPeer:
            peer = install_pipes(backend)
            try:
                attached.append(await backend.connect("stdio:", factory, options=options))
            except BaseException:
                peer.close()
                raise
            return peer

        with preserved_descriptors():
            try:
                yield connect
            finally:
                # Before the descriptors are restored, because a connection that ends puts
                # /dev/null at descriptor 1.
                for protocol in attached:
                    protocol.transport.abortConnection()
                    await protocol.transport.whenClosed()

    @contextmanager
    def outliving(self, backend: Backend) -> Iterator[Serve]:
        with preserved_descriptors(), closing(install_pipes(backend)) as peer:

            @asynccontextmanager
            async def serve(
                inner: Backend, factory: ProtocolFactory, options: ConnectionOptions
            ) -> AsyncIterator[Dial]:
                async def connect() -> RawPeer:
                    await inner.connect("stdio:", factory, options=options)
                    return peer

                yield connect

            yield serve


_SCHEMES = ("tcp", "unix", "stdio", "memory")


def check_channel_types(channel_types: Any) -> tuple[ChannelType, ...]:
    """Return *channel_types* if it is a tuple of channel types with different names.

    :raises TypeError: it is no tuple, or empty; an item is no channel type; a name is missing or
        used twice; or a scheme is unknown.
    """
    if not isinstance(channel_types, tuple) or not channel_types:
        raise TypeError(f"{channel_types!r} is no tuple of halfclose.testing.ChannelType")
    names = set()
    for channel_type in channel_types:
        if not isinstance(channel_type, ChannelType):
            raise TypeError(f"{channel_type!r} is no halfclose.testing.ChannelType")
        name, scheme = getattr(channel_type, "name", None), getattr(channel_type, "scheme", None)
        if not isinstance(name, str) or scheme not in _SCHEMES:
            raise TypeError(
                f"{channel_type!r} has the name {name!r} and the scheme {scheme!r}; a name is a "
                f"string, and a scheme one of {', '.join(_SCHEMES)}"
            )
        if name in names:
            raise TypeError(f"two channel types are called {name!r}")
        names.add(name)
    return channel_types


def load_channel_types(backend: str) -> tuple[ChannelType, ...]:
    """The channel types on which the contract suite runs for a backend.

    :param backend: the name of the backend.
    :raises BackendNotFound: see `halfclose.find_backend`.
    :raises BackendLoadError: see `halfclose.load_backend`; or what its `BackendSpec.channel_types`
        names is no tuple of channel types.
    """
    located = locate(backend)
    where = located.spec.channel_types
    channel_types = located.load(where)
    try:
        return check_channel_types(channel_types)
    except TypeError as error:
        raise BackendLoadError(
            f"backend {backend!r} ({located.origin}): {where}: {error}"
        ) from error


CHANNEL_TYPES: tuple[ChannelType, ...] = (PollerTCP(), PollerUnix(), Stdio())
"""The channel types of a backend that names no others; see `halfclose.BackendSpec`."""
