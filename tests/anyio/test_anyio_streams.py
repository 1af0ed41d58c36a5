"""serve_stream over whatever anyio calls a stream."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
import uvloop
from anyio.streams.stapled import StapledByteStream, StapledObjectStream
from anyio.streams.tls import TLSListener, TLSStream
from core.streams import MEGABYTE, Big, Sender, read_all, soon
from core.support import EchoBack, Recorder, descriptors, python
from halfclose import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionOptions,
    HalfCloseTimeout,
    Protocol,
    Unsupported,
)
from halfclose_anyio import serve_stream

T = TypeVar("T")

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"loop_factory": uvloop.new_event_loop}),
    "trio": ("trio", {}),
}

pytestmark = pytest.mark.parametrize("loop", LOOPS)


def program(loop: str, main: Callable[[], Awaitable[T]], limit: float = 20.0) -> T:
    async def limited() -> T:
        with anyio.fail_after(limit):
            return await main()

    library, options = LOOPS[loop]
    return anyio.run(limited, backend=library, backend_options=options)


@contextlib.asynccontextmanager
async def raw_pair() -> AsyncIterator[tuple[anyio.abc.SocketStream, socket.socket]]:
    """An anyio TCP stream, and the plain blocking socket at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = await anyio.connect_tcp(*server.getsockname())
        raw, _ = server.accept()
    with raw:
        raw.settimeout(10)
        yield stream, raw


# -- sockets -----------------------------------------------------------------------------------


def test_a_tcp_stream(loop: str) -> None:
    async def main() -> None:
        async with raw_pair() as (stream, raw):
            protocol = Sender()
            async with anyio.create_task_group() as group:
                group.start_soon(serve_stream, stream, protocol)
                found = await read_all(raw)
                assert found == b"y" * MEGABYTE
                # The peer may see our end a turn before we hear that it was sent.
                with anyio.fail_after(10):
                    while "write" not in protocol.events:
                        await anyio.lowlevel.checkpoint()
                assert protocol.events == ["made", "write"]
                raw.sendall(b"last words")
                raw.shutdown(socket.SHUT_WR)
            assert protocol.data == b"last words"
            assert protocol.events == ["made", "write", "data", "read", "lost"]
            assert isinstance(protocol.reason, ConnectionDone)
            assert str(protocol.transport.getPeer()).startswith("tcp:127.0.0.1:")
            with pytest.raises(anyio.ClosedResourceError):
                await stream.send(b"x")

    program(loop, main)


def test_a_listener_of_the_programs_own(loop: str) -> None:
    async def main() -> None:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)

        async def handler(stream: anyio.abc.SocketStream) -> None:
            await serve_stream(stream, EchoBack())

        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, handler)
            for _ in range(3):
                async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                    client = Sender()
                    await serve_stream(stream, client)
                    assert client.data == b"y" * MEGABYTE
                    assert isinstance(client.reason, ConnectionDone)
            group.cancel_scope.cancel()

    program(loop, main)


def test_a_unix_stream(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        listener = await anyio.create_unix_listener(tmp_path / "sock")

        async def handler(stream: anyio.abc.SocketStream) -> None:
            await serve_stream(stream, EchoBack())

        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, handler)
            client = Sender()
            await serve_stream(await anyio.connect_unix(tmp_path / "sock"), client)
            assert client.data == b"y" * MEGABYTE
            assert client.events[-2:] == ["read", "lost"]
            assert client.events.count("write") == 1
            assert isinstance(client.reason, ConnectionDone)
            group.cancel_scope.cancel()

    program(loop, main)


def test_a_reset(loop: str) -> None:
    async def main() -> None:
        async with raw_pair() as (stream, raw):
            protocol = Recorder()
            async with anyio.create_task_group() as group:
                group.start_soon(serve_stream, stream, protocol)
                await soon(lambda: protocol.events)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                raw.close()
            assert protocol.events == ["made", "lost"]
            assert type(protocol.reason) is ConnectionLost

    program(loop, main)


def test_it_returns_only_when_the_peers_input_is_drained(loop: str) -> None:
    """END-01: the peer is still uploading, and reads the whole reply all the same."""

    class Reply(Recorder):
        def dataReceived(self, data: bytes) -> None:
            if not self.data:
                self.transport.write(b"r" * (4 * MEGABYTE))
                self.transport.loseConnection()
            self.data += data

    async def main() -> None:
        async with raw_pair() as (stream, raw):
            protocol = Reply()

            def peer() -> bytes:
                raw.sendall(b"u" * (8 * MEGABYTE))
                raw.shutdown(socket.SHUT_WR)
                found = bytearray()
                while data := raw.recv(1 << 16):
                    found += data
                return bytes(found)

            async with anyio.create_task_group() as group:
                group.start_soon(serve_stream, stream, protocol)
                assert await anyio.to_thread.run_sync(peer) == b"r" * (4 * MEGABYTE)
            assert isinstance(protocol.reason, ConnectionDone)

    program(loop, main)


def test_the_options_are_used(loop: str) -> None:
    async def main() -> None:
        async with raw_pair() as (stream, raw):
            protocol = Recorder()
            raw.shutdown(socket.SHUT_WR)
            await serve_stream(stream, protocol, ConnectionOptions(half_close_timeout=0.05))
            assert type(protocol.reason) is HalfCloseTimeout

    program(loop, main)


# -- cancelled ---------------------------------------------------------------------------------


@pytest.mark.parametrize("closing", [None, "loseWriteConnection", "loseConnection"])
def test_cancelled_it_resets(loop: str, closing: str | None) -> None:
    """FLU-05: the raw peer never sees a clean end of truncated data."""

    async def main() -> None:
        async with raw_pair() as (stream, raw):
            protocol = Big(closing)
            begun = anyio.Event()

            async def reader() -> None:
                await anyio.to_thread.run_sync(raw.recv, 1 << 16)
                begun.set()

            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(serve_stream, stream, protocol)
                    group.start_soon(reader)
                    await begun.wait()
                    scope.cancel()
            assert scope.cancelled_caught
            assert await read_all(raw) is None
            assert protocol.events == ["made", "lost"]
            assert type(protocol.reason) is ConnectionAborted

    program(loop, main)


def sockets() -> int:
    """How many sockets this process holds."""
    return sum(what.startswith("socket:") for what in descriptors().values())


def test_cancelled_before_it_begins(loop: str) -> None:
    async def main() -> None:
        before = sockets()
        async with raw_pair() as (stream, raw):
            protocol = Recorder()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await serve_stream(stream, protocol)
            assert scope.cancelled_caught
            assert protocol.events in ([], ["made", "lost"])
            # Owned from the call on: it must be closed, and not cleanly.
            assert await read_all(raw) is None
        await soon(lambda: sockets() <= before)

    program(loop, main)


def test_cancelled_while_it_drains(loop: str) -> None:
    """The protocol is done, its peer never ends; the cancellation is prompt."""

    class Bye(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            self.transport.write(b"bye")
            self.transport.loseConnection()

    async def main() -> None:
        async with raw_pair() as (stream, raw):
            protocol = Bye()
            options = ConnectionOptions(linger_timeout=3600)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(serve_stream, stream, protocol, options)
                    await soon(lambda: protocol.reason)
                    assert await anyio.to_thread.run_sync(raw.recv, 100) == b"bye"
                    scope.cancel()
            assert protocol.events == ["made", "lost"]
            assert isinstance(protocol.reason, ConnectionDone)

    program(loop, main)


def test_a_task_is_cancelled_by_asyncio(loop: str) -> None:
    if loop == "trio":
        pytest.skip("asyncio's own cancellation")
    import asyncio

    async def main() -> None:
        async with raw_pair() as (stream, raw):
            protocol = Recorder()
            task = asyncio.ensure_future(serve_stream(stream, protocol))
            await soon(lambda: protocol.events)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert type(protocol.reason) is ConnectionAborted
            assert await read_all(raw) is None
            assert len(asyncio.all_tasks()) == 1

    program(loop, main)


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "protocol", [None, 1, Recorder, "x"], ids=["none", "number", "class", "text"]
)
def test_what_is_no_protocol(loop: str, protocol: Any) -> None:
    async def main() -> None:
        async with raw_pair() as (stream, raw):
            with pytest.raises(TypeError, match="Protocol"):
                await serve_stream(stream, protocol)
            # The stream is left open.
            await stream.send(b"still")
            assert raw.recv(100) == b"still"
            await stream.aclose()

    program(loop, main)


def test_no_loop_runs(loop: str) -> None:
    assert loop
    coroutine = serve_stream(None, Recorder())
    with pytest.raises(RuntimeError):
        coroutine.send(None)


@pytest.mark.parametrize("event", ["connectionMade", "dataReceived", "readConnectionLost"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_fatal_event_is_raised_bare(loop: str, event: str, error: type[BaseException]) -> None:
    raised = error("mine")

    class Bad(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            if event == "connectionMade":
                raise raised

        def dataReceived(self, data: bytes) -> None:
            if event == "dataReceived":
                raise raised

        def readConnectionLost(self) -> None:
            raise raised

    async def main() -> None:
        async with raw_pair() as (stream, raw):
            raw.sendall(b"x")
            raw.shutdown(socket.SHUT_WR)
            protocol = Bad()
            with pytest.raises(error) as caught:
                await serve_stream(stream, protocol)
            assert caught.value is raised
            assert protocol.reason is raised
            assert protocol.events == ["made", "lost"]
            assert await read_all(raw) is None
        # And the program goes on.
        await anyio.sleep(0.001)

    program(loop, main)


@pytest.mark.parametrize("event", ["connectionMade", "dataReceived", "connectionLost"])
def test_an_event_that_raises_is_logged_and_ends_its_connection_only(
    loop: str, event: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            if event == "connectionMade":
                raise ZeroDivisionError

        def dataReceived(self, data: bytes) -> None:
            if event == "dataReceived":
                raise ZeroDivisionError
            self.transport.loseConnection()

        def connectionLost(self, reason: BaseException) -> None:
            super().connectionLost(reason)
            if event == "connectionLost":
                raise ZeroDivisionError

    async def main() -> None:
        async with raw_pair() as (stream, raw):
            raw.sendall(b"x")
            raw.shutdown(socket.SHUT_WR)
            protocol = Bad()
            await serve_stream(stream, protocol)
            assert protocol.events == ["made", "lost"]
            if event != "connectionLost":
                assert isinstance(protocol.reason, ZeroDivisionError)

    program(loop, main)
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(errors) == 1


# -- TLS ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
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
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(certificate))
    return server, client


def test_tls(loop: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """It carries bytes both ways and says that it cannot half-close."""
    server_context, client_context = contexts

    async def main() -> None:
        plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = plain.extra(anyio.abc.SocketAttribute.local_port)
        listener = TLSListener(plain, server_context)
        servers: list[Recorder] = []

        class Server(Recorder):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                if len(self.data) == MEGABYTE:
                    self.transport.write(self.data)
                    with pytest.raises(Unsupported):
                        self.transport.loseWriteConnection()
                    assert self.transport.state.value == "open"
                    self.transport.loseConnection()

        async def handler(stream: TLSStream) -> None:
            servers.append(Server())
            await serve_stream(stream, servers[-1])

        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, handler)
            below = await anyio.connect_tcp("127.0.0.1", port)
            stream = await TLSStream.wrap(
                below, server_side=False, hostname="localhost", ssl_context=client_context
            )

            class Client(Recorder):
                def connectionMade(self) -> None:
                    super().connectionMade()
                    self.transport.write(b"z" * MEGABYTE)

                def readConnectionLost(self) -> None:
                    super().readConnectionLost()
                    self.transport.loseConnection()

            client = Client()
            await serve_stream(stream, client)
            assert client.data == b"z" * MEGABYTE
            assert client.events == ["made", "data", "read", "lost"]
            assert isinstance(client.reason, ConnectionDone)
            await soon(lambda: servers[0].reason)
            assert servers[0].events == ["made", "data", "lost"]
            assert isinstance(servers[0].reason, ConnectionDone)
            group.cancel_scope.cancel()

    program(loop, main)


def test_tls_whose_peer_never_answers_the_close(
    loop: str, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """A peer that stays and says nothing cannot keep serve_stream for ever."""
    server_context, client_context = contexts

    class Bye(Recorder):
        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            self.transport.write(b"bye")
            self.transport.loseConnection()

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            stream = await anyio.connect_tcp(*server.getsockname())
            raw, _ = server.accept()

        def peer() -> None:
            raw.settimeout(10)
            wrapped = client_context.wrap_socket(
                raw, server_hostname="localhost", suppress_ragged_eofs=False
            )
            stack.callback(wrapped.close)
            wrapped.sendall(b"x")
            assert wrapped.recv(100) == b"bye"

        with raw, contextlib.ExitStack() as stack:
            protocol = Bye()
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.to_thread.run_sync, peer)
                wrapped = await TLSStream.wrap(stream, server_side=True, ssl_context=server_context)
                await serve_stream(wrapped, protocol, ConnectionOptions(linger_timeout=0.2))
            assert protocol.events == ["made", "data", "lost"]
            assert isinstance(protocol.reason, ConnectionDone)

    program(loop, main)


# -- streams without a socket ------------------------------------------------------------------


def memory_pair(size: float = 0) -> tuple[Any, Any]:
    send_one, receive_one = anyio.create_memory_object_stream[bytes](size)
    send_two, receive_two = anyio.create_memory_object_stream[bytes](size)
    return (
        StapledObjectStream(send_one, receive_two),
        StapledObjectStream(send_two, receive_one),
    )


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_memory_streams(loop: str, size: int) -> None:
    async def main() -> None:
        ours, theirs = memory_pair(size)
        one, two = Sender(), EchoBack()
        async with anyio.create_task_group() as group:
            group.start_soon(serve_stream, ours, one)
            group.start_soon(serve_stream, theirs, two)
        assert one.data == b"y" * MEGABYTE
        assert one.events[-2:] == ["read", "lost"]
        assert isinstance(one.reason, ConnectionDone)
        assert one.transport.getPeer() is not None

    program(loop, main)


def test_a_memory_stream_whose_other_end_is_closed(loop: str) -> None:
    async def main() -> None:
        ours, theirs = memory_pair()
        protocol = Recorder()
        async with anyio.create_task_group() as group:
            group.start_soon(serve_stream, ours, protocol)
            await theirs.send(b"x")
            await soon(lambda: protocol.data)
            await theirs.aclose()
            await soon(lambda: "read" in protocol.events)
            protocol.transport.write(b"into nothing")
        assert protocol.events == ["made", "data", "read", "lost"]
        assert type(protocol.reason) is ConnectionLost

    program(loop, main)


def test_empty_items_are_not_delivered(loop: str) -> None:
    """EVT-09, where a stream of objects can hold empty bytes."""

    class Strict(Recorder):
        def dataReceived(self, data: bytes) -> None:
            assert data
            super().dataReceived(data)

        def readConnectionLost(self) -> None:
            super().readConnectionLost()
            self.transport.loseConnection()

    async def main() -> None:
        ours, theirs = memory_pair(10)
        for item in (b"", b"a", b"", b"", b"b", b""):
            await theirs.send(item)
        await theirs.send_eof()
        protocol = Strict()
        await serve_stream(ours, protocol)
        assert protocol.data == b"ab"
        assert protocol.events == ["made", "data", "read", "lost"]
        await theirs.aclose()

    program(loop, main)


def test_a_cancelled_memory_stream(loop: str) -> None:
    async def main() -> None:
        ours, theirs = memory_pair()
        protocol = Sender()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(serve_stream, ours, protocol)
                await soon(lambda: protocol.events)
                scope.cancel()
        assert scope.cancelled_caught
        assert protocol.events == ["made", "lost"]
        assert type(protocol.reason) is ConnectionAborted
        await theirs.aclose()

    program(loop, main)


def test_a_process(loop: str) -> None:
    """The pipes of `cat`: its input ends alone, its output goes on, then ends too."""

    async def main() -> None:
        async with await anyio.open_process(["cat"], stderr=None) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            protocol = Sender()
            await serve_stream(StapledByteStream(process.stdin, process.stdout), protocol)
            assert protocol.data == b"y" * MEGABYTE
            assert "write" in protocol.events
            assert protocol.events[-2:] == ["read", "lost"]
            assert isinstance(protocol.reason, ConnectionDone)
            assert await process.wait() == 0

    program(loop, main)


def test_a_process_that_goes_away(loop: str) -> None:
    async def main() -> None:
        async with await anyio.open_process(["sh", "-c", "echo bye"], stderr=None) as process:
            assert process.stdin is not None
            assert process.stdout is not None

            class Client(Recorder):
                def readConnectionLost(self) -> None:
                    super().readConnectionLost()
                    self.transport.write(b"x" * MEGABYTE)
                    self.transport.loseConnection()

            protocol = Client()
            await serve_stream(StapledByteStream(process.stdin, process.stdout), protocol)
            assert protocol.data == b"bye\n"
            assert protocol.events == ["made", "data", "read", "lost"]
            assert type(protocol.reason) is ConnectionLost
            await process.wait()

    program(loop, main)


class OneWay(anyio.abc.ByteStream):
    """A stream whose send_eof is not implemented."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.ended = anyio.Event()
        self.closed = 0

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await self.ended.wait()
        raise anyio.EndOfStream

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent += item

    async def send_eof(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.closed += 1
        await anyio.lowlevel.checkpoint()


def test_a_stream_that_does_not_implement_send_eof(loop: str) -> None:
    """It fails that connection, and hangs nothing."""

    async def main() -> None:
        stream, protocol = OneWay(), Sender()
        await serve_stream(stream, protocol)
        assert stream.sent == b"y" * MEGABYTE
        assert protocol.events[-1] == "lost"
        assert stream.closed
        assert isinstance(protocol.reason, ConnectionLost)

    program(loop, main)


@pytest.mark.parametrize("method", ["receive", "send", "send_eof", "aclose"])
def test_a_stream_with_a_defect(loop: str, method: str, caplog: pytest.LogCaptureFixture) -> None:
    """ERR-12: it may say anything; the protocol hears the end, and nothing hangs."""

    class Defective(OneWay):
        pass

    async def bad(self: object, *args: object) -> None:
        raise ZeroDivisionError("in the stream")

    setattr(Defective, method, bad)

    class Ending(Sender):
        def writeConnectionLost(self) -> None:
            super().writeConnectionLost()
            self.transport.loseConnection()

    async def main() -> None:
        stream, protocol = Defective(), Ending()
        stream.ended.set()
        if method == "aclose":

            async def fine() -> None:
                pass

            stream.send_eof = fine  # type: ignore[method-assign]
        try:
            await serve_stream(stream, protocol)
        except Exception as error:
            assert not hasattr(error, "exceptions"), f"in a group: {error!r}"  # noqa: PT017
            raise
        assert protocol.events[-1] == "lost"
        assert protocol.events.count("lost") == 1

    program(loop, main)


# -- other -------------------------------------------------------------------------------------


def test_many_at_once_leave_nothing(loop: str) -> None:
    async def main() -> None:
        before = len(descriptors())
        for _ in range(3):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    ours, theirs = memory_pair()
                    group.start_soon(serve_stream, ours, Sender())
                    group.start_soon(serve_stream, theirs, EchoBack())
        assert len(descriptors()) <= before + 1

    program(loop, main)


def test_a_keyboard_interrupt_of_an_event_ends_the_program(loop: str) -> None:
    """trio and anyio with strict exception groups, in a fresh interpreter."""
    library = "trio" if loop == "trio" else "asyncio"
    factory = "{'loop_factory': __import__('uvloop').new_event_loop}" if loop == "uvloop" else "{}"
    out = python(
        f"""
        import anyio, halfclose, socket
        from halfclose_anyio import serve_stream

        class Bad(halfclose.Protocol):
            def dataReceived(self, data):
                raise KeyboardInterrupt("mine")

        async def main():
            with socket.create_server(("127.0.0.1", 0)) as server:
                stream = await anyio.connect_tcp(*server.getsockname())
                raw, _ = server.accept()
            with raw:
                raw.sendall(b"x")
                await serve_stream(stream, Bad())

        try:
            anyio.run(main, backend={library!r}, backend_options={factory})
        except BaseException as error:
            print(type(error).__name__, error)
        """
    )
    assert out == "KeyboardInterrupt mine\n"


def test_the_protocol_may_be_plain(loop: str) -> None:
    class Upper(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data.upper())

    async def main() -> None:
        async with raw_pair() as (stream, raw):
            raw.sendall(b"abc")
            raw.shutdown(socket.SHUT_WR)
            await serve_stream(stream, Upper())
            assert await read_all(raw) == b"ABC"

    program(loop, main)


def test_the_class_in_place_of_a_protocol(loop: str) -> None:
    async def main() -> None:
        async with raw_pair() as (stream, _):
            anything: Any = Recorder
            with pytest.raises(TypeError, match="call it, and pass the protocol that it makes"):
                await serve_stream(stream, anything)
            await stream.aclose()

    program(loop, main)
