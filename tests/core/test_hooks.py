"""What metrics and tracing plugins hear."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import halfclose
import pytest
from core.support import VARIANTS, EchoBack, Recorder, run, until
from halfclose import (
    Backend,
    BaseProtocol,
    ConnectionDone,
    Protocol,
    State,
    Transport,
    hookimpl,
)


class Tracer:
    def __init__(self) -> None:
        self.calls: list[tuple[str, object, object, State]] = []

    @hookimpl
    def halfclose_connection_made(self, transport: Transport, protocol: BaseProtocol) -> None:
        self.calls.append(("made", transport, protocol, transport.state))

    @hookimpl
    def halfclose_half_closed(self, transport: Transport, side: str) -> None:
        self.calls.append(("half", transport, side, transport.state))

    @hookimpl
    def halfclose_connection_lost(self, transport: Transport, reason: BaseException) -> None:
        self.calls.append(("lost", transport, reason, transport.state))

    def of(self, transport: Transport) -> list[tuple[str, object, State]]:
        return [(what, value, state) for what, of, value, state in self.calls if of is transport]


class Raising:
    @hookimpl
    def halfclose_connection_made(self) -> None:
        raise ValueError("made hook")

    @hookimpl
    def halfclose_half_closed(self) -> None:
        raise ValueError("half hook")

    @hookimpl
    def halfclose_connection_lost(self) -> None:
        raise ValueError("lost hook")


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    tracer = Tracer()
    halfclose.register(tracer)
    yield tracer
    halfclose.unregister(tracer)


class Client(Recorder):
    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"x" * 10)
        self.transport.loseWriteConnection()


async def exchange(backend: Backend) -> Client:
    async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
        client = await backend.connect(listener.endpoint, Client)
        assert isinstance(client, Client)
        await client.transport.whenClosed()
        return client


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_each_hook_once(tracer: Tracer, variant: str, sockets: str) -> None:
    client = run(exchange, variant=variant, options={"sockets": sockets})
    # When our end is with the kernel, the answer to it may be there as well.
    assert [event for event in client.events if event != "write"] == [
        "made",
        "data",
        "read",
        "lost",
    ]
    assert client.events.count("write") == 1
    calls = tracer.of(client.transport)
    assert [call[:2] for call in calls[:1]] == [("made", client)]
    assert sorted(str(what) for _, what, _ in calls[1:3]) == ["read", "write"]
    assert [call[:2] for call in calls[3:]] == [("lost", client.reason)]
    assert isinstance(client.reason, ConnectionDone)
    assert [state for _, _, state in calls][-1] is State.CLOSED
    # And for the server's connection, not mixed up with ours.
    [server] = {id(of): of for _, of, _, _ in tracer.calls if of is not client.transport}.values()
    assert isinstance(server, Transport)
    assert [what for what, _, _ in tracer.of(server)] == ["made", "half", "lost"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_hooks_do_not_come_per_message(tracer: Tracer, variant: str) -> None:
    class Chatty(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.write(b"0")

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            if len(self.data) < 100:
                self.transport.write(b"0")
            else:
                self.transport.loseWriteConnection()

    async def main(backend: Backend) -> Chatty:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Chatty)
            assert isinstance(client, Chatty)
            await client.transport.whenClosed()
            return client

    client = run(main, variant=variant)
    assert len(tracer.of(client.transport)) == 4


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_hook_that_raises_is_logged_and_harmless(
    tracer: Tracer, variant: str, caplog: pytest.LogCaptureFixture
) -> None:
    raising = Raising()
    halfclose.register(raising)
    try:
        client = run(exchange, variant=variant)
    finally:
        halfclose.unregister(raising)
    assert client.events == ["made", "write", "data", "read", "lost"]
    assert client.data == b"x" * 10
    assert isinstance(client.reason, ConnectionDone)
    logged = [r for r in caplog.records if r.name == "halfclose" and r.levelno >= logging.ERROR]
    # Four times for the client, three for the server.
    assert len(logged) == 7
    told = [(r.exc_info or (None, None, None))[1] for r in logged]
    assert all(isinstance(error, ValueError) for error in told)
    for name in (
        "halfclose_connection_made",
        "halfclose_half_closed",
        "halfclose_connection_lost",
    ):
        assert any(name in record.getMessage() for record in logged)


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_raising_hook_does_not_silence_another(variant: str) -> None:
    """Whichever of the two was registered first."""
    raising, before, after = Raising(), Tracer(), Tracer()
    for each in (before, raising, after):
        halfclose.register(each)
    try:
        client = run(exchange, variant=variant)
    finally:
        for each in (before, raising, after):
            halfclose.unregister(each)
    for tracer in (before, after):
        heard = [what for what, _, _ in tracer.of(client.transport)]
        assert heard == ["made", "half", "half", "lost"]


def test_where_connection_made_raises(tracer: Tracer) -> None:
    class Bad(Protocol):
        def connectionMade(self) -> None:
            raise ValueError("made")

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            with pytest.raises(ValueError, match="made"):
                await backend.connect(listener.endpoint, Bad)
            await until(backend, lambda: len([c for c in tracer.calls if c[0] == "lost"]) == 2)

    run(main, variant="anyio+asyncio")
    bad = [call for call in tracer.calls if isinstance(call[2], ValueError)]
    assert [call[0] for call in bad] == ["lost"]


def test_registering_while_connections_are_open() -> None:
    tracer = Tracer()

    async def main(backend: Backend) -> Recorder:
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            halfclose.register(tracer)
            assert isinstance(client, Recorder)
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
            halfclose.unregister(tracer)
            return client

    client = run(main, variant="anyio+asyncio")
    assert [what for what, _, _ in tracer.of(client.transport)] == ["half", "half", "lost"]


def test_a_hook_that_is_a_module_function_and_takes_no_arguments() -> None:
    heard = []

    class Lazy:
        @staticmethod
        @hookimpl
        def halfclose_connection_lost() -> None:
            heard.append(1)

    lazy = Lazy()
    halfclose.register(lazy, "lazy")
    try:
        with pytest.raises(ValueError, match="lazy"):
            halfclose.register(Lazy(), "lazy")
        run(exchange, variant="anyio+asyncio")
    finally:
        halfclose.unregister(lazy)
    assert heard == [1, 1]


def test_unregistering_what_is_not_registered() -> None:
    with pytest.raises(ValueError, match="not registered"):
        halfclose.unregister(object())
