"""docs/how-to/moving-from-twisted.md: its programs, its names, and what it says of Twisted."""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from typing import Any

import halfclose
import pytest
import twisted.trial
from cli.support import ask, dial, read_to_end
from core.support import run
from documents.blocks import example
from documents.moving import check_differences, check_programs, check_rows
from documents.programs import program_of
from halfclose.examples import Ask, Upper
from halfclose_twisted import as_factory
from twisted.application import internet
from twisted.internet import (
    defer,
    endpoints,
    error,
    interfaces,
    posixbase,
    protocol,
    stdio,
    task,
    tcp,
    testing,
    threads,
)
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

PAGE = "docs/how-to/moving-from-twisted.md"

# Twisted is typed in part only.
AdoptedStreamServerEndpoint: Any = endpoints.AdoptedStreamServerEndpoint
TCP4ClientEndpoint: Any = endpoints.TCP4ClientEndpoint
TCP4ServerEndpoint: Any = endpoints.TCP4ServerEndpoint
UNIXServerEndpoint: Any = endpoints.UNIXServerEndpoint
ClientService: Any = internet.ClientService
StringTransport: Any = testing.StringTransport


@pytest.mark.parametrize("name", ["before", "after", "on your reactor"])
def test_the_programs_do_the_same(name: str, tmp_path: Path) -> None:
    (tmp_path / "sort_lines.py").write_text(example(PAGE, "after"))
    check_programs(PAGE, name, tmp_path, until_a_signal=name == "after")


@pytest.mark.parametrize("backend", ["anyio+trio", "twisted+epoll"])
def test_it_runs_on_other_loops_too(backend: str, tmp_path: Path) -> None:
    check_programs(PAGE, "after", tmp_path, backend, until_a_signal=True)


def test_the_names_exist() -> None:
    modules = (protocol, interfaces, endpoints, stdio, task, threads, defer, testing, twisted)
    check_rows(
        PAGE,
        {
            "": (*modules, protocol.Protocol, HalfCloseable),
            "twisted": (twisted,),
            "Factory": (protocol.Factory,),
            "protocol": (protocol.Protocol,),
            "reason": (Failure,),
            "error": (error,),
            "transport": (tcp.Server,),
            "reactor": (posixbase.PosixReactorBase,),
            "port": (tcp.Port,),
        },
    )


HalfCloseable = type("HalfCloseable", (), dict.fromkeys(interfaces.IHalfCloseableProtocol.names()))
"""The events that this interface declares, as attributes."""


def test_the_differences_are_those_of_the_scorecard() -> None:
    check_differences(PAGE, "Twisted")


# -- what the page says of Twisted by itself, and of both together -----------------------------


def on_reactor(main: Any) -> Any:
    return run(main, variant="twisted+epoll")


class Reply(protocol.Protocol):
    """Writes more than the kernel takes at once, to whoever comes."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(b"x" * SIZE)


class OurReply(halfclose.Protocol):
    """The same."""

    def connectionMade(self) -> None:
        self.transport.write(b"x" * SIZE)


SIZE = 16 << 20


@pytest.mark.parametrize("theirs", [True, False])
def test_what_was_written_when_the_peer_ends_its_half(theirs: bool) -> None:
    async def main(backend: Any) -> int:
        factory = protocol.Factory.forProtocol(Reply) if theirs else as_factory(OurReply)
        port = await TCP4ServerEndpoint(backend.reactor, 0, interface="127.0.0.1").listen(factory)

        def end_its_half_at_once() -> bytes:
            with dial(f"tcp:127.0.0.1:{port.getHost().port}") as peer:
                return ask(peer, b"")

        answer = await deferToThreadPool(
            backend.reactor, backend.reactor.getThreadPool(), end_its_half_at_once
        )
        await port.stopListening()
        return len(answer)

    assert (on_reactor(main) < SIZE) is theirs


def test_defaults(tmp_path: Path) -> None:
    """Of TCP_NODELAY, and of the mode of a unix socket."""

    async def main(backend: Any) -> None:
        factory = protocol.Factory.forProtocol(protocol.Protocol)
        theirs = await UNIXServerEndpoint(backend.reactor, str(tmp_path / "theirs")).listen(factory)
        await backend.listen(f"unix:{tmp_path / 'ours'}", Upper)
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("theirs", "ours")]
        assert modes == [0o666, 0o600]
        await theirs.stopListening()

        port = await TCP4ServerEndpoint(backend.reactor, 0, interface="127.0.0.1").listen(factory)
        client = TCP4ClientEndpoint(backend.reactor, "127.0.0.1", port.getHost().port)
        there = await client.connect(factory)
        assert not there.transport.getTcpNoDelay()
        lost: defer.Deferred[None] = defer.Deferred()
        there.connectionLost = lambda reason: lost.callback(None)
        there.transport.loseConnection()
        await lost
        here = await backend.connect(halfclose.TCP("127.0.0.1", port.getHost().port), Ask)
        assert here.transport.getTcpNoDelay()
        await port.stopListening()

    on_reactor(main)


def test_what_write_takes() -> None:
    with pytest.raises(TypeError):
        StringTransport().write(bytearray(b"x"))


def test_a_client_service_connects_again() -> None:
    async def main(backend: Any) -> list[bytes]:
        listener = await backend.listen("tcp:127.0.0.1:0", Upper)
        answers: list[bytes] = []
        twice = backend.create_event()

        class Client(Ask):
            def connectionLost(self, reason: BaseException) -> None:
                answers.append(bytes(self.answer))
                if len(answers) == 2:
                    twice.set()

        service = ClientService(
            TCP4ClientEndpoint(backend.reactor, "127.0.0.1", listener.endpoint.port),
            as_factory(Client),
            retryPolicy=lambda attempt: 0.0,
            clock=backend.reactor,
        )
        service.startService()
        await twice.wait()
        await service.stopService()
        return answers[:2]

    assert on_reactor(main) == [b"HELLO, WORLD"] * 2


def test_a_socket_that_was_inherited() -> None:
    """What the endpoint ``systemd:`` makes of the descriptor that it finds."""

    async def main(backend: Any) -> bytes:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        descriptor = listening.detach()  # the endpoint closes it
        endpoint = AdoptedStreamServerEndpoint(backend.reactor, descriptor, socket.AF_INET)
        port = await endpoint.listen(as_factory(Upper))
        client = await backend.connect(halfclose.TCP("127.0.0.1", port.getHost().port), Ask)
        await client.transport.whenClosed()
        await port.stopListening()
        return bytes(client.answer)

    assert on_reactor(main) == b"HELLO, WORLD"


def test_a_twisted_protocol_is_refused_and_told_what_to_do() -> None:
    async def main(backend: Any) -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", Upper)
        await backend.connect(listener.endpoint, protocol.Protocol)

    with pytest.raises(TypeError, match=r"derive the class from halfclose\.Protocol"):
        on_reactor(main)


STOPPING = """
import halfclose
from halfclose_twisted import as_factory
from twisted.internet import protocol, reactor
from twisted.internet.endpoints import TCP4ServerEndpoint

class Theirs(protocol.Protocol):
    def connectionMade(self):
        self.transport.write(bytes(SIZE))
        reactor.callLater(0, reactor.stop)

class Ours(halfclose.HalfCloseableProtocol):
    def connectionMade(self):
        self.transport.write(bytes(SIZE))
        reactor.callLater(0, reactor.stop)
    def readConnectionLost(self):
        pass
    def writeConnectionLost(self):
        pass
    def connectionLost(self, reason):
        print(type(reason).__name__)

class Paused(Ours):
    def connectionMade(self):
        self.transport.pauseProducing()
        super().connectionMade()

def listening(port):
    print(port.getHost().port, flush=True)

TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(FACTORY).addCallback(listening)
reactor.run()
"""


@pytest.mark.parametrize(
    ("factory", "ends"),
    [
        ("protocol.Factory.forProtocol(Theirs)", ("", "eof")),
        ("as_factory(Ours)", ("ConnectionLost\n", "reset")),
        ("as_factory(Paused)", ("ConnectionAborted\n", "reset")),
    ],
)
def test_a_reactor_that_stops_cuts_off_what_is_not_sent(
    factory: str, ends: tuple[str, str]
) -> None:
    source = STOPPING.replace("SIZE", str(SIZE)).replace("FACTORY", factory)
    with program_of(source) as command, dial(f"tcp:127.0.0.1:{command.line()}") as peer:
        result = command.end()
        assert (result.status, result.err) == (0, "")
        received, end = read_to_end(peer)
    assert (result.out.decode(), end) == ends
    assert len(received) < SIZE
