"""``transport.backend`` gives a protocol its loop and a way out, whoever has made it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, assert_type

import anyio
import pytest
from core.support import EchoBack, Recorder, python, run, until
from halfclose import TCP, AbstractBackend, Backend
from halfclose_anyio import serve_stream
from halfclose_twisted import as_factory
from twisted.internet import endpoints

ENDPOINTS = {
    "memory": ("memory:front", "memory:behind"),
    "anyio+trio": ("tcp:127.0.0.1:0", "tcp:127.0.0.1:0"),
    "anyio+asyncio": ("tcp:127.0.0.1:0", "tcp:127.0.0.1:0"),
    "twisted+select": ("tcp:127.0.0.1:0", "tcp:127.0.0.1:0"),
}

_asked: ContextVar[bytes] = ContextVar("_asked", default=b"")


class Front(Recorder):
    """Begins what is behind it, asks there what it is asked, and answers a little later."""

    def __init__(self, behind: str) -> None:
        super().__init__()
        self.behind = behind
        self.seen: list[AbstractBackend] = []

    def connectionMade(self) -> None:
        super().connectionMade()
        self.seen.append(self.transport.backend)

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        _asked.set(data)
        self.transport.backend.start_soon(self.ask)

    async def ask(self) -> None:
        backend = self.transport.backend
        async with await backend.listen(self.behind, EchoBack) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            assert_type(client, Recorder)
            client.transport.write(_asked.get())
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
        backend.call_later(0.01, self.answer, bytes(client.data))

    def answer(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.loseConnection()

    def connectionLost(self, reason: BaseException) -> None:
        super().connectionLost(reason)
        self.seen.append(self.transport.backend)


@pytest.mark.parametrize("variant", ENDPOINTS)
def test_a_protocol_that_connect_and_listen_have_made(variant: str) -> None:
    front, behind = ENDPOINTS[variant]
    served: list[Front] = []

    def factory() -> Front:
        served.append(Front(behind))
        return served[-1]

    async def main(backend: Backend) -> None:
        async with await backend.listen(front, factory) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.write(b"hello")
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
            assert client.data == b"hello"
            assert client.transport.backend is backend
            await served[0].transport.whenClosed()
            assert served[0].seen == [backend, backend]

    run(main, variant=variant)


def test_the_type_is_that_of_the_factory() -> None:
    async def main(backend: Backend) -> None:
        async with await backend.listen("memory:name", EchoBack) as listener:
            by_class = await backend.connect(listener.endpoint, Recorder)
            assert_type(by_class, Recorder)
            by_function = await backend.connect("memory:name", lambda: Front("memory:other"))
            assert_type(by_function, Front)
            assert_type(by_function.transport.backend, AbstractBackend)
            for client in (by_class, by_function):
                client.transport.abortConnection()

    run(main, variant="memory")


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_protocol_over_a_stream(loop: str) -> None:
    async def main() -> None:
        front = Front("tcp:127.0.0.1:0")
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)

        async def handler(stream: anyio.abc.SocketStream) -> None:
            await serve_stream(stream, front)

        with anyio.fail_after(20):
            async with listener, anyio.create_task_group() as group:
                group.start_soon(listener.serve, handler)
                async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                    await stream.send(b"hello")
                    assert await stream.receive() == b"hello"
                    with pytest.raises(anyio.EndOfStream):
                        await stream.receive()
                while "lost" not in front.events:  # noqa: ASYNC110
                    await anyio.sleep(0.002)
                group.cancel_scope.cancel()
        assert front.seen[0] is front.seen[1]

    anyio.run(main, backend=loop)


def test_a_protocol_behind_a_twisted_endpoint_of_halfclose_run() -> None:
    front = Front("tcp:127.0.0.1:0")

    async def main(backend: Any) -> None:
        where: Any = endpoints.TCP4ServerEndpoint(  # type: ignore[no-untyped-call]
            backend.reactor, 0, interface="127.0.0.1"
        )
        port = await where.listen(as_factory(lambda: front))
        client = await backend.connect(TCP("127.0.0.1", port.getHost().port), Recorder)
        client.transport.write(b"hello")
        client.transport.loseWriteConnection()
        await until(backend, lambda: "lost" in client.events and "lost" in front.events)
        assert client.data == b"hello"
        assert front.seen == [backend, backend]
        await port.stopListening()

    run(main, variant="twisted+select")


def test_a_protocol_behind_a_twisted_endpoint_of_a_program() -> None:
    """Nobody has entered its backend; the reactor's end ends what the protocol has begun."""
    said = python(
        """
        from halfclose import HalfCloseableProtocol
        from halfclose_twisted import as_factory
        from twisted.internet import endpoints, reactor
        from twisted.internet.defer import Deferred

        class Echo(HalfCloseableProtocol):
            def dataReceived(self, data):
                self.transport.write(data)
            def readConnectionLost(self):
                self.transport.loseConnection()
            def writeConnectionLost(self):
                pass

        class Client(Echo):
            def connectionMade(self):
                self.transport.write(b"hello")
            def dataReceived(self, data):
                print("asked", data)
                self.transport.backend.call_later(0.01, reactor.stop)

        class Front(Echo):
            def connectionMade(self):
                self.transport.backend.start_soon(self.begin)
                self.transport.backend.start_soon(self.wait)
            async def begin(self):
                backend = self.transport.backend
                listener = await backend.listen("tcp:127.0.0.1:0", Echo)
                client = await backend.connect(listener.endpoint, Client)
                assert client.transport.backend is backend
            async def wait(self):
                try:
                    await self.transport.backend.create_event().wait()
                finally:
                    print("ended", self.transport.backend.left)

        async def main():
            where = endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
            port = (await where.listen(as_factory(Front))).getHost().port
            where = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", port)
            await where.connect(as_factory(Echo))

        reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()))
        reactor.run()
        """
    )
    assert said.splitlines() == ["asked b'hello'", "ended True"]
