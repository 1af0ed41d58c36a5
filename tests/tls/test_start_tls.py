"""`Transport.startTLS` on a live connection, on both sides."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import halfclose
import pytest
from core.support import VARIANTS, Recorder, python, until
from halfclose import (
    Backend,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionOptions,
    Protocol,
    TLSOptions,
    Transport,
    TruncatedError,
    Unsupported,
    hookimpl,
)
from halfclose.memory.conditions import BUFFER
from halfclose.testing import network
from tls.pairs import (
    NAME,
    Noted,
    client_tls,
    each_variant,
    pair,
    place,
    run,
    server_tls,
    trusting,
    with_certificate,
)

BIG = b"plain " * 500_000
"""More than any kernel takes at once."""


class Asking(Noted):
    """A client that asks for TLS, and begins with it once the server has agreed."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(b"STARTTLS\n")

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self.data == b"go\n":
            self.transport.startTLS(client_tls())
            self.transport.write(b"from the client")


class Agreeing(Noted):
    """A server that begins with TLS once the client asks for it."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        line, newline, rest = bytes(self.data).partition(b"\n")
        if line == b"STARTTLS" and newline:
            self.transport.write(b"go\n")
            self.transport.startTLS(server_tls(), server_side=True, received=rest)
            self.transport.write(b"from the server")


@each_variant
def test_in_data_received(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend, Asking, Agreeing) as (client, server):
            await until(backend, lambda: client.data == b"from the server")
            await until(backend, lambda: server.data == b"from the client")
            for each in client, server:
                assert each.events == ["made", "data", "handshake", "data"]
                assert each.transport.tls is not None
                each.transport.loseWriteConnection()
            assert (client.plain, server.plain) == (b"go\n", b"STARTTLS\n")
            for each in client, server:
                reason = await each.transport.whenClosed()
                assert isinstance(reason, ConnectionDone)
                assert sorted(each.events[4:]) == ["lost", "read", "write"]

    run(main, variant=variant)


def start(client: Protocol, server: Protocol, **options: Any) -> None:
    """Begin with TLS on both sides."""
    client.transport.startTLS(client_tls(**options))
    server.transport.startTLS(server_tls(**options), server_side=True)


def in_order(side: Noted) -> list[str]:
    """The events of *side*, without the end of our half. The peer may answer before that is told,
    where a task of the framework writes."""
    assert side.events.count("write") == 1
    return [event for event in side.events if event != "write"]


async def over(backend: Backend, *sides: Noted) -> None:
    """Wait until each of *sides* was told that its handshake is over."""
    await until(backend, lambda: all("handshake" in side.events for side in sides))


@each_variant
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_outside_of_an_event_and_half_closed(variant: str, version: ssl.TLSVersion) -> None:
    async def main(backend: Backend) -> None:
        context = trusting()
        context.maximum_version = version
        async with pair(backend) as (client, server):
            server.transport.startTLS(server_tls(), server_side=True)
            client.transport.startTLS(TLSOptions(context, NAME))
            assert client.transport.tls is None
            client.transport.write(b"question")
            client.transport.loseWriteConnection()
            await until(backend, lambda: "read" in server.events)
            assert server.events == ["made", "handshake", "data", "read"]
            server.transport.write(b"answer")
            server.transport.loseConnection()
            reason = await client.transport.whenClosed()
            assert isinstance(reason, ConnectionDone)
            assert in_order(client) == ["made", "handshake", "data", "read", "lost"]
            assert client.data == b"answer"

    run(main, variant=variant)


@each_variant
@pytest.mark.parametrize("starts_first", ["client", "server"])
def test_what_was_written_before_goes_out_in_plain(variant: str, starts_first: str) -> None:
    """Also if most of it still waits, because the peer does not read."""

    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            sides = (client, server) if starts_first == "client" else (server, client)
            first, second = sides
            second.transport.pauseProducing()
            first.transport.write(BIG)
            options = (client_tls(), server_tls())[:: 1 if first is client else -1]
            first.transport.startTLS(options[0], server_side=first is server)
            first.transport.write(b"secret")
            first.transport.loseWriteConnection()
            found = Splitting(second, options[1], second is server, len(BIG))
            second.transport.resumeProducing()
            await until(backend, lambda: "read" in second.events)
            assert found.plain == BIG
            assert second.data == b"secret"
            assert "data" not in first.events
            await until(backend, lambda: "write" in first.events)

    run(main, variant=variant)


class Splitting:
    """Has *side* begin with TLS after so many bytes, which are `plain` then."""

    def __init__(self, side: Noted, options: TLSOptions, server_side: bool, size: int) -> None:
        self.plain = b""
        received = side.dataReceived

        def split(data: bytes) -> None:
            if self.plain:
                received(data)
                return
            side.data += data
            if len(side.data) >= size:
                self.plain, rest = bytes(side.data[:size]), bytes(side.data[size:])
                side.data.clear()
                side.transport.startTLS(options, server_side=server_side, received=rest)

        side.dataReceived = split  # type: ignore[method-assign]


def test_room_that_came_before_the_event_for_it() -> None:
    """The peer has read what waited, and the channel below has not told of the room yet."""

    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            received = server.dataReceived

            def begin(data: bytes) -> None:
                received(data)
                if not started:
                    started.append(True)
                    client.transport.startTLS(client_tls())

            started: list[bool] = []
            server.dataReceived = begin  # type: ignore[method-assign]
            # So one byte waits, and that fits after the first read.
            client.transport.write(bytes(BUFFER + 1))
            await until(backend, lambda: len(server.data) > BUFFER + 1)
            assert client.transport.failure is None
            # A record of the handshake.
            assert server.data[BUFFER + 1] == 0x16

    run(main, variant="memory")


@each_variant
def test_while_paused(variant: str) -> None:
    """The handshake goes on, and nothing is delivered."""

    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            for side in client, server:
                side.transport.pauseProducing()
            start(client, server)
            client.transport.write(b"from the client")
            server.transport.write(b"from the server")
            await over(backend, client, server)
            client.transport.loseWriteConnection()
            await until(backend, lambda: "write" in client.events)
            assert client.data == server.data == b""
            for side in client, server:
                side.transport.resumeProducing()
            await until(backend, lambda: "read" in server.events)
            await until(backend, lambda: client.data == b"from the server")
            assert server.data == b"from the client"

    run(main, variant=variant)


class Push:
    """Writes until it is paused, so many pieces in all."""

    def __init__(self, side: Protocol, pieces: int) -> None:
        self._transport = side.transport
        self._left = pieces
        self._running = False
        self.pauses = 0
        self.stopped = False

    def resumeProducing(self) -> None:
        self._running = True
        while self._running and self._left:
            self._left -= 1
            self._transport.write(b"p" * 10_000)
        if self._running and not self._left:
            self._transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self._running = False
        self.pauses += 1

    def stopProducing(self) -> None:
        self.stopped = True


class Pull:
    """Writes one piece each time that it is asked, so many in all."""

    def __init__(self, side: Protocol, pieces: int) -> None:
        self._transport = side.transport
        self._left = pieces
        self.stopped = False

    def resumeProducing(self) -> None:
        self._left -= 1
        self._transport.write(b"p" * 10_000)
        if not self._left:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.stopped = True


@each_variant
@pytest.mark.parametrize("kind", [Push, Pull])
@pytest.mark.parametrize("when", ["before", "during"])
def test_with_a_producer(variant: str, kind: type[Push | Pull], when: str) -> None:
    """It produces in TLS, and the end of our half waits for it."""

    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            producer = kind(client, 100)
            if when == "before":
                client.transport.registerProducer(producer, kind is Push)
            start(client, server)
            if when == "during":
                client.transport.registerProducer(producer, kind is Push)
            if kind is Push:
                producer.resumeProducing()
            client.transport.loseWriteConnection()
            await until(backend, lambda: "read" in server.events)
            assert server.data == b"p" * 1_000_000
            assert not producer.stopped
            await until(backend, lambda: "write" in client.events)

    run(main, variant=variant)


@each_variant
def test_a_producer_that_was_paused_goes_on_after_the_backlog_in_plain(variant: str) -> None:
    """Although nobody writes during the handshake."""

    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            producer = Push(client, 100)
            client.transport.registerProducer(producer, True)
            server.transport.pauseProducing()
            size = 0
            while not producer.pauses:
                client.transport.write(b"plain " * 10_000)
                size += 60_000
            client.transport.startTLS(client_tls())
            client.transport.loseWriteConnection()
            Splitting(server, server_tls(), True, size)
            server.transport.resumeProducing()
            await until(backend, lambda: "read" in server.events)
            assert server.data == b"p" * 1_000_000
            assert not producer.stopped

    run(main, variant=variant)


@each_variant
def test_a_producer_that_is_asked_goes_on_after_the_backlog_in_plain(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            producer = Pull(client, 100)
            server.transport.pauseProducing()
            client.transport.write(BIG)
            client.transport.registerProducer(producer, False)
            client.transport.startTLS(client_tls())
            client.transport.loseWriteConnection()
            Splitting(server, server_tls(), True, len(BIG))
            server.transport.resumeProducing()
            await until(backend, lambda: "read" in server.events)
            assert server.data == b"p" * 1_000_000
            assert not producer.stopped

    run(main, variant=variant)


@each_variant
def test_a_proxy_begins_with_tls_on_either_side(variant: str) -> None:
    """A connection that produces for another (PRD-09)."""

    async def main(backend: Backend) -> None:
        async with AsyncExitStack() as stack:
            client, inner = await stack.enter_async_context(pair(backend))
            outer, server = await stack.enter_async_context(pair(backend))
            inner.dataReceived = outer.transport.write  # type: ignore[method-assign]
            inner.readConnectionLost = outer.transport.loseWriteConnection  # type: ignore[method-assign]
            outer.transport.registerProducer(inner.transport, True)
            server.transport.pauseProducing()
            start(client, inner)
            start(outer, server)
            client.transport.write(BIG)
            client.transport.loseWriteConnection()
            await over(backend, client, inner, outer, server)
            server.transport.resumeProducing()
            await until(backend, lambda: "read" in server.events)
            assert server.data == BIG

    run(main, variant=variant)


@each_variant
def test_a_close_waits_for_the_handshake(variant: str) -> None:
    """TLS-15: what was written is sent, and then the end; nothing is told but connectionLost."""

    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            start(client, server)
            client.transport.write(b"bye")
            client.transport.loseConnection()
            reason = await client.transport.whenClosed()
            assert isinstance(reason, ConnectionDone)
            assert client.events == ["made", "lost"]
            await until(backend, lambda: "read" in server.events)
            assert server.events == ["made", "handshake", "data", "read"]
            assert server.data == b"bye"

    run(main, variant=variant)


@each_variant
def test_a_close_without_a_word(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            start(client, server)
            server.transport.loseConnection()
            assert isinstance(await server.transport.whenClosed(), ConnectionDone)
            await until(backend, lambda: "read" in client.events)
            assert client.events == ["made", "handshake", "read"]

    run(main, variant=variant)


@each_variant
def test_an_abort_straight_after_it(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            start(client, server)
            client.transport.abortConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionAborted)
            reason = await server.transport.whenClosed()
            assert isinstance(reason, ConnectionLost)
            assert server.events == ["made", "lost"]
            for side in client, server:
                assert side.transport.tls is None
                assert side.transport.negotiatedProtocol is None
                assert side.transport.getPeerCertificate() is None

    run(main, variant=variant)


@each_variant
def test_when_it_is_too_late(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            client.transport.loseWriteConnection()
            with pytest.raises(RuntimeError, match=r"a half of the connection with .* has ended"):
                client.transport.startTLS(client_tls())
            await until(backend, lambda: "read" in server.events)
            with pytest.raises(RuntimeError, match=r"a half of the connection with .* has ended"):
                server.transport.startTLS(server_tls(), server_side=True)
            server.transport.loseConnection()
            server.transport.startTLS(server_tls(), server_side=True)
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)
            client.transport.startTLS(client_tls())
            assert isinstance(await server.transport.whenClosed(), ConnectionDone)

    run(main, variant=variant)


@each_variant
def test_twice_at_once(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            start(client, server)
            for side in client, server:
                with pytest.raises(RuntimeError, match=r"a TLS handshake with .* goes on"):
                    side.transport.startTLS(client_tls())
            await over(backend, client, server)

    run(main, variant=variant)


REFUSED: list[tuple[Callable[[], dict[str, Any]], type[Exception], str]] = [
    (lambda: {"options": trusting()}, TypeError, "startTLS takes TLSOptions, not"),
    (lambda: {"options": TLSOptions(trusting())}, ValueError, "server_hostname is missing"),
    (lambda: {"options": TLSOptions(with_certificate())}, ValueError, "is for a server"),
    (lambda: {"options": TLSOptions(), "server_side": True}, ValueError, "needs a certificate"),
    (lambda: {"options": client_tls(), "server_side": True}, ValueError, "is for a client"),
    (lambda: {"options": client_tls(), "received": "text"}, TypeError, "received is bytes"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_cannot_be_used_is_refused_before_anything_changes(number: int) -> None:
    arguments, error, words = REFUSED[number]

    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            with pytest.raises(error, match=words):
                client.transport.startTLS(**arguments())
            client.transport.write(b"in plain")
            await until(backend, lambda: server.data == b"in plain")

    run(main, variant="memory")


@each_variant
@pytest.mark.parametrize("inner_is_client", [True, False])
def test_tls_in_tls(variant: str, inner_is_client: bool) -> None:
    """As through an HTTPS proxy; the sides may change."""

    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            start(client, server)
            await over(backend, client, server)
            for side in client, server:
                side.events.clear()
            ends = (client, server) if inner_is_client else (server, client)
            start(*ends, alpn=("inner",))
            ends[0].transport.write(BIG)
            ends[0].transport.loseWriteConnection()
            await until(backend, lambda: "read" in ends[1].events)
            assert ends[1].data == BIG
            assert ends[1].transport.negotiatedProtocol == "inner"
            ends[1].transport.write(BIG)
            ends[1].transport.loseConnection()
            assert isinstance(await ends[0].transport.whenClosed(), ConnectionDone)
            assert isinstance(await ends[1].transport.whenClosed(), ConnectionDone)
            assert in_order(ends[0]) == ["handshake", "data", "read", "lost"]
            assert ends[0].data == BIG

    run(main, variant=variant)


def test_tls_in_tls_over_small_buffers() -> None:
    """All that is written arrives, and both layers end, although little fits at once."""
    data = bytes(range(256)) * 10

    async def main() -> None:
        async with network(buffer=20) as net, pair(net.backend) as (client, server):
            for _ in range(2):
                client.events.clear()
                server.events.clear()
                start(client, server)
                await over(net.backend, client, server)
            client.transport.write(data)
            client.transport.loseWriteConnection()
            await until(net.backend, lambda: "read" in server.events)
            assert server.data == data
            server.transport.write(data)
            server.transport.loseConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)
            assert client.data == data
            assert isinstance(await server.transport.whenClosed(), ConnectionDone)

    asyncio.run(main())


@each_variant
def test_tls_in_tls_begun_in_data_received(variant: str) -> None:
    async def main(backend: Backend) -> None:
        tls = ConnectionOptions(tls=server_tls()), ConnectionOptions(tls=client_tls())
        accepted: list[Agreeing] = []

        def accept() -> Agreeing:
            accepted.append(Agreeing())
            return accepted[-1]

        async with await backend.listen(place(backend), accept, tls[0]) as listener:
            client = await backend.connect(listener.endpoint, Asking, options=tls[1])
            await until(backend, lambda: client.data == b"from the server")
            await until(backend, lambda: accepted[0].data == b"from the client")
            assert client.events == ["made", "handshake", "data", "handshake", "data"]
            client.transport.loseConnection()
            accepted[0].transport.loseConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)

    run(main, variant=variant)


@each_variant
def test_a_certificate_that_is_not_trusted(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            server.transport.startTLS(server_tls(), server_side=True)
            client.transport.startTLS(TLSOptions(_trusting_nobody(), NAME))
            client.transport.write(b"secret")
            reason = await client.transport.whenClosed()
            assert isinstance(reason, ConnectionLost)
            assert isinstance(reason.__cause__, ssl.SSLCertVerificationError)
            assert str(reason) == (
                "the peer's certificate was not accepted: unable to get local issuer certificate"
            )
            assert client.transport.failure is reason
            assert client.events == ["made", "lost"]
            assert client.transport.tls is None
            assert client.transport.getPeerCertificate() is None
            reason = await server.transport.whenClosed()
            assert isinstance(reason, ConnectionLost)
            assert isinstance(reason.__cause__, ssl.SSLError)
            assert str(reason).startswith("the peer ended the TLS with the alert 'unknown ca'")
            assert server.events == ["made", "lost"]

    run(main, variant=variant)


def _trusting_nobody() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@each_variant
@pytest.mark.parametrize("given", ["received", "unread"])
def test_plain_bytes_that_somebody_has_slipped_in(variant: str, given: str) -> None:
    """TLS-16: they are never delivered as if they had been encrypted."""

    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            client.transport.write(b"EVIL\n")
            if given == "unread":
                server.transport.pauseProducing()
            else:
                await until(backend, lambda: server.data)
            received = bytes(server.data)
            server.data.clear()
            server.events.clear()
            server.transport.startTLS(server_tls(), server_side=True, received=received)
            client.transport.startTLS(client_tls())
            client.transport.write(b"secret")
            server.transport.resumeProducing()
            reason = await server.transport.whenClosed()
            assert isinstance(reason.__cause__, ssl.SSLError)
            assert str(reason) == "the peer does not speak TLS (wrong version number)"
            assert server.events == ["lost"]

    run(main, variant=variant)


def test_plain_bytes_that_a_framework_has_read_although_it_was_paused() -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            server.transport.pauseProducing()
            server.transport.received(b"EVIL\n")  # type: ignore[attr-defined]
            start(client, server)
            server.transport.resumeProducing()
            reason = await server.transport.whenClosed()
            assert isinstance(reason.__cause__, ssl.SSLError)
            assert server.events == ["made", "lost"]

    run(main, variant="memory")


@pytest.mark.parametrize("end", ["read_ended", "failed"])
def test_an_end_that_a_framework_has_read_although_it_was_paused(end: str) -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend) as (_, server):
            server.transport.pauseProducing()
            error = [OSError("gone")] if end == "failed" else []
            getattr(server.transport, end)(*error)
            server.transport.startTLS(server_tls(), server_side=True)
            reason = await server.transport.whenClosed()
            assert isinstance(reason, ConnectionLost)
            kind = OSError if end == "failed" else TruncatedError
            assert isinstance(reason.__cause__, kind)
            assert server.events == ["made", "lost"]

    run(main, variant="memory")


@each_variant
@pytest.mark.parametrize("end", ["loseConnection", "abortConnection", "loseWriteConnection"])
def test_a_peer_that_ends_in_the_handshake(variant: str, end: str) -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            client.transport.startTLS(client_tls())
            client.transport.write(b"secret")
            await until(backend, lambda: server.data)
            getattr(server.transport, end)()
            reason = await client.transport.whenClosed()
            assert isinstance(reason, ConnectionLost)
            assert client.events == ["made", "lost"]
            if end == "abortConnection":
                assert isinstance(reason.__cause__, ConnectionError)
            else:
                assert isinstance(reason.__cause__, TruncatedError)
                assert str(reason) == "the peer ended the connection during the TLS handshake"

    run(main, variant=variant)


@each_variant
def test_a_peer_that_is_silent_in_the_handshake(variant: str) -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            client.transport.startTLS(client_tls(handshake_timeout=0.05))
            reason = await client.transport.whenClosed()
            assert isinstance(reason, ConnectionLost)
            assert isinstance(reason.__cause__, TimeoutError)
            assert str(reason) == "the TLS handshake was not over within 0.05 s"
            # And a reset, as for every failure.
            assert isinstance(await server.transport.whenClosed(), ConnectionLost)

    run(main, variant=variant)


@each_variant
def test_leaving_waits_for_the_handshake(variant: str) -> None:
    """END-03: what was written is sent, although the handshake had only begun."""
    sides: list[Noted] = []

    async def main(backend: Backend) -> None:
        async def listen_and_connect() -> tuple[Noted, Noted]:
            accepted: list[Noted] = []

            def accept() -> Noted:
                accepted.append(Noted())
                return accepted[-1]

            listener = await backend.listen(place(backend), accept)
            client = await backend.connect(listener.endpoint, Noted)
            await until(backend, lambda: accepted)
            return client, accepted[0]

        sides.extend(await listen_and_connect())
        start(*sides)
        for side in sides:
            side.transport.write(b"bye")

    run(main, variant=variant)
    for side in sides:
        assert isinstance(side.reason, ConnectionDone)
        assert side.events == ["made", "lost"]


@each_variant
def test_leaving_ends_a_handshake_with_a_silent_peer(variant: str) -> None:
    sides: list[Noted] = []

    async def main(backend: Backend) -> None:
        accepted: list[Noted] = []

        def accept() -> Noted:
            accepted.append(Noted())
            return accepted[-1]

        listener = await backend.listen(place(backend), accept)
        sides.append(await backend.connect(listener.endpoint, Noted))
        sides[0].transport.startTLS(client_tls())

    run(main, variant=variant, options={"grace": 0.05})
    assert isinstance(sides[0].reason, ConnectionLost)
    assert sides[0].events == ["made", "lost"]


class Raising(Noted):
    def handshakeCompleted(self) -> None:
        super().handshakeCompleted()
        raise ValueError("no")


@each_variant
def test_what_handshake_completed_raises_ends_the_connection(
    variant: str, caplog: pytest.LogCaptureFixture
) -> None:
    """ERR-02, as for every event."""

    async def main(backend: Backend) -> None:
        async with pair(backend, Raising) as (client, server):
            start(client, server)
            reason = await client.transport.whenClosed()
            assert isinstance(reason, ValueError)
            assert client.events == ["made", "handshake", "lost"]
            assert isinstance(await server.transport.whenClosed(), ConnectionLost)

    run(main, variant=variant)
    assert "handshakeCompleted" in caplog.text


class Closing(Noted):
    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.loseConnection()


@each_variant
def test_nothing_is_told_of_the_handshake_after_a_close(variant: str) -> None:
    """Only connectionLost follows loseConnection, also if that is called in connectionMade."""

    async def main(backend: Backend) -> None:
        options = ConnectionOptions(tls=server_tls()), ConnectionOptions(tls=client_tls())
        async with await backend.listen(place(backend), Noted, options[0]) as listener:
            client = await backend.connect(listener.endpoint, Closing, options=options[1])
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)
            assert client.events == ["made", "lost"]

    run(main, variant=variant)


class Tracer:
    """Notes what the hooks of a plugin are told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []

    @hookimpl
    def halfclose_connection_made(self, transport: Transport) -> None:
        self.calls.append(("made", transport))

    @hookimpl
    def halfclose_half_closed(self, transport: Transport, side: str) -> None:
        self.calls.append((side, transport))

    @hookimpl
    def halfclose_connection_lost(self, transport: Transport) -> None:
        self.calls.append(("lost", transport))


def test_plugins_are_told_of_one_connection() -> None:
    tracer = Tracer()
    halfclose.register(tracer)

    async def main(backend: Backend) -> None:
        async with pair(backend) as (client, server):
            start(client, server)
            await over(backend, client, server)
            client.transport.loseWriteConnection()
            await until(backend, lambda: "read" in server.events)
            server.transport.loseConnection()
            await client.transport.whenClosed()
        told = [what for what, transport in tracer.calls if transport is client.transport]
        assert told == ["made", "write", "read", "lost"]

    try:
        run(main, variant="memory")
    finally:
        halfclose.unregister(tracer)


@pytest.mark.thorough
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_forked_child_gives_up_a_handshake(variant: str) -> None:
    """ERR-18: the descriptor too, so that the peer sees the end although the child lives."""
    out = python(
        f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from core.support import until
        from tls.pairs import client_tls, pair, run, server_tls

        async def main(backend):
            async with pair(backend) as (client, server):
                client.transport.startTLS(client_tls())
                client.transport.write(b"from the client")
                receive, send = os.pipe()
                child = os.fork()
                if not child:
                    os.close(send)
                    client.transport.write(b"from the child")
                    client.transport.startTLS(client_tls())
                    os.read(receive, 1)
                    os._exit(client.transport.state.value != "closed")
                try:
                    os.close(receive)
                    handle = server.transport
                    received = bytes(server.data)
                    server.data.clear()
                    handle.startTLS(server_tls(), server_side=True, received=received)
                    await until(backend, lambda: server.data == b"from the client")
                    client.transport.loseConnection()
                    await until(backend, lambda: "read" in server.events)
                    server.transport.loseConnection()
                    await client.transport.whenClosed()
                    print("ended")
                finally:
                    os.close(send)
                    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        run(main, variant={variant!r})
        """
    )
    assert out.split() == ["ended", "0"]


def test_a_transport_without_tls_says_so() -> None:
    other = type("Other", (Transport,), dict.fromkeys(Transport.__abstractmethods__))()
    with pytest.raises(Unsupported, match="Other has no TLS"):
        other.startTLS(client_tls())
    assert other.tls is None
    assert other.negotiatedProtocol is None
    assert other.getPeerCertificate() is None


def test_a_protocol_that_listens_to_no_handshake() -> None:
    async def main(backend: Backend) -> None:
        async with pair(backend, Recorder) as (client, server):
            start(client, server)
            client.transport.write(b"hello")
            await until(backend, lambda: server.data == b"hello")
            assert client.events == ["made"]

    run(main, variant="memory")
