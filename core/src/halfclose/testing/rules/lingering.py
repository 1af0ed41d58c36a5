"""END: after our close the peer's input is read and discarded, so that the peer gets our reply."""

from __future__ import annotations

import os
import tracemalloc
from typing import Any

from ...io import lingering
from ...reasons import (
    ConnectionDone,
)
from ..channels.peers import LIMIT, RawPeer
from ..tools.data import assert_same
from ..tools.harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from ..tools.reactions import write_and_lose
from ..tools.recorder import Recorder
from ..tools.shortage import no_more_descriptors
from ..tools.waiting import at_once, eventually, ticking

__all__ = ["LingeringRules"]

SLOWLY = {"tcp": (1 << 16, 1 << 21), "unix": (12 << 10, 1 << 17), "memory": (1 << 12, 1 << 17)}
"""How many bytes a slow peer reads at a time, and how many in all, by the scheme of the raw peer.

The send queue of TCP and of a unix socket shrinks by whole packets only, of up to 64 and 36 KiB.
"""

UNREAD = {"tcp": 1 << 19, "unix": 1 << 16, "memory": 1 << 12}
"""Bytes that do not all leave our send queue while the peer does not read, by scheme."""


class Watched:
    """A connection that lingers, of which it is watched whether our end still holds its
    descriptor. The peer could not see that."""

    def __init__(self, net: Net, pair: Pair[Recorder], ours: set[object]) -> None:
        self.protocol: Recorder = pair.protocol
        self.peer: RawPeer = pair.peer
        self._net = net
        self._ours = ours

    @classmethod
    async def connect(cls, net: Net, reply: bytes = b"x", **options: Any) -> Watched:
        """Make a connection that writes *reply* and closes, while its peer does not close."""
        made = Recorder(connectionMade=write_and_lose(reply))
        connect = await net.serve(lambda: made, **options)
        net.watch(made)
        before = net.channel_type.holdings(net.backend)
        peer: RawPeer = net.closing(await connect())
        await net.until(made, "connectionMade")
        ours = net.channel_type.holdings(net.backend) - before - peer.holdings()
        pair = Pair(made, peer)
        assert pair.can.drains, "drains is declared off, which only standard input may"
        return cls(net, pair, ours)

    def held(self) -> bool:
        """Whether our end of the connection has not been released."""
        return bool(self._ours & self._net.channel_type.holdings(self._net.backend))

    async def released(self) -> None:
        """Wait until our end has been released, and fail if it never is."""
        gone = await eventually(self._net, lambda: not self.held())
        assert gone, f"our end was still held after {LIMIT} s"


class LingeringRules:
    """The rules END-01, END-02 and END-07."""

    @rule("END-01", schemes=("tcp", "unix", "memory"))
    async def test_end_01_the_peer_reads_the_whole_reply(self, net: Net) -> None:
        """After loseConnection with unread input in the kernel, the peer still reads the whole
        reply and a clean end of stream. † ‡ (A 4 MiB reply to a client that is still uploading:
        Twisted, asyncio and anyio on either loop all delivered 1.4 MB.)

        Where to look: closing a socket with unread input sends a reset, and the peer's kernel
        then throws away what the peer had not read of our reply. So the connection reads on while
        it is closing, and then gives the channel to ``Backend.lingering``. ``resume_reading``
        must work for that, also after ``pause_reading`` and after ``end_write``.
        """
        # The kernel takes the short reply at once, and the long one only while the upload is read.
        for reply in (os.urandom(1 << 20) * 4, b"a short one"):
            for paused in (False, True):
                await self._replies_to_an_upload(net, reply, paused)

    async def _replies_to_an_upload(self, net: Net, reply: bytes, paused: bool) -> None:
        upload = b"u" * (6 << 20)
        case = f"{len(reply)} bytes of reply, {'paused' if paused else 'reading'}"
        pair = await net.recorded()
        assert pair.can.drains, "drains is declared off, which only standard input may"
        if paused:
            pair.protocol.verb("pauseProducing")
        sent = await pair.peer.send(upload[: 1 << 16])
        write_and_lose(reply)(pair.protocol)
        sent += await pair.peer.send(upload[1 << 16 :])
        received, end = await pair.peer.read_all()
        assert end == "eof", f"{case}: {len(received)} bytes and then a {end}"
        assert_same(received, reply, case)
        assert sent == len(upload), f"{case}: {sent} bytes of the upload were taken"
        assert type(await net.lost(pair.protocol)) is ConnectionDone
        pair.peer.close()

    @rule("END-02", schemes=("tcp", "unix", "memory"))
    async def test_end_02_lingering(self, net: Net) -> None:
        """The protocol hears connectionLost(ConnectionDone) as soon as its bytes and its end of
        stream are with the kernel. The backend then lingers: it reads and discards the peer's input
        until the peer's end of stream. Only sockets linger. stdin is never drained, since its bytes
        belong to the next program.

        Lingering gives up after `linger_timeout` seconds without progress (5 by default; 0 turns
        lingering off), and 30 seconds after the kernel's send queue has become empty. Progress is:
        the send queue shrinks (SIOCOUTQ); while it is not empty, any input, since the peer may have
        to send before it can read; after that, 16 KiB of input. Lingering takes bounded memory. No
        more than 1024 connections linger at once; for one more, the oldest goes.

        Where to look: ``Backend.lingering`` becomes the channel's handler by a second call of
        ``start``. ``Channel.unsent`` must return the length of the kernel's send queue. The
        ``close`` at the end must release the descriptor at once, even while a task is reading.
        (For stdin, see rule PIP-03.)
        """
        await self._discards(net)
        await at_once(net, self._gives_up)
        await at_once(net, self._gives_up_in_spite_of_progress)
        await self._oldest_goes(net)

    async def _discards(self, net: Net) -> None:
        # With this timeout, only the peer's end can end the lingering.
        watched = await Watched.connect(net, linger_timeout=100 * LIMIT)
        # connectionLost comes although the peer has not ended its half.
        assert type(await net.lost(watched.protocol)) is ConnectionDone
        assert await watched.peer.read_to_eof() == b"x"
        assert watched.held()
        block = b"u" * (1 << 18)
        tracemalloc.start()
        try:
            sent = 0
            for _ in range(96):
                sent += await watched.peer.send(block)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert sent == 96 * len(block)
        # The bound leaves room for libuv, which reads 32 times 256 kB in one turn.
        assert peak < 12 << 20, f"{peak} bytes were held of {sent} that were to be discarded"
        assert watched.protocol.events == ["connectionMade", "connectionLost"]
        assert watched.held()
        watched.peer.shutdown()
        await watched.released()

    async def _gives_up(self, net: Net, timeout: float) -> None:
        clock = net.backend.time
        off = await Watched.connect(net, linger_timeout=0)
        begun = clock()
        await off.released()
        assert clock() - begun < LIMIT / 4, "with linger_timeout=0 it lingered"

        # One peer stalls, one goes on sending much, and one reads its reply slowly.
        step, size = SLOWLY[net.channel_type.scheme]
        reader = await Watched.connect(net, b"x" * size, linger_timeout=timeout)
        # With a small receive buffer at the peer, the bytes stay in our send queue.
        reader.peer.narrow(1 << 16)
        read = 0
        await net.turns(20)
        since = clock()
        while "connectionLost" not in reader.protocol.events:
            since = clock()
            read += len(await reader.peer.read_exactly(step))
            await net.turns(20)
        stalled_since = clock()
        stalled = await Watched.connect(net, linger_timeout=timeout)
        sender = await Watched.connect(net, linger_timeout=timeout)
        begun = clock()
        lingered = stalled.held()

        async def progress() -> None:
            nonlocal read
            sender.peer.send_now(b"u" * lingering.BULK)
            if read < size:
                read += len(await reader.peer.read_exactly(min(step, size - read)))
                if read + reader.peer.unread() < size:
                    times["still sending"] = clock() - begun
                    held.append(reader.held())
            if "released" not in times and not stalled.held():
                times["released"] = clock() - stalled_since

        held: list[bool] = []
        times: dict[str, float] = {}
        await ticking(net, 2 * timeout, timeout, progress, since)
        assert lingered, "it did not linger"
        assert sender.held(), "input was not taken for progress"
        # On a unix socket the queue may be too short by now to last longer than the timeout.
        assert times.get("still sending", 0.0) > 1.3 * timeout or net.channel_type.scheme == "unix"
        assert all(held), "a send queue that shrinks was not taken for progress"
        await stalled.released()
        assert times.get("released", LIMIT) >= timeout * 0.9, "it gave up before its timeout"
        await sender.released()
        await reader.released()

    async def _gives_up_in_spite_of_progress(self, net: Net, timeout: float) -> None:
        before, lingering.AFTER_EMPTY = lingering.AFTER_EMPTY, timeout
        try:
            assert before == 30.0
            sender = await Watched.connect(net, linger_timeout=timeout)
            assert await sender.peer.read_to_eof() == b"x"
            end = net.backend.time() + LIMIT
            while sender.held():
                assert net.backend.time() < end, "a peer that sends for ever is read for ever"
                await sender.peer.send(b"u" * lingering.BULK)
                await net.backend.sleep(timeout / 6)
        finally:
            lingering.AFTER_EMPTY = before

    async def _lingering(self, net: Net, count: int) -> list[Watched]:
        """Make *count* connections that linger; the first of them is the oldest."""
        every = []
        for _ in range(count):
            every.append(await Watched.connect(net, linger_timeout=LIMIT))
            await net.lost(every[-1].protocol)
        return every

    async def _oldest_goes(self, net: Net) -> None:
        before, lingering.LIMIT = lingering.LIMIT, 3
        try:
            assert before == 1024
            every = await self._lingering(net, 5)
            for watched in every[:2]:
                await watched.released()
            await net.quiet()
            held = [watched.held() for watched in every]
            assert held == [False, False, True, True, True], f"of five, with a limit of 3: {held}"
            for watched in every:
                watched.peer.close()
            for watched in every:
                await watched.released()
        finally:
            lingering.LIMIT = before

    @rule("END-07", schemes=("tcp", "unix", "memory"))
    async def test_end_07_lingering_ends(self, net: Net) -> None:
        """Lingering ends, whatever the peer does: 300 seconds after the close; and, once the send
        queue is empty, after `linger_bytes` of input (256 MiB by default). Input in small pieces is
        no progress then. Input beyond 64 MiB since the queue was empty, or beyond 1 GiB in all, is
        read at 32 MiB a second, on all connections together; where `bounds_input` is off it is read
        as fast as it comes, since each pause would cost memory. Where no descriptor is left
        (EMFILE, ENFILE), whoever meets that, the oldest that lingers goes at once. (Sixty peers
        that read nothing and sent a byte now and then held sixty of 64 descriptors for ever. An
        endless download that was closed early was read at full speed, 50 GB in 31 seconds.)

        Where to look: core does this. A channel's ``pause_reading`` must work while it lingers,
        and its ``close`` must release the descriptor soon. If it does so after ``close`` has
        returned, it calls ``Backend.hold_channel``.
        """
        await at_once(net, self._a_drop_now_and_then)
        await at_once(net, self._never_reads)
        await self._sends_without_end(net)
        if net.backend.capabilities.descriptors:
            await self._makes_room(net)

    async def _a_drop_now_and_then(self, net: Net, timeout: float) -> None:
        watched = await Watched.connect(net, linger_timeout=timeout)
        assert await watched.peer.read_to_eof() == b"x"
        clock = net.backend.time
        end = clock() + LIMIT
        while watched.held():
            assert clock() < end, "a peer that has everything and sends drops is read for ever"
            await watched.peer.send(b"u")
            await net.backend.sleep(timeout / 6)

    async def _never_reads(self, net: Net, timeout: float) -> None:
        before, lingering.LONGEST = lingering.LONGEST, 4 * timeout
        try:
            assert before == 300.0
            reply = b"x" * UNREAD[net.channel_type.scheme]
            clock = net.backend.time
            begun = clock()
            watched = await Watched.connect(net, reply, linger_timeout=timeout)
            await net.lost(watched.protocol)

            async def send() -> None:
                await watched.peer.send(b"u")

            await ticking(net, 2 * timeout, timeout, send, begun)
            # Input counts while our bytes are unread: the peer may have to send before it reads.
            assert watched.held(), "input was no progress, with our bytes unread"
            while watched.held():
                assert clock() < begun + LIMIT, "a peer that never reads is read for ever"
                await send()
                await net.backend.sleep(timeout / 6)
        finally:
            lingering.LONGEST = before

    async def _sends_without_end(self, net: Net) -> None:
        most = 1 << 20
        watched = await Watched.connect(net, linger_timeout=LIMIT, linger_bytes=most)
        assert await watched.peer.read_to_eof() == b"x"
        block = b"u" * (1 << 18)
        sent = taken = len(block)
        while taken == len(block):
            assert sent < most + MORE_THAN_THE_KERNEL, f"{sent} bytes were taken, of {most}"
            taken = await watched.peer.send(block)
            sent += taken
        assert sent >= most, f"{sent} bytes were taken, and no more"
        await watched.released()

    async def _makes_room(self, net: Net) -> None:
        # Two may have gone, since a framework may need a second descriptor for a moment.
        every = await self._lingering(net, 3)
        client = Recorder()
        net.watch(client)
        with net.channel_type.polled.listening(net.backend) as listener:
            with no_more_descriptors():
                await net.backend.connect(listener.endpoint, lambda: client, LIMIT)
            held = [watched.held() for watched in every]
            assert held in ([False, True, True], [False, False, True]), f"of three: {held}"
        client.verb("abortConnection")
        await net.lost(client)
        for watched in every:
            watched.peer.close()
            await watched.released()
