"""Wrapped transports that die or never empty, forks, and runs inside a running loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from pathlib import Path
from typing import Any

import halfclose
import pytest
from core.support import TWISTED, Recorder, descriptors, python, run, until
from halfclose import Backend, ConnectionDone, ConnectionLost, ConnectionOptions
from halfclose_twisted import as_factory
from twisted.internet import endpoints
from twisted.protocols.policies import WrappingFactory

each_variant = pytest.mark.parametrize("variant", TWISTED)


async def wrapped(backend: Any, factory: Any, options: ConnectionOptions | None = None) -> Any:
    """A port that serves *factory* behind a wrapper that relays no half-close."""
    inner = as_factory(factory, options or ConnectionOptions(), reactor=backend.reactor)
    endpoint = endpoints.TCP4ServerEndpoint(backend.reactor, 0, interface="127.0.0.1")
    return await endpoint.listen(WrappingFactory(inner))


@each_variant
def test_leaving_with_a_wrapper_whose_peer_never_reads(variant: str) -> None:
    """Closed and told of, it still has bytes that nobody takes; leaving does not wait for it."""
    servers: list[Recorder] = []

    class Big(Recorder):
        size = 40_000_000

        def connectionMade(self) -> None:
            super().connectionMade()
            servers.append(self)
            self.transport.write(bytes(self.size))
            if self.size < Big.size:
                self.transport.loseConnection()

    class Fitting(Big):
        """All of it is with Twisted, and not all of it with the kernel."""

        size = 0

    async def main(backend: Any) -> None:
        def factory() -> Big:
            return Fitting() if Fitting.size else Big()

        port = await wrapped(backend, factory)

        def connect() -> None:
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.connect(("127.0.0.1", port.getHost().port))

        def pending() -> int:
            connection: Any = servers[0].transport
            return int(connection._outgoing.size)

        connect()
        await until(backend, lambda: servers)
        last, same = -1, 0

        def steady() -> bool:
            nonlocal last, same
            last, same = pending(), same + 1 if pending() == last else 0
            return same > 20

        await until(backend, steady)
        # What Twisted holds back is more than this.
        Fitting.size = Big.size - pending() - 30_000
        servers[0].transport.abortConnection()
        connect()
        await until(backend, lambda: len(servers) == 2 and servers[1].reason)
        assert isinstance(servers[1].reason, ConnectionDone)
        await port.stopListening()

    async def warm(backend: Any) -> None:
        await (await wrapped(backend, Recorder)).stopListening()

    with contextlib.ExitStack() as stack:
        run(warm, variant=variant)
        before = descriptors()
        run(main, variant=variant, options={"grace": 0.05})
        after = [what for fd, what in descriptors().items() if before.get(fd) != what]
        # The peers' two.
        assert len([what for what in after if what.startswith("socket:")]) <= 2


@each_variant
def test_a_write_onto_a_dead_transport_is_not_a_clean_end(variant: str) -> None:
    """The peer's end of stream ended the wrapped transport whole: the answer goes nowhere."""

    class Answering(Recorder):
        def readConnectionLost(self) -> None:
            super().readConnectionLost()
            self.transport.write(b"answer")
            self.transport.loseConnection()

    server = Answering()

    async def main(backend: Backend) -> None:
        port = await wrapped(backend, lambda: server)
        with socket.create_connection(("127.0.0.1", port.getHost().port)) as peer:
            peer.send(b"question")
            peer.shutdown(socket.SHUT_WR)
            await until(backend, lambda: server.reason)
            peer.settimeout(10)
            assert peer.recv(100) == b""
        await port.stopListening()

    run(main, variant=variant)
    assert server.events[-1] == "lost"
    assert server.data == b"question"
    assert type(server.reason) is ConnectionLost
    assert isinstance(server.reason.__cause__, BrokenPipeError)
    assert server.reason.__cause__.errno == errno.EPIPE


FORK = """
    import os, sys
    sys.path.insert(0, {tests!r})
    from core.support import EchoBack, Recorder, descriptors, run

    async def exchange(backend, wait):
        async with await backend.listen("tcp:127.0.0.1:0", EchoBack) as listener:
            for _ in range(5):
                client = await backend.connect(listener.endpoint, Recorder)
                client.transport.write(b"x" * 10_000)
                client.transport.loseWriteConnection()
                await client.transport.whenClosed()
                assert len(client.data) == 10_000
            if wait is not None:
                # The other process is in the midst of it as well.
                os.write(wait[1], b"x")
                assert os.read(wait[0], 1) == b"x"
        return backend.reactor

    mine = run(exchange, None, variant={variant!r})
    a, b = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            theirs = run(exchange, (a[0], b[1]), variant={variant!r})
            # The epoll instance, the waker and all the rest are the parent's.
            assert theirs is not mine
            # And the child's own is used again.
            assert run(exchange, None, variant={variant!r}) is theirs
            code = 0
        finally:
            os._exit(code)
    again = run(exchange, (b[0], a[1]), variant={variant!r})
    assert again is mine
    assert run(exchange, None, variant={variant!r}) is mine
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    print("done")
"""


@each_variant
def test_a_fork_after_a_run(variant: str) -> None:
    """The child shares the idle reactor's descriptors, and must not use the reactor."""
    code = FORK.format(tests=str(Path(__file__).parent.parent), variant=variant)
    assert python(code, warm=True) == "done\n"


@pytest.mark.parametrize("variant", ["twisted+asyncio", "twisted+uvloop"])
def test_a_run_inside_a_running_loop(variant: str) -> None:
    """It cannot be: told before anything is made."""

    async def main(backend: Backend) -> None:
        raise AssertionError("it ran")

    async def program() -> None:
        with pytest.raises(RuntimeError):
            halfclose.run(main, backend=variant)
        before = descriptors()
        for _ in range(3):
            with pytest.raises(RuntimeError) as caught:
                halfclose.run(main, backend=variant)
            assert variant in str(caught.value)
            assert "loop runs in this thread" in str(caught.value)
        # A first failure may leave nothing either, but what it imports may.
        assert len(descriptors()) == len(before)
        # The loop is the program's still.
        await asyncio.sleep(0)
        assert asyncio.get_running_loop().is_running()

    asyncio.run(program())

    async def fine(backend: Backend) -> str:
        await backend.sleep(0)
        return backend.name

    # And the thread can run one afterwards.
    assert run(fine, variant=variant) == variant
