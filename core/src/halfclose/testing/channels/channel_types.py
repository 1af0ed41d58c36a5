"""Types of channel: each a way to a transport under test and the raw peer at its other end."""

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
"""Connects one raw peer; the factory's protocol is attached on our side."""

Serve: TypeAlias = Callable[
    [Backend, ProtocolFactory, ConnectionOptions], AbstractAsyncContextManager[Dial]
]
"""What `ChannelType.serve` is."""


class ChannelType(ABC):
    """One type of channel, for the suite: everything that a rule does beside the backend.

    To add one for a framework's own TCP or unix sockets, derive from it and write `serve`; name it
    in `halfclose.BackendSpec.channel_types` or in the suite's ``channel_types``. What is not the
    operating system's replaces the other methods too.
    """

    name: ClassVar[str]
    """What the run's report calls it."""
    scheme: ClassVar[str]
    """"tcp", "unix", "stdio" or "memory": what the raw peer is."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Options with which the backend is opened for it."""

    @abstractmethod
    def serve(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AbstractAsyncContextManager[Dial]:
        """Wait for raw peers and attach what *factory* gives to each that dials."""

    # -- other channel types
    # ---------------------------------------------------------------------------

    @property
    def polled(self) -> ChannelType:
        """The kind that ``Backend.listen`` serves by itself, closest to this one."""
        return PollerUnix() if self.scheme == "unix" else PollerTCP()

    @property
    def beside(self) -> ChannelType:
        """The kind for a second connection beside one of this: this one, if there can be two."""
        return self

    # -- the other end, by no backend ----------------------------------------------------------

    def listening(self, backend: Backend) -> AbstractContextManager[RawListener]:
        """A raw listener, to which the backend connects.

        :param backend: the one in whose loop the test waits for it.
        """
        return SocketListener(backend, self.polled.scheme)

    def refusing(self, backend: Backend) -> AbstractContextManager[Endpoint]:
        """Where nobody listens, nor can come to listen meanwhile."""
        return refusing(self.polled.scheme)

    def black_hole(self, backend: Backend) -> AbstractContextManager[Endpoint]:
        """Where nobody answers, ever."""
        return black_hole(backend, self.polled.scheme)

    def hopeless(self, backend: Backend) -> AbstractContextManager[Endpoint]:
        """Where connecting fails at once, for a reason that has no exception of its own."""
        if self.scheme == "unix":
            return nullcontext(UNIX("/nonexistent/halfclose"))
        # A multicast address.
        return nullcontext(TCP("224.0.0.1", 9))

    def holdings(self, backend: Backend) -> set[object]:
        """The identity of every end of a connection that is held now, of the raw peers' too.

        No peer could see whether our end was released, or only shut down.
        """
        return open_sockets()

    def left_behind(self) -> list[str]:
        """What the kind itself still holds, by name; descriptors are looked for without it."""
        return []

    # -- whole programs ------------------------------------------------------------------------

    async def run_program(
        self,
        backend: Backend,
        main: Callable[[Backend], Awaitable[object]],
        options: Mapping[str, Any],
        host: Host,
    ) -> BaseException | None:
        """Run ``main(backend)`` as a program of its own, on the same kind of backend and host.

        The test goes on meanwhile.

        :param backend: the one in whose loop the test waits for it.
        :param options: of the program's own backend.
        :param host: the one that runs the test.
        :returns: what the program raised.
        """
        return await host.run_program(main, backend, {**self.options, **options})

    def time(self, backend: Backend) -> float:
        """Seconds of a clock that can be read by such a program and after it.

        :param backend: the test's.
        """
        return time.monotonic()

    def outliving(self, backend: Backend) -> AbstractContextManager[Serve]:
        """`serve`, for a connection that is left to the program's backend.

        To be entered around the whole program.
        """
        return nullcontext(self.serve)


class _Lane(ChannelType):
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


class PollerTCP(_Lane):
    """``backend.listen`` on TCP: the poller, unless the backend was opened as native."""

    name = "tcp"
    scheme = "tcp"

    def _listen_on(self, folder: str) -> Endpoint:
        return TCP("127.0.0.1", 0)


class PollerUnix(_Lane):
    """``backend.listen`` on a unix socket."""

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
    """``backend.connect("stdio:")``, with pipes put at descriptors 0 and 1 of this process."""

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
                # Before the descriptors are put back: its end replaces descriptor 1.
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
    """*channel_types*, if it is a tuple of channel types on which rules can be seen, each with its
    own name.

    :raises TypeError: it is not.
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
                f"{channel_type!r} has the name {name!r} and the scheme {scheme!r}; a name is a string, "
                f"and a scheme one of {', '.join(_SCHEMES)}"
            )
        if name in names:
            raise TypeError(f"two kinds are called {name!r}")
        names.add(name)
    return channel_types


def load_channel_types(backend: str) -> tuple[ChannelType, ...]:
    """The types of channel on which the contract suite runs for the backend of that name.

    :raises BackendNotFound: see `halfclose.find_backend`.
    :raises BackendLoadError: see `halfclose.load_backend`; or what its `BackendSpec.channel_types`
        names
        is no tuple of channel types.
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
"""What the contract suite runs on where a backend names no others: see `halfclose.BackendSpec`."""
