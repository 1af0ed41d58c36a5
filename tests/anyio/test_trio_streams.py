"""serve_stream over what trio itself calls a stream."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
import trio.testing
from core.streams import MEGABYTE, Big, Sender, read_all, soon
from core.support import EchoBack, Recorder
from halfclose import (
    TCP,
    Capabilities,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    Unsupported,
)
from halfclose_anyio import serve_stream


def program(main: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        with trio.fail_after(20):
            await main()

    trio.run(limited)


@contextlib.asynccontextmanager
async def raw_pair() -> AsyncIterator[tuple[trio.SocketStream, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", server.getsockname()[1])
        raw, _ = server.accept()
    with raw:
        raw.settimeout(10)
        yield stream, raw


def as_it_is(stream: trio.SocketStream) -> Any:
    return stream


def stapled(stream: trio.SocketStream) -> Any:
    return trio.StapledStream(stream, stream)


each_form = pytest.mark.parametrize("form", [as_it_is, stapled])


@each_form
def test_both_halves_end_alone(form: Callable[[trio.SocketStream], Any]) -> None:
    async def main() -> None:
        async with raw_pair() as (stream, raw):
            protocol = Sender()
            addresses = raw.getsockname(), raw.getpeername()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_stream, form(stream), protocol)
                assert await read_all(raw) == b"y" * MEGABYTE
                await soon(lambda: "write" in protocol.events)
                raw.sendall(b"last words")
                raw.shutdown(socket.SHUT_WR)
            assert protocol.data == b"last words"
            assert protocol.events == ["made", "write", "data", "read", "lost"]
            assert isinstance(protocol.reason, ConnectionDone)
            assert protocol.transport.getPeer() == TCP(*addresses[0])
            assert protocol.transport.getHost() == TCP(*addresses[1])
            assert protocol.transport.capabilities == Capabilities()
            with pytest.raises(trio.ClosedResourceError):
                await stream.send_all(b"x")

    program(main)


@each_form
def test_cancelled_it_resets(form: Callable[[trio.SocketStream], Any]) -> None:
    """The peer never sees a clean end of truncated data."""

    async def main() -> None:
        async with raw_pair() as (stream, raw):
            protocol = Big("loseConnection")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_stream, form(stream), protocol)
                await trio.to_thread.run_sync(raw.recv, 1 << 16)
                nursery.cancel_scope.cancel()
            assert await read_all(raw) is None
            assert type(protocol.reason) is ConnectionAborted

    program(main)


@each_form
def test_a_reset_of_the_peer(form: Callable[[trio.SocketStream], Any]) -> None:
    async def main() -> None:
        async with raw_pair() as (stream, raw):
            protocol = Recorder()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_stream, form(stream), protocol)
                await soon(lambda: protocol.events)
                assert protocol.transport.getHandle() is not None
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                raw.close()
            assert protocol.events == ["made", "lost"]
            assert type(protocol.reason) is ConnectionLost
            assert isinstance(protocol.reason.__cause__, ConnectionResetError)

    program(main)


def test_while_reading_is_paused_nothing_is_read() -> None:
    class Paused(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.pauseProducing()

    async def main() -> None:
        async with raw_pair() as (stream, raw):
            protocol = Paused()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_stream, stream, protocol)
                await soon(lambda: protocol.events)
                raw.sendall(b"x" * 1000)
                raw.shutdown(socket.SHUT_WR)
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert protocol.events == ["made"]
                protocol.transport.resumeProducing()
                await soon(lambda: "read" in protocol.events)
                assert protocol.events == ["made", "data", "read"]
                assert len(protocol.data) == 1000
                protocol.transport.loseConnection()

    program(main)


def test_a_unix_stream(tmp_path: Path) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            protocol = EchoBack()
            theirs.sendall(b"hello")
            theirs.shutdown(socket.SHUT_WR)
            await serve_stream(trio.SocketStream(trio.socket.from_stdlib_socket(ours)), protocol)
            assert await read_all(theirs) == b"hello"
            assert protocol.transport.capabilities == Capabilities(can_reset=False)

    program(main)


def test_two_sockets_in_one_stream() -> None:
    """A reset goes out on the one on which we send."""

    async def main() -> None:
        async with raw_pair() as (out, reader), raw_pair() as (into, writer):
            protocol = Sender()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_stream, trio.StapledStream(out, into), protocol)
                assert await read_all(reader) == b"y" * MEGABYTE
                writer.sendall(b"x")
                writer.shutdown(socket.SHUT_WR)
            assert protocol.data == b"x"
            assert isinstance(protocol.reason, ConnectionDone)
        async with raw_pair() as (out, reader), raw_pair() as (into, writer):
            other = Recorder()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_stream, trio.StapledStream(out, into), other)
                await soon(lambda: other.events)
                other.transport.write(b"x" * (32 * MEGABYTE))
                other.transport.abortConnection()
            assert await read_all(reader) is None
            assert not other.transport.capabilities.keeps_input

    program(main)


def test_streams_without_a_socket() -> None:
    """Trio's in memory: one that can end its half, and one that cannot."""

    async def main() -> None:
        ours, theirs = trio.testing.memory_stream_pair()
        one, two = Sender(), EchoBack()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_stream, ours, one)
            nursery.start_soon(serve_stream, theirs, two)
        assert one.data == b"y" * MEGABYTE
        assert isinstance(one.reason, ConnectionDone)
        assert not one.transport.capabilities.can_reset

    program(main)


def test_a_process() -> None:
    """The pipes of `cat`, stapled: its input ends alone."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            cat = partial(trio.run_process, ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            process = await nursery.start(cat)
            protocol = Sender()
            await serve_stream(process.stdio, protocol)
            assert protocol.data == b"y" * MEGABYTE
            assert protocol.events[-2:] == ["read", "lost"]
            assert "write" in protocol.events

    program(main)


def test_tls(tmp_path: Path) -> None:
    """It says that it cannot half-close, and carries bytes both ways."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(certificate, key)
    client_context = ssl.create_default_context(cafile=str(certificate))

    class Server(Recorder):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            if len(self.data) == MEGABYTE:
                self.transport.write(bytes(self.data))
                with pytest.raises(Unsupported):
                    self.transport.loseWriteConnection()
                self.transport.loseConnection()

    class Client(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.write(b"z" * MEGABYTE)

        def readConnectionLost(self) -> None:
            super().readConnectionLost()
            self.transport.loseConnection()

    async def main() -> None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        below = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        accepted = await listener.accept()
        await listener.aclose()
        ours = trio.SSLStream(below, client_context, server_hostname="localhost")
        theirs = trio.SSLStream(accepted, server_context, server_side=True)
        client, server = Client(), Server()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_stream, theirs, server)
            nursery.start_soon(serve_stream, ours, client)
        assert client.data == b"z" * MEGABYTE
        assert client.events == ["made", "data", "read", "lost"]
        for protocol in (client, server):
            assert isinstance(protocol.reason, ConnectionDone)
            can = protocol.transport.capabilities
            assert can == Capabilities(can_half_close=False, keeps_input=False)

    program(main)


# -- what is no stream -------------------------------------------------------------------------


async def wrong(stream: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        await serve_stream(stream, Recorder())


def test_what_asyncio_calls_streams() -> None:
    """They are not what is taken, and stay open."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            reader, writer = await asyncio.open_connection(*server.getsockname())
            raw, _ = server.accept()
        with raw:
            for what in ((reader, writer), reader, writer, writer.transport):
                await wrong(what, r"anyio\.abc\.ByteStream.*trio\.abc\.Stream.*open_backend")
            writer.write(b"open")
            assert raw.recv(100) == b"open"
            writer.close()
            await writer.wait_closed()

    asyncio.run(main())


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_what_is_no_stream_at_all(loop: str) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            await wrong(ours, "from_socket")
            ours.send(b"open")
            assert theirs.recv(100) == b"open"
        for what in (None, "tcp:x:1", object(), (), anyio.abc.ByteStream, Recorder()):
            await wrong(what, r"serve_stream takes an anyio\.abc\.ByteStream")

    anyio.run(main, backend=loop)


def test_half_a_stream() -> None:
    async def main() -> None:
        sending, receiving = trio.testing.memory_stream_one_way_pair()
        for half in (sending, receiving):
            await wrong(half, "both ways")
        await sending.send_all(b"open")
        assert await receiving.receive_some() == b"open"

    program(main)


def test_a_stream_of_trios_where_trio_does_not_run() -> None:
    stream, _ = trio.testing.memory_stream_pair()

    async def main() -> None:
        await wrong(stream, "trio does not run here")

    asyncio.run(main())
