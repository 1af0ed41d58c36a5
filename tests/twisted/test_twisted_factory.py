"""as_factory: halfclose protocols behind Twisted's endpoints and wrappers."""

from __future__ import annotations

import logging
import socket
from functools import partial
from pathlib import Path
from typing import Any

import halfclose_twisted
import pytest
from core.support import TWISTED, EchoBack, Recorder, python, run, until
from halfclose import (
    TCP,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionOptions,
    Protocol,
    Unsupported,
)
from halfclose_twisted import as_factory
from twisted.internet import endpoints
from twisted.internet.interfaces import ILoggingContext, IProtocolFactory
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.testing import StringTransport, StringTransportWithDisconnection
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.policies import WrappingFactory
from zope.interface.verify import verifyObject

pytestmark = pytest.mark.parametrize("variant", TWISTED)


async def closed(port: Any) -> None:
    await port.stopListening()


async def serve(backend: Any, factory: Any) -> tuple[Any, int]:
    port = await endpoints.TCP4ServerEndpoint(backend.reactor, 0, interface="127.0.0.1").listen(
        factory
    )
    return port, port.getHost().port


def test_it_is_a_factory(variant: str) -> None:
    async def main(backend: Any) -> None:
        factory = as_factory(EchoBack, reactor=backend.reactor)
        assert verifyObject(IProtocolFactory, factory)
        assert verifyObject(ILoggingContext, factory)
        assert halfclose_twisted.as_factory is as_factory

    run(main, variant=variant)


class TwistedFactory(Factory):
    protocol = TwistedProtocol


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        (None, "is not callable: pass the protocol's class"),
        ("x", "is not callable: pass the protocol's class"),
        (EchoBack(), "is not callable: pass the protocol's class"),
        (TwistedFactory(), r"is a Twisted factory: .* lambda: MyProtocol\(shared\)"),
        (TwistedFactory, r"is a Twisted factory: .* lambda: MyProtocol\(shared\)"),
    ],
    ids=["None", "text", "protocol", "factory", "class of factories"],
)
def test_what_is_no_factory_is_refused_at_once(variant: str, factory: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        as_factory(factory)


class NotedFactory:
    """What makes a protocol, and has no name of its own."""

    def __call__(self) -> EchoBack:
        return EchoBack()


def function() -> EchoBack:
    return EchoBack()


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        (EchoBack, "EchoBack"),
        (function, "function"),
        (partial(EchoBack), "EchoBack"),
        (partial(partial(EchoBack)), "EchoBack"),
        (NotedFactory(), "NotedFactory"),
        (lambda: EchoBack(), "<lambda>"),
    ],
)
def test_its_name_in_twisteds_log(variant: str, factory: Any, name: str) -> None:
    async def main(backend: Any) -> None:
        with capturedLogs() as logs:
            port, number = await serve(backend, as_factory(factory))
            client = await backend.connect(TCP("127.0.0.1", number), Recorder)
            await closed(port)
        assert f"{name} starting on {number}" in [formatEvent(log) for log in logs]
        client.transport.abortConnection()
        await client.transport.whenClosed()

    run(main, variant=variant)


def test_the_name_of_its_connections(variant: str) -> None:
    attached = as_factory(EchoBack).buildProtocol(None)
    assert verifyObject(ILoggingContext, attached)
    assert attached.logPrefix() == "EchoBack"


def test_behind_a_tcp_server_endpoint(variant: str) -> None:
    async def main(backend: Any) -> None:
        port, number = await serve(backend, as_factory(EchoBack))
        client = await backend.connect(TCP("127.0.0.1", number), Recorder)
        client.transport.write(b"x" * 300_000)
        client.transport.loseWriteConnection()
        assert isinstance(await client.transport.whenClosed(), ConnectionDone)
        assert len(client.data) == 300_000
        assert client.events == ["made", "write", "data", "read", "lost"] or (
            client.events == ["made", "data", "write", "data", "read", "lost"]
        )
        await closed(port)

    run(main, variant=variant)


def test_behind_a_unix_server_endpoint(variant: str, tmp_path: Path) -> None:
    async def main(backend: Any) -> None:
        path = str(tmp_path / "sock")
        server = Recorder()
        endpoint = endpoints.UNIXServerEndpoint(backend.reactor, path)
        port = await endpoint.listen(as_factory(lambda: server))
        client = await backend.connect(f"unix:{path}", Recorder)
        client.transport.write(b"hello")
        client.transport.loseWriteConnection()
        await until(backend, lambda: "read" in server.events)
        server.transport.write(b"back")
        server.transport.loseWriteConnection()
        await client.transport.whenClosed()
        assert (bytes(server.data), bytes(client.data)) == (b"hello", b"back")
        await server.transport.whenClosed()
        assert server.events == ["made", "data", "read", "write", "lost"]
        assert isinstance(server.reason, ConnectionDone)
        assert str(server.transport.getHost()).startswith("unix:")
        await closed(port)

    run(main, variant=variant)


def test_behind_client_endpoints(variant: str, tmp_path: Path) -> None:
    async def main(backend: Any) -> None:
        path = str(tmp_path / "sock")
        tcp = await backend.listen("tcp:127.0.0.1:0", EchoBack)
        await backend.listen(f"unix:{path}", EchoBack)
        for endpoint in (
            endpoints.TCP4ClientEndpoint(backend.reactor, "127.0.0.1", tcp.endpoint.port),
            endpoints.UNIXClientEndpoint(backend.reactor, path),
        ):
            attached = await endpoint.connect(as_factory(Recorder))
            client = attached.protocol
            assert isinstance(client, Recorder)
            client.transport.write(b"hello")
            client.transport.loseWriteConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)
            assert client.events == ["made", "write", "data", "read", "lost"]
            assert client.data == b"hello"

    run(main, variant=variant)


def test_a_client_endpoint_that_is_refused(variant: str) -> None:
    async def main(backend: Any) -> None:
        from twisted.internet.error import ConnectionRefusedError

        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            endpoint = endpoints.TCP4ClientEndpoint(
                backend.reactor, "127.0.0.1", sock.getsockname()[1]
            )
            with pytest.raises(ConnectionRefusedError):
                await endpoint.connect(as_factory(Recorder))

    run(main, variant=variant)


def test_the_options_are_used(variant: str) -> None:
    async def main(backend: Any) -> None:
        server = Recorder()
        port, number = await serve(
            backend, as_factory(lambda: server, ConnectionOptions(half_close_timeout=0.05))
        )
        client = await backend.connect(TCP("127.0.0.1", number), Recorder)
        client.transport.loseWriteConnection()
        await until(backend, lambda: server.reason)
        assert type(server.reason).__name__ == "HalfCloseTimeout"
        await closed(port)

    run(main, variant=variant)


@pytest.mark.parametrize("gives", ["raises", "none", "a Twisted protocol"])
def test_a_factory_that_fails_costs_its_connection(
    variant: str, gives: str, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[int] = []

    def factory() -> Any:
        made.append(1)
        if len(made) == 1:
            if gives == "raises":
                raise ZeroDivisionError
            return None if gives == "none" else TwistedProtocol()
        return EchoBack()

    async def main(backend: Any) -> None:
        port, number = await serve(backend, as_factory(factory))
        with socket.create_connection(("127.0.0.1", number)) as raw:
            raw.setblocking(False)
            await until(backend, lambda: ended(raw))
            assert ended(raw) == "reset"
        client = await backend.connect(TCP("127.0.0.1", number), Recorder)
        client.transport.write(b"x")
        client.transport.loseWriteConnection()
        await client.transport.whenClosed()
        assert client.data == b"x"
        await closed(port)

    run(main, variant=variant)
    errors = [r for r in caplog.records if r.name == "halfclose" and r.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert errors[0].exc_info


_seen: dict[int, str] = {}


def ended(raw: socket.socket) -> str | None:
    """How *raw* ended, once it has; it is not asked again."""
    if id(raw) in _seen:
        return _seen[id(raw)]
    try:
        data = raw.recv(1000)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        _seen[id(raw)] = "reset"
    else:
        _seen[id(raw)] = f"data {data!r}" if data else "end"
    return _seen[id(raw)]


def test_abort_and_events_that_raise(variant: str) -> None:
    class Bad(Recorder):
        def dataReceived(self, data: bytes) -> None:
            raise ZeroDivisionError

    async def main(backend: Any) -> None:
        made: list[Recorder] = []

        def factory() -> Recorder:
            made.append(Bad() if len(made) % 2 else Recorder())
            return made[-1]

        port, number = await serve(backend, as_factory(factory))
        for kind in ("abort", "raise"):
            _seen.clear()
            with socket.create_connection(("127.0.0.1", number)) as raw:
                raw.setblocking(False)
                await until(backend, lambda: made and "made" in made[-1].events)
                if kind == "abort":
                    made[-1].transport.abortConnection()
                else:
                    raw.send(b"x")
                await until(backend, partial(ended, raw))
                assert ended(raw) == "reset"
        assert isinstance(made[0].reason, ConnectionAborted)
        assert isinstance(made[1].reason, ZeroDivisionError)
        assert [each.events for each in made] == [["made", "lost"]] * 2
        _seen.clear()
        await closed(port)

    run(main, variant=variant)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["event", "factory"])
def test_a_fatal_event_under_run(variant: str, error: type[BaseException], where: str) -> None:
    """The reactor is ours then, and the exception comes out of `run`."""
    raised = error("mine")

    class Bad(Protocol):
        def connectionMade(self) -> None:
            raise raised

    def factory() -> Protocol:
        if where == "factory":
            raise raised
        return Bad()

    async def main(backend: Any) -> None:
        port, number = await serve(backend, as_factory(factory))
        try:
            client = await backend.connect(TCP("127.0.0.1", number), Recorder)
            await client.transport.whenClosed()
            await backend.sleep(3600)
        finally:
            await closed(port)

    with pytest.raises(error) as caught:
        run(main, variant=variant)
    assert caught.value is raised


def test_without_a_reactor(variant: str) -> None:
    """None is installed by it; the mistake is told when the connection comes."""
    factory = as_factory(EchoBack)
    protocol = factory.buildProtocol(None)
    with pytest.raises(RuntimeError, match="reactor"):
        protocol.makeConnection(StringTransport())


# -- other transports --------------------------------------------------------------------------


def attach(backend: Any, protocol: Protocol, transport: Any) -> Any:
    below = as_factory(lambda: protocol, reactor=backend.reactor).buildProtocol(None)
    transport.protocol = below
    below.makeConnection(transport)
    return below


def test_a_string_transport(variant: str) -> None:
    """No descriptor, no reactor behind it, pausing that is strictly checked."""

    async def main(backend: Any) -> None:
        recorder = Recorder()
        transport = StringTransportWithDisconnection()
        below = attach(backend, recorder, transport)
        assert recorder.events == ["made"]
        below.dataReceived(b"hello")
        await until(backend, lambda: recorder.data == b"hello")
        recorder.transport.write(b"answer")
        await until(backend, lambda: transport.value() == b"answer")
        with pytest.raises(Unsupported):
            recorder.transport.loseWriteConnection()
        recorder.transport.write(b" more")
        recorder.transport.pauseProducing()
        assert transport.producerState == "paused"
        recorder.transport.resumeProducing()
        assert transport.producerState == "producing"
        recorder.transport.loseConnection()
        assert isinstance(await recorder.transport.whenClosed(), ConnectionDone)
        assert transport.value() == b"answer more"
        assert recorder.events == ["made", "data", "lost"]
        assert not transport.connected

    run(main, variant=variant)


def test_a_string_transport_whose_producer_pauses(variant: str) -> None:
    async def main(backend: Any) -> None:
        recorder = Recorder()
        transport = StringTransportWithDisconnection()
        attach(backend, recorder, transport)
        producer: Any = transport.producer
        assert transport.streaming
        producer.pauseProducing()
        recorder.transport.write(b"a" * 100_000)
        recorder.transport.write(b"b")
        assert transport.value() == b""
        recorder.transport.loseConnection()
        await backend.sleep(0.002)
        assert transport.connected
        producer.resumeProducing()
        await recorder.transport.whenClosed()
        assert transport.value() == b"a" * 100_000 + b"b"

    run(main, variant=variant)


def test_a_string_transport_that_is_lost(variant: str) -> None:
    async def main(backend: Any) -> None:
        from twisted.internet.error import ConnectionDone as Done
        from twisted.internet.error import ConnectionLost as Lost
        from twisted.python.failure import Failure

        for error, reason in ((Done, ConnectionDone), (Lost, ConnectionLost)):
            recorder = Recorder()
            transport = StringTransportWithDisconnection()
            below = attach(backend, recorder, transport)
            below.dataReceived(b"x")
            below.connectionLost(Failure(error()))
            assert type(await recorder.transport.whenClosed()) is reason
            assert recorder.data == b"x"
            assert recorder.events[-1] == "lost"

    run(main, variant=variant)


def test_a_large_write_over_a_transport_that_takes_all(variant: str) -> None:
    """A transport that never pauses its producer is offered everything, not one piece."""

    async def main(backend: Any) -> None:
        recorder = Recorder()
        transport = StringTransportWithDisconnection()
        attach(backend, recorder, transport)
        expected = b""
        for number, size in enumerate((65_536, 65_537, 1_000_000, 1)):
            recorder.transport.write(bytes([number]) * size)
            expected += bytes([number]) * size
        await until(backend, lambda: len(transport.value()) == len(expected))
        assert transport.value() == expected
        recorder.transport.loseConnection()
        await recorder.transport.whenClosed()

    run(main, variant=variant)


class Wrapping(WrappingFactory):
    """policies.ProtocolWrapper stands between the transport and our protocol."""

    noisy = False


class Ending(Recorder):
    """Ends when its peer has ended."""

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.transport.loseConnection()


def test_a_wrapping_factory(variant: str) -> None:
    async def main(backend: Any) -> None:
        made: list[EchoBack] = []

        def factory() -> EchoBack:
            made.append(EchoBack())
            return made[-1]

        port, number = await serve(backend, Wrapping(as_factory(factory)))
        client = await backend.connect(TCP("127.0.0.1", number), Ending)
        client.transport.write(b"x" * 1_000_000)
        await until(backend, lambda: len(client.data) == 1_000_000)
        server = made[0]
        assert str(server.transport.getHost()) == f"tcp:127.0.0.1:{number}"
        server.transport.write(b"bye")
        server.transport.loseConnection()
        assert isinstance(await client.transport.whenClosed(), ConnectionDone)
        assert client.data.endswith(b"bye")
        assert isinstance(await server.transport.whenClosed(), ConnectionDone)
        await closed(port)

    run(main, variant=variant)


def test_a_wrapped_transport_half_closes_or_says_that_it_cannot(variant: str) -> None:
    """A wrapper passes on nobody's writeConnectionLost: it must not be promised then."""

    async def main(backend: Any) -> None:
        server = Recorder()
        port, number = await serve(backend, Wrapping(as_factory(lambda: server)))
        client = await backend.connect(TCP("127.0.0.1", number), Recorder)
        await until(backend, lambda: server.events)
        try:
            server.transport.loseWriteConnection()
        except Unsupported:
            assert server.transport.state.value == "open"
        else:
            await until(backend, lambda: "write" in server.events)
            await until(backend, lambda: "read" in client.events)
        client.transport.abortConnection()
        server.transport.abortConnection()
        await server.transport.whenClosed()
        await closed(port)

    run(main, variant=variant)


def test_losing_a_wrapped_connection_whose_peer_stays(variant: str) -> None:
    """connectionLost must not wait for ever for a peer that keeps its half open (END-02)."""

    async def main(backend: Any) -> None:
        server = Recorder()
        port, number = await serve(backend, Wrapping(as_factory(lambda: server)))
        client = await backend.connect(TCP("127.0.0.1", number), Recorder)
        await until(backend, lambda: server.events)
        server.transport.write(b"bye")
        server.transport.loseConnection()
        await until(backend, lambda: client.data == b"bye")
        await until(backend, lambda: server.reason)
        assert isinstance(server.reason, ConnectionDone)
        client.transport.abortConnection()
        await closed(port)

    run(main, variant=variant)


def test_a_wrapping_factory_whose_peer_ends(variant: str) -> None:
    """A transport without half-close: the peer's FIN ends both halves, and nothing hangs."""

    async def main(backend: Any) -> None:
        server = Recorder()
        port, number = await serve(backend, Wrapping(as_factory(lambda: server)))
        client = await backend.connect(TCP("127.0.0.1", number), Recorder)
        client.transport.write(b"x")
        client.transport.loseWriteConnection()
        await until(backend, lambda: server.reason)
        assert server.data == b"x"
        assert server.events[:2] == ["made", "data"]
        assert server.events[-1] == "lost"
        await client.transport.whenClosed()
        await closed(port)

    run(main, variant=variant)


def test_an_aborted_wrapping_factory(variant: str) -> None:
    async def main(backend: Any) -> None:
        server = Recorder()
        port, number = await serve(backend, Wrapping(as_factory(lambda: server)))
        client = await backend.connect(TCP("127.0.0.1", number), Recorder)
        await until(backend, lambda: server.events)
        server.transport.abortConnection()
        await client.transport.whenClosed()
        assert server.events == ["made", "lost"]
        assert isinstance(server.reason, ConnectionAborted)
        await closed(port)

    run(main, variant=variant)


def test_in_a_program_that_owns_its_reactor(variant: str) -> None:
    out = python(
        """
        from twisted.internet import reactor, endpoints, protocol
        import halfclose
        from halfclose_twisted import as_factory

        class Server(halfclose.HalfCloseableProtocol):
            def dataReceived(self, data):
                self.data = data
            def readConnectionLost(self):
                self.transport.write(self.data[::-1])
                self.transport.loseConnection()
            def writeConnectionLost(self):
                pass
            def connectionLost(self, reason):
                print("server", type(reason).__name__)

        class Client(halfclose.HalfCloseableProtocol):
            def connectionMade(self):
                self.transport.write(b"abc")
                self.transport.loseWriteConnection()
            def dataReceived(self, data):
                print(data)
            def readConnectionLost(self):
                print("read")
            def writeConnectionLost(self):
                print("write")
            def connectionLost(self, reason):
                print("client", type(reason).__name__)
                reactor.stop()

        def connect(port):
            address = port.getHost()
            endpoint = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)
            endpoint.connect(as_factory(Client))

        server = endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        server.listen(as_factory(Server)).addCallback(connect)
        reactor.callLater(10, reactor.stop)
        reactor.run()
        """,
        warm=True,
    )
    lines = out.splitlines()
    assert sorted(lines) == sorted(
        ["write", "b'cba'", "read", "client ConnectionDone", "server ConnectionDone"]
    )
    assert lines.index("b'cba'") < lines.index("read") < lines.index("client ConnectionDone")
