"""The channel type that needs no operating system: a stream of the network in memory.

A rule takes no real time on it: when nothing is left to do but wait, the clock jumps.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from itertools import count
from typing import Any

from ...backend import Backend
from ...endpoints import Endpoint, Memory
from ...interfaces import ProtocolFactory
from ...memory.accept_queue import Listening
from ...memory.backend import MemoryBackend
from ...memory.network import Network
from ...memory.waiting import Cancelled
from ...memory.wire import End
from ...options import ConnectionOptions
from ...running import open_backend
from ..hosts import Host
from .channel_types import ChannelType, Dial, Serve
from .peers import LIMIT, RawListener, RawPeer

__all__ = ["CHANNEL_TYPES", "MemoryPeer", "MemoryStream"]


class MemoryPeer(RawPeer):
    """One end of a connection of the network.

    :param index: the connection's number among those to the same name, from 0 on.
    """

    def __init__(self, backend: Backend, end: End, index: int) -> None:
        super().__init__(backend)
        self.end = end
        self._index = index
        self._changes = _Changes()
        end.on_change = self._changes.tell

    # -- at once -------------------------------------------------------------------------------

    def send_some(self, data: bytes) -> int:
        return self.end.send(data)

    def receive_now(self, limit: int) -> bytes | None:
        return self.end.recv(limit)

    def rest(self) -> tuple[bytes, str]:
        data = bytearray()
        try:
            while piece := self.end.recv(1 << 18):
                data += piece
        except ConnectionError:
            return bytes(data), "reset"
        assert piece is not None, f"the raw peer read {len(data)} bytes, and no end came"
        return bytes(data), "eof"

    def shutdown(self) -> None:
        self.end.shutdown()

    def stop_reading(self) -> None:
        """Does nothing: as over TCP, the other end cannot be told, and what comes fills the
        buffer."""

    def reset(self) -> None:
        self.end.reset()

    def reset_unseen(self) -> None:
        name = self.end.peer.name
        _network_of(self.backend).reset_after(0, name, self._index, code=errno.ENOTCONN)
        self.end.close()

    def close(self) -> None:
        self.end.close()

    # -- what is known -------------------------------------------------------------------------

    @property
    def address(self) -> Endpoint:
        return self.end.name

    @property
    def other_address(self) -> Endpoint:
        return self.end.peer

    def holdings(self) -> set[object]:
        return {self.end}

    # -- waiting -------------------------------------------------------------------------------

    async def send(self, data: bytes) -> int:
        sent = 0
        view = memoryview(data)
        with suppress(ConnectionError):
            while sent < len(data):
                await self._until(
                    lambda: self.end.writable, f"{sent} of {len(data)} bytes were taken, no more"
                )
                sent += self.end.send(view[sent:])
        return sent

    async def until_input(self) -> None:
        await self._until(lambda: self.end.readable, "the raw peer waited in vain for input")

    async def receive(self, limit: int) -> bytes:
        while True:
            await self.until_input()
            piece = self.end.recv(limit)
            if piece is not None:
                return piece

    async def _until(self, ready: Callable[[], bool], otherwise: str) -> None:
        await self._changes.until(self.backend, lambda: self.end.closed or ready(), otherwise)


class _Changes:
    """Lets any number of tasks wait until a condition is true, which is checked on each change."""

    def __init__(self) -> None:
        self._waiting: dict[Any, None] = {}

    def tell(self) -> None:
        """Wake the tasks that wait, because something has changed."""
        for event in self._waiting:
            event.set()

    async def until(self, backend: Backend, reached: Callable[[], object], otherwise: str) -> None:
        """Wait until *reached* returns something true.

        :raises AssertionError: it does not within `LIMIT` seconds; the message begins with
            *otherwise*.
        """
        end = backend.time() + LIMIT
        while not reached():
            assert backend.time() < end, f"{otherwise} within {LIMIT} s"
            event = backend.create_event()
            timer = backend.call_later(end - backend.time(), event.set)
            self._waiting[event] = None
            try:
                await event.wait()
            finally:
                del self._waiting[event]
                timer.cancel()


class _Listener(RawListener):
    """A raw listener on a name of the network."""

    def __init__(self, backend: Backend, listening: Listening) -> None:
        self.endpoint = listening.endpoint
        self._backend = backend
        self._listening = listening
        self._changes = _Changes()
        listening.on_change = self._changes.tell
        self._index = count()

    async def accept(self) -> RawPeer:
        await self._changes.until(
            self._backend,
            lambda: self._listening.acceptable,
            f"nobody connected to {self.endpoint}",
        )
        end = self._listening.accept()
        assert end is not None
        return MemoryPeer(self._backend, end, next(self._index))

    def close(self) -> None:
        self._listening.close()


def _network_of(backend: Backend) -> Network:
    assert isinstance(backend, MemoryBackend)
    return backend.network


class MemoryStream(ChannelType):
    """``backend.listen`` on a name of the network in memory."""

    name = "memory"
    scheme = "memory"

    def __init__(self) -> None:
        self._names = (f"contract-{number}" for number in count())
        self._networks: dict[Network, None] = {}

    def _network(self, backend: Backend) -> Network:
        network = _network_of(backend)
        self._networks[network] = None
        return network

    @asynccontextmanager
    async def serve(
        self, backend: Backend, factory: ProtocolFactory, options: ConnectionOptions
    ) -> AsyncIterator[Dial]:
        network = self._network(backend)
        name = next(self._names)
        index = count()

        async def connect() -> RawPeer:
            return MemoryPeer(backend, await network.raw(name), next(index))

        async with await backend.listen(Memory(name), factory, options):
            yield connect

    def left_behind(self) -> list[str]:
        networks, self._networks = self._networks, {}
        return [end for network in networks for end in network.open_ends()]

    # -- other channel types -------------------------------------------------------------------

    @property
    def polled(self) -> ChannelType:
        return self

    # -- the other end, without a backend ------------------------------------------------------

    def listening(self, backend: Backend) -> AbstractContextManager[RawListener]:
        return _Listener(backend, self._network(backend).listen(next(self._names)))

    def refusing(self, backend: Backend) -> AbstractContextManager[Endpoint]:
        return nullcontext(Memory(next(self._names)))

    @contextmanager
    def black_hole(self, backend: Backend) -> Iterator[Endpoint]:
        name = next(self._names)
        self._network(backend).black_hole(name)
        yield Memory(name)

    @contextmanager
    def hopeless(self, backend: Backend) -> Iterator[Endpoint]:
        name = next(self._names)
        self._network(backend).refuse(name, errno.ENETUNREACH)
        yield Memory(name)

    def holdings(self, backend: Backend) -> set[object]:
        return set(_network_of(backend).ends())

    # -- whole programs ------------------------------------------------------------------------

    async def run_program(
        self,
        backend: Backend,
        main: Callable[[Backend], Awaitable[object]],
        options: Mapping[str, Any],
        host: Host,
    ) -> BaseException | None:
        # A network has one clock and one thread, so the program runs in the test's own loop.
        try:
            async with open_backend(backend.name, options) as inner:
                await main(inner)
        except (Cancelled, GeneratorExit):
            # The test itself is being ended, not only the program.
            raise
        except BaseException as error:
            return error
        return None

    def time(self, backend: Backend) -> float:
        return backend.time()

    def outliving(self, backend: Backend) -> AbstractContextManager[Serve]:
        return nullcontext(self.serve)


CHANNEL_TYPES: tuple[ChannelType, ...] = (MemoryStream(),)
"""The channel types of the backend ``memory``."""
