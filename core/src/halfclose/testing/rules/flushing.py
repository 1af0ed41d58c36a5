"""FLU: flushing and back-pressure."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import product

from ...backend import Backend
from ...channel import Capabilities
from ...reasons import ConnectionAborted, ConnectionDone, ConnectionLost
from ..tools.data import LAST_WORDS, assert_same, pattern
from ..tools.fakes import FakeChannel
from ..tools.harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from ..tools.programs import Program
from ..tools.reactions import Boom, leave_unread, lose_write, paused_with_unread, write_and_lose
from ..tools.recorder import Recorder
from ..tools.waiting import SOON, flood, idle

__all__ = ["FlushingRules"]

HUGE = 64 * 1024 * 1024
"""Bytes that FLU-01 and FLU-02 write."""

LEFT_IN_THE_KERNEL = 256 * 1024
"""Bytes that TCP takes at once, but cannot all send before the peer reads."""


def _leaving(
    net: Net, protocol: Recorder, verb: str | None, error: Boom | None
) -> Callable[[Backend], Awaitable[None]]:
    """A program's body that calls *verb*, if there is one, lets the loop go round, and ends: by
    raising *error*, if there is one."""

    async def body(backend: Backend) -> None:
        if verb is not None:
            protocol.verb(verb)
        await Net(backend, net.channel_type).turns()
        if error is not None:
            raise error

    return body


@contextmanager
def _deadly_sigpipe() -> Iterator[None]:
    """Set SIGPIPE to its default, which ends the process. Check at the end that the signal is
    neither blocked nor pending."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        yield
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked
        assert signal.SIGPIPE not in signal.sigpending()
    finally:
        signal.signal(signal.SIGPIPE, before)


class FlushingRules:
    """The rules FLU-01 to FLU-12."""

    @rule("FLU-01", needs=("can_half_close",))
    async def test_flu_01_a_lot_then_the_end_of_stream(self, net: Net) -> None:
        """64 MiB are written, then loseWriteConnection is called: the raw peer reads every byte,
        then the end of stream.

        Where to look: ``Channel.write`` must return how much it took, and must call ``writable``
        later each time that it took less than it was given. The connection calls ``end_write``
        after the channel has taken everything.
        """
        data = pattern(HUGE)
        pair = await net.recorded()
        half = HUGE // 2
        pair.protocol.verb("write", data[:half])
        for start in range(half, HUGE, 1 << 20):
            pair.protocol.verb("write", data[start : start + (1 << 20)])
        pair.protocol.verb("loseWriteConnection")
        # Nobody reads for a while, so that the channel is blocked more than once. A quick peer
        # could otherwise take all the rest at one go.
        head = await pair.peer.read_exactly(1 << 20)
        await net.quiet()
        assert_same(head + await pair.peer.read_to_eof(), data)
        await net.until(pair.protocol, "writeConnectionLost")
        assert pair.protocol.events == ["connectionMade", "writeConnectionLost"]
        assert pair.transport.droppedBytes == 0

        # The same in whatever pieces a channel takes the bytes, and with an event between them.
        channel = FakeChannel(Capabilities(), room=0)
        exact = Recorder()
        channel.attach(net, exact)
        data = data[:10_000]
        for start in range(0, len(data), 100):
            exact.verb("write", data[start : start + 100])
            if start % 300 == 0:
                channel.make_room(start % 151)
            if start == len(data) // 2:
                channel.handler.read_ended()
        channel.make_room(len(data))
        assert_same(bytes(channel.sent), data)
        exact.verb("abortConnection")
        await net.lost(exact)

    @rule("FLU-02")
    async def test_flu_02_a_lot_then_the_close(self, net: Net) -> None:
        """64 MiB are written, then loseConnection is called: the raw peer reads every byte, then
        the end of stream.

        Where to look: as for FLU-01. Besides, ``Channel.close`` must let the kernel send what it
        has taken. The kernel does not if SO_LINGER is set to zero, or if input is unread.
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

        # Also without lingering, where the channel is closed while the rest is in the kernel. The
        # peer reads nothing until then: what it has read, no wrong close could take back.
        for size in (LEFT_IN_THE_KERNEL, MORE_THAN_THE_KERNEL):
            data = pattern(size)
            off = await net.pair(Recorder(connectionMade=write_and_lose(data)), linger_timeout=0.0)
            await net.quiet()
            assert_same(await off.peer.read_to_eof(), data)

    @rule("FLU-03", needs=("can_half_close",))
    async def test_flu_03_pending_at_the_peers_end_of_stream(self, net: Net) -> None:
        """Bytes that are pending when the peer's end of stream comes are all delivered.

        Where to look: the peer's end of stream must end the reading only. If the framework's
        transport closes then by itself, tell it not to: on asyncio, ``eof_received`` returns True.
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

    @rule("FLU-04", needs=("can_half_close",))
    async def test_flu_04_end_of_stream_while_a_send_is_blocked(self, net: Net) -> None:
        """loseWriteConnection while a send is blocked never truncates. ‡ (anyio on trio: 4.1 of 8
        MB, then a clean end of stream)

        Where to look: if a send of the channel's own has not finished, ``end_write`` must neither
        interrupt nor overtake it, nor fail because of it. Note that the end is wanted, and send it
        after the bytes.
        """
        data = pattern(MORE_THAN_THE_KERNEL)
        pair = await net.recorded()
        pair.protocol.verb("write", data)
        # Meanwhile the kernel's buffers fill, and the send of the rest blocks.
        await net.quiet()
        pair.protocol.verb("loseWriteConnection")
        await net.quiet()
        assert pair.protocol.events == ["connectionMade"]
        head = await pair.peer.read_exactly(1000)
        pair.protocol.verb("loseWriteConnection")
        assert_same(head + await pair.peer.read_to_eof(), data)
        await net.until(pair.protocol, "writeConnectionLost")
        assert pair.transport.droppedBytes == 0

    @rule("FLU-05", needs=("can_half_close",))
    async def test_flu_05_a_program_that_is_left_in_the_middle(self, net: Net) -> None:
        """A cancelled task never leaves a clean end of stream after truncated data (capability
        `can_reset`). ‡

        Where to look: ``Channel.abort``, and the ``finally`` of a task that serves a channel. If
        it closes the channel before everything was sent, it must reset the connection. Leaving a
        backend aborts all connections that it was told of by ``Backend.hold``; check that it
        knows each.
        """
        data = pattern(MORE_THAN_THE_KERNEL)
        for verb, grace in (
            (None, None),
            ("loseWriteConnection", None),
            ("loseConnection", None),
            ("loseConnection", 0.0),
        ):
            case = f"{verb}, grace {grace}"
            protocol = Recorder(connectionMade=lambda p: p.transport.write(data))
            error = Boom(case) if grace is None else None
            body = _leaving(net, protocol, verb, error)
            async with Program(net, protocol, body, grace=grace) as left:
                assert type(await left.over()) is ConnectionAborted, case
                assert left.error is error, f"{case}: {left.error!r}"
                received, end = await left.peer.read_all()
                assert len(received) < len(data), case
                assert_same(received, data[: len(received)])
                if left.can.can_reset:
                    assert end == "reset", (
                        f"{case}: {len(received)} bytes and a clean end of stream"
                    )
                assert protocol.events == ["connectionMade", "connectionLost"], case

    @rule("FLU-06", needs=("can_half_close",))
    async def test_flu_06_data_and_end_of_stream_while_paused(self, net: Net) -> None:
        """Reading is paused, and then data and an end of stream arrive: nothing is delivered. After
        the resume comes the data, then one readConnectionLost. (netty#6303)

        Where to look: after ``pause_reading`` the channel must not look for the end of stream
        either. It reads that in its turn, after the data.
        """
        for when in ("in connectionMade", "later"):
            made = (lambda p: p.transport.pauseProducing()) if when != "later" else lambda p: None
            pair = await net.recorded(connectionMade=made, readConnectionLost=lose_write)
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

    @rule("FLU-07", needs=("can_half_close",))
    async def test_flu_07_idle_costs_nothing(self, net: Net) -> None:
        """Pausing and resuming after the end of stream, a half-closed connection that is idle, a
        peer that resets or hangs up while we are paused: none of these causes a second
        readConnectionLost or a busy loop (it takes under 5 % of a core over a second). † ‡
        (EPOLLHUP and EPOLLERR cannot be masked, so unregister the descriptor.)

        Where to look: stop watching a descriptor when neither reading nor writing is wanted. As
        long as it is watched, poll and epoll report a hang-up or an error without end.
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
        if net.channel_type.scheme != "stdio":
            await a_peer_that_reset()

    @rule("FLU-08")
    async def test_flu_08_pause_inside_data_received(self, net: Net) -> None:
        """After pauseProducing inside dataReceived, with more data and an end of stream queued,
        nothing more is delivered until the resume.

        Where to look: a channel that reads in a loop must look after each ``received`` whether it
        was paused. If it had read more by then, it may still give that: the connection keeps it.
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

        # Input that a channel gives although it is paused is kept, and comes in its order.
        channel = FakeChannel(Capabilities())
        kept = Recorder(connectionMade=lambda p: p.verb("pauseProducing"))
        channel.attach(net, kept)
        kept.verb("loseWriteConnection")
        await net.until(kept, "writeConnectionLost")
        channel.handler.received(b"one, ")
        await net.turns()
        assert kept.events == ["connectionMade", "writeConnectionLost"]
        kept.verb("resumeProducing")
        await net.until(kept, "dataReceived")
        kept.verb("pauseProducing")
        channel.handler.received(b"two, ")
        kept.verb("resumeProducing")
        channel.handler.received(b"three")
        channel.handler.read_ended()
        await net.lost(kept)
        assert bytes(kept.received) == b"one, two, three"

    @rule("FLU-09")
    async def test_flu_09_the_input_first(self, net: Net) -> None:
        """A hang-up, an error or a *failed send*, while input is unread: the input comes first (it
        is kept while paused), then readConnectionLost if the peer's end of stream was seen, then
        connectionLost (capability `keeps_input`). † ‡ (With a write pending, Twisted, asyncio and
        uvloop drop what the peer sent before it closed.) (netty#4317)

        Where to look: if an error comes together with input, report the input first. As long as
        the descriptor can still be read, report a failed send by ``write_failed``, or raise it
        from ``write``; do not call ``failed``. If the framework closes the descriptor then, the
        channel declares ``keeps_input`` off.
        """
        stdio = net.channel_type.scheme == "stdio"

        async def check(pair: Pair[Recorder], events: list[str], paused: bool, case: str) -> None:
            if paused:
                await net.quiet()
                # PIP-04: that the reader of our output went away may be told at any time.
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
                # On two pipes, a close would end both halves, and with them the connection.
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
                # TCP answers the first write with a reset, at which the second one fails.
                pair.protocol.verb("write", b"x")
                if paused:
                    await net.turns()
                pair.protocol.verb("write", b"y")
            if stdio and not paused:
                await ends_at_all(pair)
            elif not pair.can.keeps_input:
                kept.append(await ends_at_all(pair))
            else:
                events = ["connectionMade", "dataReceived", "readConnectionLost", "connectionLost"]
                if stdio:
                    events.insert(1, "writeConnectionLost")
                await check(pair, events, paused, "failed send")
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
                kept.append(await ends_at_all(pair))
            assert type(await net.lost(pair.protocol)) is ConnectionLost

        async def ends_at_all(pair: Pair[Recorder]) -> bool:
            """Check a channel without ``keeps_input``: it may lose input, but the end must come.

            :returns: whether the input came all the same.
            """
            await net.turns()
            if "connectionLost" not in pair.protocol.events:
                pair.protocol.verb("resumeProducing")
            await net.lost(pair.protocol)
            assert LAST_WORDS.startswith(pair.protocol.received)
            assert pair.protocol.events.count("connectionLost") == 1
            return pair.protocol.received == LAST_WORDS

        kept: list[bool] = []
        for paused in (True, False):
            await hang_up(paused)
            await failed_send(paused)
            if not stdio:
                await error(paused)
                await failed_pending_send(paused)
        # A capability may be declared off if it fails in one case.
        assert not kept or not all(kept), "keeps_input is declared off, and works"

    @rule("FLU-10")
    async def test_flu_10_a_paused_reader_bounds_the_memory(self, net: Net) -> None:
        """A paused reader bounds the memory: a peer that sends without end fills at most the
        kernel's buffers and one read (capability `bounds_input`).

        Where to look: ``pause_reading`` must leave the input in the kernel. Neither the channel,
        its task nor the framework may go on reading into memory.
        """
        bounded = []
        for when in ("connectionMade", "dataReceived"):
            pair = await net.recorded(**{when: lambda p, *_: p.transport.pauseProducing()})
            sent = await flood(net, pair.peer, MORE_THAN_THE_KERNEL)
            bounded.append(sent < MORE_THAN_THE_KERNEL)
            if pair.can.bounds_input:
                assert bounded[-1], f"paused in {when}, we took {sent} bytes"
            assert len(pair.protocol.chunks) == (1 if when == "dataReceived" else 0), when
            pair.protocol._reactions.clear()
            pair.protocol.verb("resumeProducing")
            pair.peer.shutdown()
            await net.until(pair.protocol, "readConnectionLost")
            assert len(pair.protocol.received) == sent, when
            pair.protocol.verb("loseConnection")
            await net.lost(pair.protocol)
            off = not pair.can.bounds_input
        assert not (off and all(bounded)), "bounds_input is declared off, and works"

    @rule("FLU-11", schemes=("tcp", "unix", "memory"), needs=("can_half_close",))
    async def test_flu_11_a_reset_is_told(self, net: Net) -> None:
        """A peer's reset while reads are paused, or have already ended, is reported as
        ConnectionLost, at the latest on the next resumeProducing, write, loseWriteConnection or
        loseConnection. Where the platform can tell it earlier, it is reported earlier. † ‡
        (twisted#11168)

        Where to look: ``write`` and ``end_write`` must raise an error, or report ``write_failed``,
        if the connection is gone. shutdown(2) on a unix socket does not fail then, so ask for
        SO_ERROR first. If the framework swallows the error, ask for it before calling it.
        """
        verbs = {
            "resumeProducing": (),
            "write": (b"x",),
            "loseWriteConnection": (),
            "loseConnection": (),
        }
        silent: list[str] = []
        for verb, arguments in verbs.items():
            # In different turns of the loop, since that may be about to find the reset itself.
            for reads, turns in product(("never begun", "paused", "ended"), (0, 1, 2, 5)):
                case = f"reads {reads}, then {verb} after {turns} turns"
                made = paused_with_unread if reads == "never begun" else leave_unread
                pair = await net.recorded(connectionMade=made)
                await pair.peer.until_input()
                if reads == "paused":
                    pair.protocol.verb("pauseProducing")
                elif reads == "ended":
                    pair.peer.shutdown()
                    await net.until(pair.protocol, "readConnectionLost")
                pair.peer.reset()
                await net.turns(turns)
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

    @rule("FLU-12", needs=("descriptors",))
    async def test_flu_12_no_signal(self, net: Net) -> None:
        """SIGPIPE may be at its default, as it is in filters: a send to a peer that has gone, or to
        a pipe that nobody reads, fails as ever, and never kills the process. Nor is the signal
        blocked, or left pending for anybody else.

        Where to look: pass MSG_NOSIGNAL with each send, or set SO_NOSIGPIPE where the platform
        has that. A pipe has no such flag: block the signal in the thread that writes, and after
        the write take the signal that it caused.
        """
        goings = {
            "tcp": ("reset", "shutdown reset", "reset_unseen"),
            "unix": ("close", "shutdown close"),
            "stdio": ("stop_reading",),
        }[net.channel_type.scheme]
        with _deadly_sigpipe():
            for going, pending, turns in product(goings, (0, MORE_THAN_THE_KERNEL), (0, 1, 3)):
                pair = await net.recorded()
                pair.protocol.verb("pauseProducing")
                pair.protocol.verb("write", b"x" * pending)
                for step in going.split():
                    getattr(pair.peer, step)()
                await net.turns(turns)
                for _ in range(3):
                    pair.protocol.verb("write", b"too late")
                    await net.turns(turns)
                if pair.can.can_half_close:
                    pair.protocol.verb("loseWriteConnection")
                pair.protocol.verb("abortConnection")
                await net.lost(pair.protocol)
