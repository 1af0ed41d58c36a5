"""Native sockets that are reset or cannot be duplicated, odd streams, and timers on trio."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import struct
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import anyio.abc
import anyio.lowlevel
import halfclose.io.connecting
import halfclose_anyio.on_trio
import pytest
import trio
import uvloop
from core.support import ANYIO, EchoBack, Recorder, python, run, until
from halfclose import (
    TCP,
    Backend,
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    HalfCloseableProtocol,
    Protocol,
)
from halfclose.testing.tools.shortage import no_more_descriptors
from halfclose_anyio import serve_stream

T = TypeVar("T")

LOOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"loop_factory": uvloop.new_event_loop}),
    "trio": ("trio", {}),
}

each_variant = pytest.mark.parametrize("variant", ANYIO)


# -- native sockets ----------------------------------------------------------------------------


@each_variant
def test_a_native_client_that_resets_at_once(variant: str) -> None:
    """It costs its own connection; the server goes on."""
    servers: list[Recorder] = []

    class Server(Recorder):
        def __init__(self) -> None:
            super().__init__()
            servers.append(self)

    async def main(backend: Backend) -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", Server)
        assert isinstance(listener.endpoint, TCP)
        for number in range(1, 4):
            # Accepted only after the reset, for nothing is awaited before it.
            with socket.create_connection(("127.0.0.1", listener.endpoint.port)) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await until(backend, lambda n=number: len(servers) == n and servers[-1].reason)  # type: ignore[misc]
            assert servers[-1].events == ["made", "lost"]
            assert type(servers[-1].reason) is ConnectionLost
            assert isinstance(servers[-1].reason.__cause__, ConnectionResetError)
        client = await backend.connect(listener.endpoint, Recorder)
        client.transport.write(b"hello")
        await until(backend, lambda: servers[-1].data)
        assert servers[-1].data == b"hello"
        client.transport.loseConnection()
        servers[-1].transport.loseConnection()
        assert isinstance(await client.transport.whenClosed(), ConnectionDone)

    run(main, variant=variant, options={"sockets": "native", "grace": 1})


@each_variant
def test_a_native_abort_without_descriptors(variant: str) -> None:
    """The peer must not take what it has for all that there was."""
    size = 30_000_000
    servers: list[HalfCloseableProtocol] = []

    class Server(Recorder):
        def connectionMade(self) -> None:
            super().connectionMade()
            servers.append(self)
            self.transport.write(bytes(size))

    async def main(backend: Backend) -> None:
        listener = await backend.listen("tcp:127.0.0.1:0", Server)
        assert isinstance(listener.endpoint, TCP)
        with socket.create_connection(("127.0.0.1", listener.endpoint.port)) as peer:
            # Bytes are on their way.
            peer.setblocking(False)

            def arrived() -> int:
                try:
                    return len(peer.recv(1))
                except BlockingIOError:
                    return 0

            await until(backend, arrived)
            with no_more_descriptors():
                servers[0].transport.abortConnection()
                # Whoever runs the loop may close the socket in a later turn only.
                reason = await servers[0].transport.whenClosed()
                for _ in range(20):
                    await backend.sleep(0)
            assert isinstance(reason, ConnectionAborted)
            peer.settimeout(10)
            with pytest.raises(ConnectionResetError):  # noqa: PT012
                while peer.recv(1 << 20):
                    pass

    run(main, variant=variant, options={"sockets": "native", "grace": 0})


# -- an epoll that is full ---------------------------------------------------------------------


def _full(*_: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_native_socket_that_asyncio_cannot_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio finds out in the next turn, logs it, and the connection would never hear a thing."""

    async def main(backend: Backend) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            endpoint = f"tcp:127.0.0.1:{server.getsockname()[1]}"
            with monkeypatch.context() as patch:
                patch.setattr(asyncio.get_running_loop(), "add_reader", _full)
                with pytest.raises(ConnectError, match="No space left on device"):
                    await backend.connect(endpoint, Recorder)

    run(main, variant="anyio+asyncio", options={"sockets": "native"})


def test_what_trio_has_no_room_to_watch_is_watched_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its task ended by it, and nobody looked at the descriptor again."""
    refusals = [_full, _full]
    wait_readable = trio.lowlevel.wait_readable

    async def refused_at_first(fd: int) -> None:
        if refusals:
            refusals.pop()()
        await wait_readable(fd)

    async def main(backend: Backend) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            readable = backend.create_event()
            monkeypatch.setattr(trio.lowlevel, "wait_readable", refused_at_first)
            watch = backend.watch(ours.fileno(), readable.set)
            theirs.send(b"x")
            await readable.wait()
            watch.stop()

    run(main, variant="anyio+trio")
    assert not refusals


# -- streams -----------------------------------------------------------------------------------


class Odd(anyio.abc.ObjectStream[Any]):
    """Gives its pieces as they are, whatever their type."""

    def __init__(self, *pieces: object) -> None:
        self.pieces = list(pieces)

    async def receive(self) -> Any:
        await anyio.lowlevel.checkpoint()
        if not self.pieces:
            raise anyio.EndOfStream
        return self.pieces.pop(0)

    async def send(self, item: Any) -> None:
        await anyio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()


def program(loop: str, main: Callable[[], Awaitable[T]], limit: float = 20.0) -> T:
    """Run *main*, a program that owns its event loop."""

    async def limited() -> T:
        with anyio.fail_after(limit):
            return await main()

    library, options = LOOPS[loop]
    return anyio.run(limited, backend=library, backend_options=options)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stream_of_buffers_is_delivered_as_bytes(loop: str) -> None:
    """A protocol keeps what it is given, and a buffer could change beneath it."""
    got: list[bytes] = []
    buffer = bytearray(b"abc")

    class Keeping(Protocol):
        def dataReceived(self, data: bytes) -> None:
            got.append(data)
            buffer[:] = b"xyz"

    async def main() -> None:
        await serve_stream(Odd(buffer, memoryview(b"def"), b"ghi"), Keeping())

    program(loop, main)
    assert [type(data) for data in got] == [bytes] * 3
    assert got == [b"abc", b"def", b"ghi"]


# -- timers ------------------------------------------------------------------------------------


class Owner:
    def called(self, *args: object) -> None:
        raise AssertionError("a cancelled timer was called")


@each_variant
def test_a_cancelled_timer_keeps_nothing_alive(variant: str) -> None:
    async def main(backend: Backend) -> None:
        # One that comes before it, so that it is not the heap's first.
        first = backend.call_later(1000, print)
        owner, argument = Owner(), Owner()
        ends = [weakref.ref(owner), weakref.ref(argument)]
        timer = backend.call_later(2000, owner.called, argument)
        timer.cancel()
        del owner, argument
        await backend.sleep(0)
        gc.collect()
        assert [end() for end in ends] == [None, None]
        first.cancel()

    run(main, variant=variant)


@each_variant
@pytest.mark.parametrize("sockets", ["poller", "native"])
def test_a_connection_that_is_over_is_not_kept_by_its_timers(variant: str, sockets: str) -> None:
    async def main(backend: Backend) -> None:
        first = backend.call_later(500, print)
        listener = await backend.listen("tcp:127.0.0.1:0", EchoBack)
        client = await backend.connect(listener.endpoint, Recorder, 1000)
        end = weakref.ref(client.transport)
        client.transport.abortConnection()
        await client.transport.whenClosed()
        del client

        def gone() -> bool:
            gc.collect()
            return end() is None

        await until(backend, gone)
        race = halfclose.io.connecting._Race
        assert [each for each in gc.get_objects() if type(each) is race] == []
        first.cancel()

    run(main, variant=variant, options={"sockets": sockets})


def test_many_timers_on_trio_cost_no_quadratic_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often timers are looked at, which is the work, is told by a timer that counts."""
    looks = 0

    class Counting(halfclose_anyio.on_trio._Timer):
        __slots__ = ("_off",)

        @property
        def cancelled(self) -> bool:
            nonlocal looks
            looks += 1
            return self._off

        @cancelled.setter
        def cancelled(self, value: bool) -> None:
            self._off = value

    monkeypatch.setattr(halfclose_anyio.on_trio, "_Timer", Counting)
    alive, fired, dropped = 2000, 500, 4000

    async def main(backend: Backend) -> None:
        timers = [backend.call_later(1000 + n, print) for n in range(alive)]
        for _ in range(fired):
            # Each turn of the timers' task is one in which it could look at all of them.
            event = backend.create_event()
            backend.call_later(0, event.set)
            await event.wait()
        for number in range(dropped):
            backend.call_later(2000, print).cancel()
            if number % 10 == 0:
                event = backend.create_event()
                backend.call_later(0, event.set)
                await event.wait()
        # And what is cancelled does not pile up.
        held = [each for each in gc.get_objects() if type(each) is Counting]
        assert len(held) <= 2 * alive + 200
        for timer in timers:
            timer.cancel()

    run(main, variant="anyio+trio")
    assert looks < 20 * (alive + fired + dropped), looks


ENDLESS = """
    import re, sys, time
    from pathlib import Path
    import halfclose
    from halfclose import HalfCloseableProtocol

    port, most = sys.argv[1:]

    class Reader(HalfCloseableProtocol):
        taken = 0

        def connectionMade(self):
            # Much is there before anyio is asked for any: it pauses the transport no more then.
            time.sleep(0.1)

        def dataReceived(self, data):
            self.taken += len(data)
            if self.taken > int(most):
                self.transport.loseConnection()

        def readConnectionLost(self):
            pass

        writeConnectionLost = readConnectionLost

    async def main(backend):
        reader = await backend.connect(f"tcp:127.0.0.1:{port}", Reader)
        await reader.transport.whenClosed()
        while backend.lingering:
            await backend.sleep(0.05)

    halfclose.run(main, backend="anyio+asyncio", options={"sockets": "native"})
    # Not getrusage: its peak counts the memory of the process that started this one, too.
    print(re.search("VmHWM:[^0-9]*([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.parametrize("most", [0, 128 << 20])
def test_an_endless_sender_costs_no_memory_where_anyio_does_not_pause(most: int) -> None:
    """Read by the protocol, and by lingering after it.

    uvloop may read many times in one turn, of which anyio gives one: what is not bounded there is
    declared.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)

        def send() -> None:
            sock, _ = server.accept()
            with sock, suppress(OSError):
                while True:
                    sock.sendall(bytes(1 << 20))

        thread = threading.Thread(target=send)
        thread.start()
        peak = int(python(ENDLESS, arguments=[str(server.getsockname()[1]), str(most)]))
        thread.join()
    assert peak < 100 << 10, f"{peak >> 10} MiB"
