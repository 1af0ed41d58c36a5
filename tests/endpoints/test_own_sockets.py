"""A scheme with sockets that the plugin makes itself, as one of another family has to be."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import halfclose
import pytest
from core.support import EchoBack, Recorder, descriptors, run
from halfclose import (
    Backend,
    Channel,
    ConnectionOptions,
    ConnectionRefused,
    Endpoint,
    Listener,
    Scheme,
    hookimpl,
)
from halfclose.io.connecting import connect_channel
from halfclose.io.listening import ListeningSocket, SocketListener, undone_if_it_fails

VARIANTS = ("twisted+select", "anyio+asyncio", "anyio+trio")


@dataclass(frozen=True)
class Room(Endpoint):
    """A number, which is a name in the abstract namespace."""

    scheme = "room"

    number: int

    @property
    def address(self) -> bytes:
        return b"\0halfclose-%d-%d" % (os.getpid(), self.number)

    def __str__(self) -> str:
        return f"room:{self.number}"


def name_of(family: int, address: Any) -> Room:
    """Core knows this address too, and is not asked."""
    return Room(int(address.rpartition(b"-")[2]) if address else 0)


class RoomScheme(Scheme[Room, Backend]):
    name = "room"
    examples = ("room:1",)

    def parse(self, rest: str) -> Room:
        return Room(int(rest))

    async def connect(self, backend: Backend, endpoint: Room, timeout: float | None) -> Channel:
        address = socket.AF_UNIX, endpoint.address
        return await connect_channel(
            backend, endpoint, [address], timeout, peer=endpoint, host=Room(0)
        )

    async def listen(
        self,
        backend: Backend,
        endpoint: Room,
        options: ConnectionOptions,
        accepted: Callable[[Channel], None],
    ) -> Listener:
        sock = ListeningSocket(socket.AF_UNIX)
        with undone_if_it_fails([sock]):
            sock.setblocking(False)
            sock.bind(endpoint.address)
            sock.listen()
            return SocketListener(backend, endpoint, [sock], accepted, name_of=name_of)


class Plugin:
    @hookimpl
    def halfclose_endpoints(self) -> list[RoomScheme]:
        return [RoomScheme()]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    plugin = Plugin()
    halfclose.register(plugin)
    yield
    halfclose.unregister(plugin)


class Guest(Recorder):
    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"hello")
        self.transport.loseWriteConnection()


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_ends_have_the_names_that_the_scheme_gives_them(variant: str) -> None:
    served: list[EchoBack] = []

    def serve() -> EchoBack:
        served.append(EchoBack())
        return served[-1]

    async def main(backend: Backend) -> Guest:
        async with await backend.listen("room:7", serve) as listener:
            assert listener.endpoint == Room(7)
            guest: Guest = await backend.connect("room:7", Guest)
            await guest.transport.whenClosed()
        return guest

    guest = run(main, variant=variant)
    assert guest.data == b"hello"
    assert (guest.transport.getPeer(), guest.transport.getHost()) == (Room(7), Room(0))
    [host] = served
    assert (host.transport.getPeer(), host.transport.getHost()) == (Room(0), Room(7))


@pytest.mark.parametrize("variant", VARIANTS)
def test_where_nobody_is(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with await backend.listen("room:1", EchoBack):
            before = descriptors()
            with pytest.raises(ConnectionRefused, match=r"cannot connect to room:8: .*refused"):
                await backend.connect("room:8", Guest)
            assert descriptors() == before

    run(main, variant=variant)
