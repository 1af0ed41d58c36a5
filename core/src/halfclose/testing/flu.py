"""FLU: flushing and back-pressure."""

from __future__ import annotations

import functools
import os
import random
import time
from collections.abc import Callable
from typing import Any

from ..backend import Backend
from ..options import ConnectionOptions
from ..reasons import ConnectionAborted, ConnectionDone, ConnectionLost
from ..running import run
from .harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from .kinds import Kind
from .peers import PipePeer, RawPeer, SocketPeer
from .recorder import Recorder
from .threads import in_thread

__all__ = ["FlushingRules", "assert_same", "flood", "pattern"]

HUGE = 64 * 1024 * 1024
"""What FLU-01 and FLU-02 write."""

WINDOW = 0.1
"""Seconds in which the loop's processor time is measured."""

BUSY = 0.05
"""The share of a core that an idle connection may cost."""

SOON = 2.0
"""Seconds for what has no need to wait for anything."""

LAST_WORDS = b"the last words"

# Of prime length, so that no piece of a buffer's size comes twice in the same place.
_BLOCK = random.Random(0).randbytes(1_000_003)


def pattern(size: int) -> bytes:
    """*size* bytes in which a piece that was lost, doubled or moved shows."""
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


def assert_same(received: bytes, sent: bytes) -> None:
    """`==`, for more bytes than a report can show."""
    if received == sent:
        return
    if len(received) != len(sent):
        raise AssertionError(f"{len(received)} bytes came where {len(sent)} were sent")
    place = next(
        n for n, (one, other) in enumerate(zip(received, sent, strict=True)) if one != other
    )
    raise AssertionError(f"of {len(sent)} bytes, those from number {place} on came changed")


async def flood(net: Net, peer: RawPeer, limit: int) -> int:
    """Have the raw peer send without end, and give how much went out until nothing more would.

    :param limit: where it stops if nothing stops it.
    """
    if isinstance(peer, PipePeer):
        descriptor = peer.to_stdin
    else:
        assert isinstance(peer, SocketPeer)
        descriptor = peer.sock.fileno()
    assert descriptor is not None
    os.set_blocking(descriptor, False)
    piece = pattern(1 << 16)
    sent = 0
    stuck = 0
    while stuck < 2 and sent < limit:
        before = sent
        try:
            while sent < limit:
                sent += os.write(descriptor, piece)
        except BlockingIOError:
            pass
        stuck = stuck + 1 if sent == before else 0
        await net.quiet()
    return sent


async def idle(net: Net, what: str) -> None:
    """Fail if the loop's thread has work to do while nothing happens.

    Measured again if it has: another test's garbage may be collected in one window.
    """
    share = 1.0
    for _ in range(3):
        since, worked = time.monotonic(), time.thread_time()
        await net.backend.sleep(WINDOW)
        share = min(share, (time.thread_time() - worked) / (time.monotonic() - since))
        if share < BUSY:
            return
    raise AssertionError(f"{what}: the loop is busy for {share:.0%} of the time")


async def reset(pair: Pair[Recorder]) -> None:
    """Have the raw peer reset, with something of ours unread (a unix socket needs that)."""
    await pair.peer.until_input()
    pair.peer.reset()


def leave_unread(protocol: Recorder) -> None:
    """In connectionMade: give the raw peer something that it will not read."""
    protocol.transport.write(b"unread")


def paused_with_unread(protocol: Recorder) -> None:
    """In connectionMade: likewise, and read nothing."""
    protocol.transport.write(b"unread")
    protocol.transport.pauseProducing()


class _BodyFailed(Exception):
    """What ends a program in the middle, as any exception of its own would."""


async def _left_in_the_middle(
    net: Net, data: bytes, verb: str | None, grace: float | None
) -> tuple[Recorder, bool, bytes, str]:
    """Run a program of its own that writes *data*, calls *verb*, and is left before it is sent.

    :param grace: how long it waits for its connections; None: it raises an exception instead.
    :returns: the protocol, whether its channel could reset, what the raw peer then read, and how
        that ended.
    """
    protocol = Recorder(connectionMade=lambda p: p.transport.write(data))
    peers: list[RawPeer] = []
    can_reset: list[bool] = []

    async def main(backend: Backend) -> None:
        inner = Net(backend, net.kind)
        async with net.kind.serve(backend, lambda: protocol, ConnectionOptions()) as connect:
            peers.append(net.closing(await connect()))
            await inner.until(protocol, "connectionMade")
            can_reset.append(Pair(protocol, peers[0]).can.can_reset)
            if verb is not None:
                protocol.verb(verb)
            await inner.turns()
            if grace is None:
                raise _BodyFailed

    def program() -> None:
        options = None if grace is None else {"grace": grace}
        try:
            run(main, backend=net.backend.name, options=options)
        except _BodyFailed:
            pass

    net.watch(protocol)
    await in_thread(net.backend, program)
    received, end = await in_thread(net.backend, peers[0].read_all_blocking)
    return protocol, can_reset[0], received, end


def _with_a_second_loop(test: Callable[[Any, Kind], None]) -> Callable[[Any, Kind], None]:
    """Let the framework make beforehand what it keeps for a second loop in a second thread."""

    @functools.wraps(test)
    def warmed(self: Any, kind: Kind) -> None:
        async def nothing(backend: Backend) -> None: ...

        async def beside(backend: Backend) -> None:
            await in_thread(backend, lambda: run(nothing, backend=self.backend))

        run(beside, backend=self.backend)
        test(self, kind)

    return warmed


class FlushingRules:
    """The rules FLU-01 to FLU-11."""

    @rule("FLU-01")
    async def test_flu_01_a_lot_then_the_end_of_stream(self, net: Net) -> None:
        """64 MiB written, then lwc: the raw peer reads every byte, then EOF.

        Where to look: ``Channel.write`` returns how much it took, no more, and calls ``writable``
        each time that it took less than it was given; ``end_write`` comes after all of it.
        """
        data = pattern(HUGE)
        pair = await net.recorded()
        half = HUGE // 2
        pair.protocol.verb("write", data[:half])
        for start in range(half, HUGE, 1 << 20):
            pair.protocol.verb("write", data[start : start + (1 << 20)])
        pair.protocol.verb("loseWriteConnection")
        assert_same(await pair.peer.read_to_eof(), data)
        await net.until(pair.protocol, "writeConnectionLost")
        assert pair.protocol.events == ["connectionMade", "writeConnectionLost"]
        assert pair.transport.droppedBytes == 0

    @rule("FLU-02")
    async def test_flu_02_a_lot_then_the_close(self, net: Net) -> None:
        """64 MiB written, then loseConnection: likewise.

        Where to look: as for FLU-01; and ``Channel.close`` lets the kernel send what it has
        taken: a socket with SO_LINGER set to zero, or with unread input, does not.
        """
        data = pattern(HUGE)
        pair = await net.recorded()
        half = HUGE // 2
        pair.protocol.verb("write", data[:half])
        for start in range(half, HUGE, 1 << 20):
            pair.protocol.verb("write", data[start : start + (1 << 20)])
        pair.protocol.verb("loseConnection")
        assert_same(await pair.peer.read_to_eof(), data)
        assert type(await net.lost(pair.protocol)) is ConnectionDone
        assert pair.protocol.events == ["connectionMade", "connectionLost"]
        assert pair.transport.droppedBytes == 0

    @rule("FLU-03")
    async def test_flu_03_pending_at_the_peers_end_of_stream(self, net: Net) -> None:
        """Pending bytes when the peer's FIN comes: all delivered.

        Where to look: the peer's end of stream ends reading only; a framework's transport that
        closes at it must be told not to (``eof_received`` returns True on asyncio).
        """
        data = pattern(MORE_THAN_THE_KERNEL)
        for verb in ("loseWriteConnection", "loseConnection"):
            pair = await net.recorded(connectionMade=lambda p: p.transport.write(data))
            pair.peer.shutdown()
            await net.until(pair.protocol, "readConnectionLost")
            pair.protocol.verb("write", b"and more")
            pair.protocol.verb(verb)
            assert_same(await pair.peer.read_to_eof(), data + b"and more")
            assert type(await net.lost(pair.protocol)) is ConnectionDone, verb

    @rule("FLU-04")
    async def test_flu_04_end_of_stream_while_a_send_is_blocked(self, net: Net) -> None:
        """lwc while a send is blocked never truncates. ‡ (anyio on trio: 4.1 of 8 MB, then a
        clean EOF)

        Where to look: ``end_write`` must not interrupt, overtake or fail beside a send of the
        channel's own that has not finished: note that the end is wanted, and do it after.
        """
        data = pattern(MORE_THAN_THE_KERNEL)
        pair = await net.recorded()
        pair.protocol.verb("write", data)
        # Now the kernel's buffers fill, and the send of the rest blocks.
        await net.quiet()
        pair.protocol.verb("loseWriteConnection")
        await net.quiet()
        assert pair.protocol.events == ["connectionMade"]
        head = await pair.peer.read_exactly(1000)
        pair.protocol.verb("loseWriteConnection")
        assert_same(head + await pair.peer.read_to_eof(), data)
        await net.until(pair.protocol, "writeConnectionLost")
        assert pair.transport.droppedBytes == 0

    @_with_a_second_loop
    @rule("FLU-05")
    async def test_flu_05_a_program_that_is_left_in_the_middle(self, net: Net) -> None:
        """A cancelled task never leaves a clean EOF over truncated data (capability
        `can_reset`). ‡

        Where to look: ``Channel.abort``, and the ``finally`` of a task that serves a channel:
        what it closes on its way out without having sent everything must be reset. Leaving a
        backend calls ``abort`` on all connections; none may be out of its sight.
        """
        data = pattern(MORE_THAN_THE_KERNEL)
        for verb, grace in (
            (None, None),
            ("loseWriteConnection", None),
            ("loseConnection", None),
            ("loseConnection", 0.0),
        ):
            protocol, can_reset, received, end = await _left_in_the_middle(net, data, verb, grace)
            case = f"{verb}, grace {grace}"
            assert len(received) < len(data), case
            assert_same(received, data[: len(received)])
            if can_reset:
                assert end == "reset", f"{case}: {len(received)} bytes and a clean EOF"
            assert protocol.events == ["connectionMade", "connectionLost"], case
            assert type(protocol.reason) is ConnectionAborted, case

    @rule("FLU-06")
    async def test_flu_06_data_and_end_of_stream_while_paused(self, net: Net) -> None:
        """Paused, then data and FIN arrive: nothing is delivered; on resume, the data, then one
        rcl. (netty#6303)

        Where to look: ``pause_reading`` stops looking for the end of stream too; it is read in
        its turn, after the data.
        """
        for when in ("in connectionMade", "later"):
            made = (lambda p: p.transport.pauseProducing()) if when != "later" else lambda p: None
            pair = await net.recorded(connectionMade=made, readConnectionLost=_lose_write)
            if when == "later":
                await net.turns()
                pair.protocol.verb("pauseProducing")
            pair.peer.send_now(LAST_WORDS * 1000)
            pair.peer.shutdown()
            await net.quiet()
            assert pair.protocol.events == ["connectionMade"], when
            pair.protocol.verb("resumeProducing")
            await net.lost(pair.protocol)
            assert_same(bytes(pair.protocol.received), LAST_WORDS * 1000)
            assert pair.protocol.events == [
                "connectionMade",
                "dataReceived",
                "readConnectionLost",
                "writeConnectionLost",
                "connectionLost",
            ], when

    @rule("FLU-07")
    async def test_flu_07_idle_costs_nothing(self, net: Net) -> None:
        """pause and resume after EOF, a half-closed idle connection, a peer that reset or hung up
        while we are paused: no second rcl, and no busy loop (under 5 % of a core over a second).
        † ‡ (EPOLLHUP and EPOLLERR cannot be masked: unregister.)

        Where to look: a descriptor of which nothing is wanted is not watched at all; poll and
        epoll report a hang-up or an error of a watched one for ever.
        """

        async def after_the_end_of_stream() -> None:
            pair = await net.recorded()
            pair.peer.shutdown()
            await net.until(pair.protocol, "readConnectionLost")
            await idle(net, "half-closed by the peer")
            pair.protocol.verb("pauseProducing")
            await idle(net, "paused after the end of stream")
            pair.protocol.verb("resumeProducing")
            await idle(net, "resumed after the end of stream")
            assert pair.protocol.events == ["connectionMade", "readConnectionLost"]
            pair.protocol.verb("abortConnection")
            await net.lost(pair.protocol)

        async def after_our_own() -> None:
            pair = await net.recorded()
            pair.protocol.verb("loseWriteConnection")
            await net.until(pair.protocol, "writeConnectionLost")
            await idle(net, "half-closed by us")
            pair.protocol.verb("pauseProducing")
            pair.peer.shutdown()
            await idle(net, "paused, both halves having ended")
            assert pair.protocol.events == ["connectionMade", "writeConnectionLost"]
            pair.protocol.verb("resumeProducing")
            assert type(await net.lost(pair.protocol)) is ConnectionDone
            assert pair.protocol.events.count("readConnectionLost") == 1

        async def a_peer_that_hung_up() -> None:
            pair = await net.recorded(connectionMade=lambda p: p.transport.pauseProducing())
            pair.peer.send_now(LAST_WORDS)
            pair.peer.close()
            await idle(net, "paused, and the peer hung up")
            assert "dataReceived" not in pair.protocol.events
            pair.protocol.verb("resumeProducing")
            await net.until(pair.protocol, "readConnectionLost")
            await idle(net, "resumed, the peer having hung up")
            pair.protocol.verb("loseConnection")
            await net.lost(pair.protocol)
            assert bytes(pair.protocol.received) == LAST_WORDS
            assert pair.protocol.events.count("readConnectionLost") == 1

        async def a_peer_that_reset() -> None:
            for words in (b"", LAST_WORDS):
                pair = await net.recorded(connectionMade=paused_with_unread)
                await pair.peer.until_input()
                if words:
                    pair.peer.send_now(words)
                pair.peer.reset()
                await idle(net, f"paused, and the peer reset after {words!r}")
                pair.protocol.verb("resumeProducing")
                assert type(await net.lost(pair.protocol)) is ConnectionLost
                assert bytes(pair.protocol.received) == words
                assert "readConnectionLost" not in pair.protocol.events

        await after_the_end_of_stream()
        await after_our_own()
        await a_peer_that_hung_up()
        if net.kind.scheme != "stdio":
            await a_peer_that_reset()

    @rule("FLU-08")
    async def test_flu_08_pause_inside_data_received(self, net: Net) -> None:
        """pauseProducing inside dataReceived with more data and FIN queued: nothing more until
        resume.

        Where to look: a channel that reads in a loop looks after each ``received`` whether it was
        paused; what it has read all the same, it may still give: that is kept.
        """
        data = pattern(300_000)
        pair = await net.recorded(dataReceived=lambda p, _: p.verb("pauseProducing"))

        async def feed() -> None:
            await pair.peer.send(data)
            pair.peer.shutdown()

        net.backend.start_soon(feed)
        reads = 0
        while len(pair.protocol.received) < len(data):
            seen = len(pair.protocol.chunks)
            await net.until(
                pair.protocol,
                lambda seen=seen: len(pair.protocol.chunks) > seen,  # type: ignore[misc]
            )
            reads += 1
            await (net.quiet() if reads == 1 else net.turns())
            assert len(pair.protocol.chunks) == reads
            assert pair.protocol.events == ["connectionMade", "dataReceived"]
            if len(pair.protocol.received) < len(data):
                pair.protocol.verb("resumeProducing")
        await net.quiet()
        assert pair.protocol.events == ["connectionMade", "dataReceived"]
        pair.protocol.verb("resumeProducing")
        await net.until(pair.protocol, "readConnectionLost")
        assert_same(bytes(pair.protocol.received), data)

    @rule("FLU-09")
    async def test_flu_09_the_input_first(self, net: Net) -> None:
        """HUP, an error or a *failed send* with unread input: the input first (kept while
        paused), then rcl if a FIN was seen, then connectionLost. † ‡ (with a write pending,
        Twisted, asyncio and uvloop drop what the peer sent before it closed) (netty#4317)
        Capability `keeps_input`.

        Where to look: an error that comes together with input is told after it. A failed send is
        ``write_failed`` (or raised by ``write``), not ``failed``, as long as the descriptor can
        still be read; a framework that closes it then makes the channel declare ``keeps_input``
        off.
        """
        stdio = net.kind.scheme == "stdio"

        async def check(pair: Pair[Recorder], events: list[str], paused: bool, case: str) -> None:
            if paused:
                await net.quiet()
                # That the reader of our output went away is told at any time (PIP-04).
                seen = [name for name in pair.protocol.events if name != "writeConnectionLost"]
                assert seen == ["connectionMade"], case
                pair.protocol.verb("resumeProducing")
            await net.until(pair.protocol, events[-1])
            assert bytes(pair.protocol.received) == LAST_WORDS, case
            assert pair.protocol.events == events, case

        async def hang_up(paused: bool) -> None:
            pair = await net.recorded()
            if paused:
                pair.protocol.verb("pauseProducing")
            pair.peer.send_now(LAST_WORDS)
            if not stdio:
                pair.peer.close()
            else:
                # On two pipes, a peer that is gone both ways has ended both halves.
                pair.peer.shutdown()
            events = ["connectionMade", "dataReceived", "readConnectionLost"]
            await check(pair, events, paused, "hang-up")
            pair.protocol.verb("loseConnection")
            await net.lost(pair.protocol)

        async def error(paused: bool) -> None:
            pair = await net.recorded(connectionMade=leave_unread)
            await pair.peer.until_input()
            if paused:
                pair.protocol.verb("pauseProducing")
            pair.peer.send_now(LAST_WORDS)
            pair.peer.reset()
            events = ["connectionMade", "dataReceived", "connectionLost"]
            await check(pair, events, paused, "reset")
            assert type(await net.lost(pair.protocol)) is ConnectionLost

        async def failed_send(paused: bool) -> None:
            pair = await net.recorded()
            if paused:
                pair.protocol.verb("pauseProducing")
            if stdio:
                pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
                await net.turns()
            pair.peer.send_now(LAST_WORDS)
            pair.peer.close()
            if not stdio:
                # TCP answers the first with a reset, at which the second fails.
                pair.protocol.verb("write", b"x")
                if paused:
                    await net.turns()
                pair.protocol.verb("write", b"y")
            if pair.can.keeps_input and not (stdio and not paused):
                events = ["connectionMade", "dataReceived", "readConnectionLost", "connectionLost"]
                if stdio:
                    events.insert(1, "writeConnectionLost")
                await check(pair, events, paused, "failed send")
            else:
                await ends_at_all(pair)
            assert type(await net.lost(pair.protocol)) is ConnectionLost

        async def failed_pending_send(paused: bool) -> None:
            pair = await net.recorded()
            pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
            await pair.peer.until_input()
            if paused:
                pair.protocol.verb("pauseProducing")
            await net.turns()
            pair.peer.send_now(LAST_WORDS)
            pair.peer.reset()
            if pair.can.keeps_input:
                events = ["connectionMade", "dataReceived", "connectionLost"]
                await check(pair, events, paused, "failed pending send")
            else:
                await ends_at_all(pair)
            assert type(await net.lost(pair.protocol)) is ConnectionLost

        async def ends_at_all(pair: Pair[Recorder]) -> None:
            """The input may be lost; the end may not, and what is told keeps its order."""
            await net.turns()
            if "connectionLost" not in pair.protocol.events:
                pair.protocol.verb("resumeProducing")
            await net.lost(pair.protocol)
            assert LAST_WORDS.startswith(pair.protocol.received)
            assert pair.protocol.events.count("connectionLost") == 1

        for paused in (True, False):
            await hang_up(paused)
            await failed_send(paused)
            if not stdio:
                await error(paused)
                await failed_pending_send(paused)

    @rule("FLU-10")
    async def test_flu_10_a_paused_reader_bounds_the_memory(self, net: Net) -> None:
        """A paused reader bounds the memory: a peer sending without end fills at most the
        kernel's buffers and one read.

        Where to look: ``pause_reading`` leaves the input in the kernel: no reading ahead into
        memory by the channel, its task or the framework below.
        """
        for when in ("connectionMade", "dataReceived"):
            pair = await net.recorded(**{when: lambda p, *_: p.transport.pauseProducing()})
            sent = await flood(net, pair.peer, MORE_THAN_THE_KERNEL)
            if pair.can.bounds_input:
                assert sent < MORE_THAN_THE_KERNEL, f"paused in {when}, we took {sent} bytes"
            assert len(pair.protocol.chunks) == (1 if when == "dataReceived" else 0), when
            pair.protocol._reactions.clear()
            pair.protocol.verb("resumeProducing")
            pair.peer.shutdown()
            await net.until(pair.protocol, "readConnectionLost")
            assert len(pair.protocol.received) == sent, when
            pair.protocol.verb("loseConnection")
            await net.lost(pair.protocol)

    @rule("FLU-11", schemes=("tcp", "unix"))
    async def test_flu_11_a_reset_is_told(self, net: Net) -> None:
        """Reads paused, or already ended, and the peer resets: reported at the latest on the next
        resume, write, lwc or loseConnection, as ConnectionLost; where the platform can tell
        earlier, earlier. † ‡ (twisted#11168)

        Where to look: ``write`` and ``end_write`` raise, or report ``write_failed``, when the
        system says that the connection is gone; shutdown(2) on a unix socket says nothing, so ask
        for SO_ERROR first; a framework that swallows the error must be asked beforehand.
        """
        verbs = {
            "resumeProducing": (),
            "write": (b"x",),
            "loseWriteConnection": (),
            "loseConnection": (),
        }
        silent: list[str] = []
        for verb, arguments in verbs.items():
            for reads in ("paused", "ended"):
                case = f"reads {reads}, then {verb}"
                pair = await net.recorded(connectionMade=leave_unread)
                await pair.peer.until_input()
                if reads == "paused":
                    pair.protocol.verb("pauseProducing")
                else:
                    pair.peer.shutdown()
                    await net.until(pair.protocol, "readConnectionLost")
                pair.peer.reset()
                await net.turns()
                pair.protocol.verb(verb, *arguments)
                try:
                    reason = await net.lost(pair.protocol, SOON)
                except AssertionError:
                    silent.append(case)
                    continue
                assert type(reason) is ConnectionLost, f"{case}: {reason!r}"
                assert pair.protocol.events.count("readConnectionLost") == (reads == "ended"), case
                assert "writeConnectionLost" not in pair.protocol.events, case
        assert not silent, f"no connectionLost within {SOON} s: {'; '.join(silent)}"


def _lose_write(protocol: Recorder) -> None:
    protocol.verb("loseWriteConnection")
