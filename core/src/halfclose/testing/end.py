"""END: closing without losing anything."""

from __future__ import annotations

import fcntl
import functools
import os
import socket
import stat
import sys
import termios
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any

from ..backend import Backend
from ..channel import Capabilities
from ..connection import Connection
from ..interfaces import Transport
from ..io import lingering
from ..lifecycle import State
from ..options import ConnectionOptions
from ..reasons import (
    CloseTimeout,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    HalfCloseTimeout,
)
from ..running import open_backend, run
from .harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from .kinds import Kind, LaneTCP
from .peers import LIMIT, PipePeer, RawPeer, SocketPeer
from .pip import standard_descriptors
from .recorder import PlainRecorder, Recorder
from .threads import in_thread

__all__ = ["EndRules"]

TIMEOUT = 0.15
"""Seconds to which the rules set the timeouts that they look at."""

TICK = TIMEOUT / 6
"""Seconds between two steps of a peer that is slow and alive."""

Scenario = Callable[[Net], Awaitable[None]]


def write_and_lose(data: bytes) -> Callable[..., None]:
    """A reaction: send *data* and close."""

    def react(protocol: Any, *_: object) -> None:
        protocol.verb("write", data)
        protocol.verb("loseConnection")

    return react


async def at_once(net: Net, *scenarios: Scenario) -> None:
    """Run *scenarios* side by side, so that they wait for their timeouts together.

    One after another on stdio, of which there can be only one connection.
    """
    if net.kind.scheme == "stdio":
        for scenario in scenarios:
            await scenario(net)
        return
    failures: list[BaseException] = []
    endings = []

    async def play(scenario: Scenario, ended: Any) -> None:
        try:
            await scenario(net)
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            ended.set()

    for scenario in scenarios:
        endings.append(net.backend.create_event())
        net.backend.start_soon(play, scenario, endings[-1])
    for ended in endings:
        await ended.wait()
    if failures:
        raise failures[0]


async def ticking(net: Net, seconds: float, step: Callable[[], Awaitable[object]]) -> None:
    """Do *step* again and again for *seconds*, with a pause that no timeout of a rule reaches."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await step()
        await net.backend.sleep(TICK)


async def aborted(net: Net, pair: Pair[Any]) -> None:
    """End *pair*, which outlived what the rule says it outlives."""
    assert "connectionLost" not in pair.protocol.events, pair.protocol.reason
    pair.protocol.verb("abortConnection")
    await net.lost(pair.protocol)


def open_sockets() -> set[tuple[int, int]]:
    """The identity of every socket that this process holds."""
    found = set()
    for fd in os.listdir("/dev/fd"):
        try:
            status = os.fstat(int(fd))
        except OSError:
            continue
        if stat.S_ISSOCK(status.st_mode):
            found.add((status.st_dev, status.st_ino))
    return found


def buffered(peer: RawPeer) -> int:
    """Bytes that have left our queue for the peer's; a unix socket has one queue for both."""
    assert isinstance(peer, SocketPeer)
    if peer.sock.family == socket.AF_UNIX:
        return 0
    packed = fcntl.ioctl(peer.sock.fileno(), termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(packed, sys.byteorder)


class Watched:
    """A pair, and whether our descriptor of it is still held; no peer could see that."""

    def __init__(self, pair: Pair[Recorder], ours: set[tuple[int, int]]) -> None:
        self.protocol = pair.protocol
        self.peer = pair.peer
        self._ours = ours

    @classmethod
    async def connect(cls, net: Net, reply: bytes = b"x", **options: Any) -> Watched:
        """A connection that says *reply* and closes, and a peer that does not."""
        made = Recorder(connectionMade=write_and_lose(reply))
        connect = await net.serve(lambda: made, **options)
        net.watch(made)
        before = open_sockets()
        peer: RawPeer = net.closing(await connect())
        assert isinstance(peer, SocketPeer)
        theirs = os.fstat(peer.sock.fileno())
        await net.until(made, "connectionMade")
        ours = open_sockets() - before - {(theirs.st_dev, theirs.st_ino)}
        return cls(Pair(made, peer), ours)

    def held(self) -> bool:
        """Whether our end of the connection has not been released."""
        return bool(self._ours & open_sockets())

    async def released(self, net: Net) -> None:
        """Wait until it has."""
        end = time.monotonic() + LIMIT
        while self.held():
            assert time.monotonic() < end, f"the descriptor was still held after {LIMIT} s"
            await net.backend.sleep(0.005)


class Producer:
    """A streaming producer that writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class Boom(Exception):
    """What the body of a program raises."""


class Program:
    """A program of its own: another `halfclose.run` on the same kind of backend, in a thread.

    It makes one connection of the kind under test, and then goes on with *body*. The raw peer is
    driven by the test, which sees what leaving the program's backend does to the connection.
    """

    def __init__(
        self,
        net: Net,
        protocol: Recorder,
        body: Callable[[Backend], Awaitable[None]] | None = None,
        grace: float = LIMIT,
    ) -> None:
        self.protocol = protocol
        self.error: BaseException | None = None
        """What ``run`` raised."""
        self.seconds = 0.0
        """How long leaving took."""
        self.held = False
        """Whether the backend holds the connection, rather than a task of the program."""
        self.peer: RawPeer
        self._net = net
        self._body = body
        self._grace = grace
        self._up = net.backend.create_event()
        self._over = net.backend.create_event()
        self._stack = ExitStack()

    async def __aenter__(self) -> Program:
        """Run, and wait for the connection."""
        if self._net.kind.scheme == "stdio":
            stdin, to_stdin = os.pipe()
            from_stdout, stdout = os.pipe()
            self._stack.enter_context(standard_descriptors(stdin, stdout))
            self.peer = PipePeer(self._net.backend, to_stdin, from_stdout)
        self._net.backend.start_soon(self._watch)
        await self._net.wait(self._up, "the program's connection")
        return self

    async def _watch(self) -> None:
        await in_thread(self._net.backend, self._run)
        self._over.set()

    def _run(self) -> None:
        begun = time.monotonic()

        async def main(backend: Backend) -> None:
            nonlocal begun
            await self._connect(backend)
            self._net.backend.call_soon_threadsafe(self._up.set)
            begun = time.monotonic()
            if self._body is not None:
                await self._body(backend)

        try:
            run(main, backend=self._net.backend.name, options={"grace": self._grace})
        except BaseException as error:
            self.error = error
        self.seconds = time.monotonic() - begun
        self._net.backend.call_soon_threadsafe(self._up.set)

    async def _connect(self, backend: Backend) -> None:
        inner = Net(backend, self._net.kind)
        try:
            if self._net.kind.scheme == "stdio":
                await backend.connect("stdio:", lambda: self.protocol)
            else:
                connect = await inner.serve(lambda: self.protocol)
                peer = await connect()
                assert isinstance(peer, SocketPeer)
                self.peer = SocketPeer(self._net.backend, peer.sock)
            await inner.until(self.protocol, "connectionMade")
            self.held = self.protocol.transport in backend._connections
        finally:
            # The listener; the connection is the backend's.
            await inner.close()

    @property
    def can(self) -> Capabilities:
        """What the connection's channel declares."""
        transport: Transport = self.protocol.transport
        assert isinstance(transport, Connection)
        return transport.capabilities

    @property
    def is_over(self) -> bool:
        """Whether ``run`` has ended."""
        return bool(self._over.is_set())

    async def over(self) -> BaseException | None:
        """Wait for the program's end and give the reason of its connection."""
        await self._net.wait(self._over, "the program's end")
        self._net.watch(self.protocol)
        return self.protocol.reason

    async def __aexit__(self, *exception: object) -> None:
        try:
            self.peer.close()
            await self._net.wait(self._over, "the program's end")
        finally:
            self._stack.close()


_two_at_once: set[str] = set()


def beside_another(test: Callable[[Any, Kind], None]) -> Callable[[Any, Kind], None]:
    """Let the framework keep what a second loop beside the first costs it for good.

    A second reactor cannot be freed; the harness would take its descriptors for the rule's.
    """

    @functools.wraps(test)
    def warmed(self: Any, kind: Kind) -> None:
        if self.backend not in _two_at_once:
            run(_second_loop, backend=self.backend)
            _two_at_once.add(self.backend)
        test(self, kind)

    del warmed.__wrapped__
    return warmed


async def _second_loop(backend: Backend) -> None:
    async def main(second: Backend) -> None:
        async with await second.listen("tcp:127.0.0.1:0", Recorder):
            await second.sleep(0)

    await in_thread(backend, lambda: run(main, backend=backend.name))


class EndRules:
    """The rules END-01 to END-05."""

    @rule("END-01", schemes=("tcp", "unix"))
    async def test_end_01_the_peer_reads_the_whole_reply(self, net: Net) -> None:
        """loseConnection with unread input in the kernel: the peer still reads the whole reply
        and a clean EOF. † ‡ (A 4 MiB reply to a client that is still uploading: Twisted, asyncio
        and anyio on either loop all delivered 1.4 MB.)

        Where to look: closing a socket with unread input sends a reset, and the peer's kernel
        then throws away what it had not read of our reply. The connection reads on while it is
        closing, and then gives the channel to ``Backend.lingering``: ``resume_reading`` must work
        although reading was paused, and after ``end_write``.
        """
        reply = os.urandom(1 << 20) * 4
        upload = b"u" * (6 << 20)
        for treat in ("reading", "paused"):
            pair = await net.recorded(
                connectionMade=lambda p, treat=treat: (
                    p.verb("pauseProducing") if treat == "paused" else None
                )
            )

            def client(pair: Pair[Recorder] = pair) -> tuple[int, bytes, str]:
                sent = pair.peer.send_blocking(upload[: 1 << 16])
                net.backend.call_soon_threadsafe(write_and_lose(reply), pair.protocol)
                sent += pair.peer.send_blocking(upload[1 << 16 :])
                return sent, *pair.peer.read_all_blocking()

            sent, received, end = await in_thread(net.backend, client)
            assert end == "eof", f"{treat}: {len(received)} bytes and then a {end}"
            assert received == reply, f"{treat}: {len(received)} bytes"
            assert sent == len(upload), f"{treat}: {sent} bytes of the upload were taken"
            assert type(await net.lost(pair.protocol)) is ConnectionDone
            pair.peer.close()

    @rule("END-02", schemes=("tcp", "unix"))
    async def test_end_02_lingering(self, net: Net) -> None:
        """The protocol hears connectionLost(ConnectionDone) as soon as its bytes and FIN are with
        the kernel; the backend then reads and discards the peer's input until its EOF. Sockets
        only: stdin is never drained, its bytes belong to the next program. It gives up after
        `linger_timeout` seconds without progress (5 by default, 0 turns lingering off), where
        progress is input read or the kernel's send queue shrinking (SIOCOUTQ), and after 30
        seconds from an empty send queue; in bounded memory; no more than 1024 linger at once,
        past that the oldest goes.

        Where to look: ``Backend.lingering`` becomes the channel's sink by a second ``start``;
        ``Channel.unsent`` tells the length of the send queue; ``close`` after that releases the
        descriptor at once, whatever task is reading. (stdin: rule PIP-03.)
        """
        await self._discards(net)
        await self._gives_up(net)
        await self._gives_up_in_spite_of_progress(net)
        await self._oldest_goes(net)

    async def _discards(self, net: Net) -> None:
        watched = await Watched.connect(net)
        # The peer has ended nothing, and still has something to say.
        assert type(await net.lost(watched.protocol)) is ConnectionDone
        assert await watched.peer.read_to_eof() == b"x"
        assert watched.held()
        block = b"u" * (1 << 18)
        tracemalloc.start()
        try:
            sent = await in_thread(
                net.backend, lambda: sum(watched.peer.send_blocking(block) for _ in range(96))
            )
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert sent == 96 * len(block)
        # libuv reads 32 times 256 kB before it lets anybody else have a turn.
        assert peak < 12 << 20, f"{peak} bytes were held of {sent} that were to be discarded"
        assert watched.protocol.events == ["connectionMade", "connectionLost"]
        assert watched.held()
        watched.peer.shutdown()
        await watched.released(net)

    async def _gives_up(self, net: Net) -> None:
        off = await Watched.connect(net, linger_timeout=0)
        begun = time.monotonic()
        await off.released(net)
        assert time.monotonic() - begun < LIMIT / 4, "with linger_timeout=0 it lingered"

        # One peer stalls, one goes on sending, and one reads its reply slowly.
        # The queue gets shorter by whole packets only, of up to 64 or 36 KiB.
        step, size = (1 << 16, 1 << 21) if net.kind.scheme == "tcp" else (12 << 10, 1 << 17)
        reader = await Watched.connect(net, b"x" * size, linger_timeout=TIMEOUT)
        assert isinstance(reader.peer, SocketPeer)
        # Let the queue be ours, not this peer's.
        reader.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        read = 0
        await net.turns(20)
        while "connectionLost" not in reader.protocol.events:
            read += len(await reader.peer.read_exactly(step))
            await net.turns(20)
        stalled = await Watched.connect(net, linger_timeout=TIMEOUT)
        sender = await Watched.connect(net, linger_timeout=TIMEOUT)
        begun = time.monotonic()
        assert stalled.held()

        async def progress() -> None:
            nonlocal read
            sender.peer.send_now(b"u")
            if read < size:
                read += len(await reader.peer.read_exactly(min(step, size - read)))
                if read + buffered(reader.peer) < size:
                    times["still sending"] = time.monotonic() - begun
                    held.append(reader.held())
            if "released" not in times and not stalled.held():
                times["released"] = time.monotonic() - begun

        held: list[bool] = []
        times: dict[str, float] = {}
        await ticking(net, 2 * TIMEOUT, progress)
        assert sender.held(), "input was not taken for progress"
        # On a unix socket it may be too short by now to be seen for longer than the timeout.
        assert times.get("still sending", 0.0) > 1.3 * TIMEOUT or net.kind.scheme == "unix"
        assert all(held), "a send queue that shrinks was not taken for progress"
        await stalled.released(net)
        assert times.get("released", LIMIT) >= TIMEOUT * 0.9, "it gave up before its timeout"
        await sender.released(net)
        await reader.released(net)

    async def _gives_up_in_spite_of_progress(self, net: Net) -> None:
        before, lingering.AFTER_EMPTY = lingering.AFTER_EMPTY, TIMEOUT
        try:
            assert before == 30.0
            sender = await Watched.connect(net, linger_timeout=TIMEOUT)
            assert await sender.peer.read_to_eof() == b"x"
            end = time.monotonic() + LIMIT
            while sender.held():
                assert time.monotonic() < end, "a peer that sends for ever is read for ever"
                sender.peer.send_blocking(b"u")
                await net.backend.sleep(TICK)
        finally:
            lingering.AFTER_EMPTY = before

    async def _oldest_goes(self, net: Net) -> None:
        before, lingering.LIMIT = lingering.LIMIT, 3
        try:
            assert before == 1024
            every = [await Watched.connect(net, linger_timeout=LIMIT) for _ in range(5)]
            for watched in every:
                await net.lost(watched.protocol)
            await net.quiet()
            held = [watched.held() for watched in every]
            assert held == [False, False, True, True, True], f"of five, with a limit of 3: {held}"
            for watched in every:
                watched.peer.close()
            for watched in every:
                await watched.released(net)
        finally:
            lingering.LIMIT = before

    @beside_another
    @rule("END-03")
    async def test_end_03_leaving(self, net: Net) -> None:
        """A listener's aclose only stops accepting. Leaving a backend calls loseConnection on
        every connection, waits `grace` seconds (5) for them and for the lingering ones, and
        aborts the rest; where the body raised or was cancelled, it aborts at once. An exception
        of the body leaves `run` and `open_backend` bare, in no exception group.

        Where to look: ``Backend.__aexit__`` does it all, between ``start`` and ``stop``; the loop
        must go on until ``stop``, which is told the body's exception. A framework that wraps
        exceptions in groups must not be shown them. A channel whose descriptor is released later
        than ``close`` and ``abort`` returned is named by ``Backend.hold_channel`` until then.
        """
        if net.kind.scheme != "stdio":
            await self._listener_closes(net)
        await self._leaves_gracefully(net)
        await self._leaves_after_grace(net)
        await self._body_raises(net)
        await self._body_is_cancelled(net)

    async def _listener_closes(self, net: Net) -> None:
        made = Recorder()
        net.watch(made)
        async with net.kind.serve(net.backend, lambda: made, ConnectionOptions()) as connect:
            peer = net.closing(await connect())
            await net.until(made, "connectionMade")
            address = peer.sock.getpeername()
        with socket.socket(peer.sock.family) as late:
            late.settimeout(LIMIT)
            assert late.connect_ex(address) != 0, "it still accepted"
        await net.turns()
        assert made.transport.state is State.OPEN
        peer.send_now(b"question")
        await net.until(made, "dataReceived")
        made.verb("write", b"answer")
        assert await peer.read_exactly(6) == b"answer"
        made.verb("loseConnection")
        await net.lost(made)

    async def _leaves_gracefully(self, net: Net) -> None:
        data = b"x" * MORE_THAN_THE_KERNEL
        async with Program(net, Recorder(connectionMade=lambda p: p.verb("write", data))) as left:
            if not left.held:
                # It is served by a task of the program's, which is cancelled with the others.
                assert type(await left.over()) is ConnectionAborted
                return
            received, end = await left.peer.read_all()
            assert (len(received), end) == (len(data), "eof")
            if left.can.drains:
                # The peer has not ended: the connection lingers, and is waited for.
                await net.quiet()
                assert not left.is_over, f"it did not wait for a lingering one: {left.error!r}"
                left.peer.shutdown()
            assert type(await left.over()) is ConnectionDone
            assert left.error is None

    async def _leaves_after_grace(self, net: Net) -> None:
        data = b"x" * MORE_THAN_THE_KERNEL
        grace = 0.05
        stuck = Recorder(connectionMade=lambda p: p.verb("write", data))
        async with Program(net, stuck, grace=grace) as left:
            assert type(await left.over()) is ConnectionAborted
            assert left.error is None
            assert left.seconds < LIMIT / 2
            if left.held:
                assert left.seconds >= grace * 0.9
            await self._truncated(left)

        async def close(backend: Backend) -> None:
            lingers.verb("loseConnection")

        lingers = Recorder()
        async with Program(net, lingers, close, grace=grace) as left:
            reason = await left.over()
            assert type(reason) is ConnectionDone or not left.held
            assert left.error is None
            assert left.seconds < LIMIT / 2

    async def _truncated(self, left: Program) -> None:
        """The peer sees that its data is not whole, where it can."""
        received, end = await left.peer.read_all()
        assert len(received) < MORE_THAN_THE_KERNEL
        if left.can.can_reset:
            assert end == "reset"

    async def _body_raises(self, net: Net) -> None:
        data = b"x" * MORE_THAN_THE_KERNEL
        boom = Boom()

        async def body(backend: Backend) -> None:
            raise boom

        stuck = Recorder(connectionMade=lambda p: p.verb("write", data))
        async with Program(net, stuck, body) as left:
            assert type(await left.over()) is ConnectionAborted
            assert left.error is boom, f"run raised {left.error!r}"
            assert left.seconds < LIMIT / 2, "it waited"
            await self._truncated(left)

        # And in a program's own loop, here.
        stuck = Recorder(connectionMade=lambda p: p.verb("write", data))
        raised: BaseException | None = None
        begun = time.monotonic()
        try:
            async with open_backend(net.backend.name) as backend:
                inner = Net(backend, LaneTCP())
                try:
                    await inner.pair(stuck)
                    raise boom
                finally:
                    await inner.close()
        except BaseException as error:
            raised = error
        assert raised is boom, f"open_backend raised {raised!r}"
        assert time.monotonic() - begun < LIMIT / 2, "it waited"
        assert type(stuck.reason) is ConnectionAborted
        net.watch(stuck)

    async def _body_is_cancelled(self, net: Net) -> None:
        data = b"x" * MORE_THAN_THE_KERNEL
        seen: list[BaseException] = []

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        async def body(backend: Backend) -> None:
            # What an event raises so, cancels the body (ERR-05).
            inner = Net(backend, LaneTCP())
            try:
                pair = await inner.recorded(dataReceived=interrupt)
                pair.peer.send_now(b"!")
                await backend.create_event().wait()
            except BaseException as error:
                seen.append(error)
                raise
            finally:
                await inner.close()

        stuck = Recorder(connectionMade=lambda p: p.verb("write", data))
        async with Program(net, stuck, body) as left:
            assert type(await left.over()) is ConnectionAborted
            assert type(left.error) is KeyboardInterrupt, f"run raised {left.error!r}"
            assert left.seconds < LIMIT / 2, "it waited"
            assert len(seen) == 1
            await self._truncated(left)

        # And in a program's own loop: a task that is cancelled inside of open_backend.
        cancelled = Recorder(connectionMade=lambda p: p.verb("write", data))

        async def task(up: Any) -> None:
            async with open_backend(net.backend.name) as backend:
                inner = Net(backend, LaneTCP())
                try:
                    await inner.pair(cancelled)
                    up.set()
                    await backend.create_event().wait()
                finally:
                    await inner.close()

        async def leave(backend: Backend) -> None:
            up = backend.create_event()
            backend.start_soon(task, up)
            await up.wait()

        idle = Recorder(connectionMade=lambda p: p.verb("loseConnection"))
        async with Program(net, idle, leave, grace=0.05) as left:
            await left.over()
            assert left.error is None
            assert left.seconds < LIMIT / 2, "it waited"
            assert type(cancelled.reason) is ConnectionAborted
        net.watch(cancelled)

    @rule("END-04")
    async def test_end_04_close_timeout(self, net: Net) -> None:
        """`close_timeout`: seconds without progress after loseConnection, producer's wait
        included, then aborted with connectionLost(CloseTimeout), a ConnectionLost; off by
        default. (twisted#8902)

        Where to look: the connection keeps the time. Progress is what the channel takes by
        ``write``, and a shorter ``unsent``: a big socket buffer takes nothing for a long while
        although the peer reads.
        """
        data = b"x" * MORE_THAN_THE_KERNEL

        async def stuck(net: Net) -> None:
            begun = time.monotonic()
            made = Recorder(connectionMade=write_and_lose(data))
            pair = await net.pair(made, close_timeout=TIMEOUT)
            reason = await net.lost(made)
            assert type(reason) is CloseTimeout
            assert isinstance(reason, ConnectionLost)
            assert time.monotonic() - begun >= TIMEOUT * 0.9
            received, end = await pair.peer.read_all()
            assert len(received) < len(data)
            assert end == "reset" or not pair.can.can_reset

        async def waits_for_a_producer(net: Net) -> None:
            producer = Producer()
            begun = time.monotonic()
            made = Recorder(
                connectionMade=lambda p: (
                    p.verb("registerProducer", producer, True),
                    p.verb("loseConnection"),
                )
            )
            await net.pair(made, close_timeout=TIMEOUT)
            assert type(await net.lost(made)) is CloseTimeout
            assert time.monotonic() - begun >= TIMEOUT * 0.9
            assert producer.calls == ["stop"]

        async def producer_writes(net: Net) -> None:
            producer = Producer()
            pair = await net.pair(Recorder(), close_timeout=TIMEOUT)
            pair.protocol.verb("registerProducer", producer, True)
            pair.protocol.verb("loseConnection")

            async def write() -> None:
                pair.protocol.verb("write", b"p")

            await ticking(net, 1.6 * TIMEOUT, write)
            pair.protocol.verb("unregisterProducer")
            received = await pair.peer.read_to_eof()
            assert set(received) == {ord("p")}
            assert type(await net.lost(pair.protocol)) is ConnectionDone

        async def slow(net: Net) -> None:
            pair = await net.pair(Recorder(), close_timeout=TIMEOUT)
            write_and_lose(data)(pair.protocol)
            size = 0

            async def read() -> None:
                nonlocal size
                size += len(await pair.peer.read_exactly(1 << 17))

            with suppress(ConnectionResetError):
                await ticking(net, 2 * TIMEOUT, read)
            assert "connectionLost" not in pair.protocol.events, (
                f"{pair.protocol.reason!r} although the peer reads, {size} bytes so far"
            )
            received, end = await pair.peer.read_all()
            assert (size + len(received), end) == (len(data), "eof")
            assert type(await net.lost(pair.protocol)) is ConnectionDone

        async def off(net: Net) -> None:
            pair = await net.recorded(connectionMade=write_and_lose(data))
            await net.backend.sleep(1.3 * TIMEOUT)
            await aborted(net, pair)

        await at_once(net, stuck, waits_for_a_producer, producer_writes, slow, off)

    @rule("END-05")
    async def test_end_05_half_close_timeout(self, net: Net) -> None:
        """`half_close_timeout`: armed only once one half has ended, reset by any byte, never
        reaps a connection that is open both ways; when it runs out,
        connectionLost(HalfCloseTimeout), a ConnectionLost. Off by default. (outline-sdk#633)

        Where to look: the connection keeps the time. It counts what the channel gives to
        ``received`` and takes by ``write``, and a shorter ``unsent``, as for `close_timeout`.
        """

        async def our_half(net: Net) -> None:
            pair = await net.pair(Recorder(), half_close_timeout=TIMEOUT)
            await net.backend.sleep(1.3 * TIMEOUT)
            assert pair.protocol.events == ["connectionMade"], "it was open both ways"
            pair.protocol.verb("loseWriteConnection")
            await net.until(pair.protocol, "writeConnectionLost")

            async def send() -> None:
                pair.peer.send_now(b"x")

            await ticking(net, 1.6 * TIMEOUT, send)
            assert "connectionLost" not in pair.protocol.events, "input did not reset it"
            await self._reaped(net, pair, "writeConnectionLost")

        async def peers_half(net: Net) -> None:
            pair = await net.pair(Recorder(), half_close_timeout=TIMEOUT)
            pair.peer.shutdown()
            await net.until(pair.protocol, "readConnectionLost")

            async def write() -> None:
                pair.protocol.verb("write", b"x")

            await ticking(net, 1.6 * TIMEOUT, write)
            assert "connectionLost" not in pair.protocol.events, "output did not reset it"
            # A peer that reads slowly: the kernel has taken bytes long before it sends them.
            pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)

            async def read() -> None:
                await pair.peer.read_exactly(1 << 17)

            with suppress(ConnectionResetError):
                await ticking(net, 1.6 * TIMEOUT, read)
            assert "connectionLost" not in pair.protocol.events, "slow output did not reset it"
            await self._reaped(net, pair, "readConnectionLost")

        async def not_yet_ended(net: Net) -> None:
            pair = await net.pair(Recorder(), half_close_timeout=TIMEOUT)
            pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
            pair.protocol.verb("loseWriteConnection")
            await net.backend.sleep(1.3 * TIMEOUT)
            assert pair.protocol.events == ["connectionMade"], "our half had not ended"
            await aborted(net, pair)

        async def plain(net: Net) -> None:
            pair = await net.pair(PlainRecorder(), half_close_timeout=TIMEOUT)
            begun = time.monotonic()
            pair.protocol.verb("loseWriteConnection")
            assert type(await net.lost(pair.protocol)) is HalfCloseTimeout
            assert time.monotonic() - begun >= TIMEOUT * 0.9

        async def off(net: Net) -> None:
            pair = await net.recorded()
            pair.peer.shutdown()
            await net.until(pair.protocol, "readConnectionLost")
            await net.backend.sleep(1.3 * TIMEOUT)
            await aborted(net, pair)

        await at_once(net, our_half, peers_half, not_yet_ended, plain, off)

    async def _reaped(self, net: Net, pair: Pair[Recorder], half: str) -> None:
        reason = await net.lost(pair.protocol)
        assert type(reason) is HalfCloseTimeout
        assert isinstance(reason, ConnectionLost)
        events = [event for event in pair.protocol.events if event != "dataReceived"]
        assert events == ["connectionMade", half, "connectionLost"]
