"""EVT: events and their order."""

from __future__ import annotations

import gc
import weakref
from functools import partial
from typing import Any

from ...channel import Capabilities
from ...lifecycle import State
from ...reasons import ConnectionDone, ConnectionLost
from ...running import open_backend
from ..tools.data import assert_same, pattern
from ..tools.fakes import FakeChannel
from ..tools.harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from ..tools.reactions import lose, lose_write, paused_with_unread
from ..tools.recorder import PlainRecorder, Recorder
from ..tools.waiting import eventually
from .contexts import check_contexts

__all__ = ["EventRules"]

BOTH_ENDED = {"readConnectionLost", "writeConnectionLost"}


async def _released(net: Net, ours: set[object]) -> bool:
    """Wait until *ours*, which our end of a connection held, is released; False if it never is."""
    return await eventually(net, lambda: not ours & net.channel_type.holdings(net.backend))


def _begun_or_gone(reference: weakref.ref[Recorder]) -> bool:
    """Whether the protocol has had an event, or was garbage-collected."""
    protocol = reference()
    return protocol is None or bool(protocol.events)


class EventRules:
    """The rules EVT-01 to EVT-16."""

    @rule("EVT-01")
    async def test_evt_01_connection_made_once_and_first(self, net: Net) -> None:
        """`makeConnection` sets `transport` and then calls `connectionMade`, once, before any
        other event.

        Where to look: attach the protocol with ``Connection.attach``, once for each channel, and
        deliver nothing from the channel's constructor.
        """
        seen: list[object] = []

        made = Recorder(connectionMade=lambda p: seen.append(p.transport.state))
        connect = await net.serve(lambda: made)
        peer = net.closing(await connect())
        # It may come before the protocol is attached, and must wait for connectionMade.
        peer.send_now(b"x")
        await net.until(made, "dataReceived")
        await net.quiet()
        assert seen == [State.OPEN]
        assert made.events == ["connectionMade", "dataReceived"]

    @rule("EVT-02")
    async def test_evt_02_peers_end_of_stream(self, net: Net) -> None:
        """The peer's end of stream, where nothing is pending, leads to exactly one
        readConnectionLost and to no connectionLost, and what we write still reaches the peer.

        Where to look: the channel calls ``read_ended`` once, and keeps its descriptor open.
        """
        pair = await net.recorded()
        pair.peer.shutdown()
        await net.until(pair.protocol, "readConnectionLost")
        await net.quiet()
        assert pair.protocol.events == ["connectionMade", "readConnectionLost"]
        pair.protocol.verb("write", b"still here")
        assert pair.transport.droppedBytes == 0
        assert await pair.peer.read_exactly(10) == b"still here"
        assert pair.transport.state is State.READ_CLOSED

    @rule("EVT-03")
    async def test_evt_03_data_and_end_of_stream_together(self, net: Net) -> None:
        """Data and an end of stream in one segment: the data comes first, whole, and then
        readConnectionLost. (anyio#701)

        Where to look: read until the system says that there is no more, and only then call
        ``read_ended``.
        """
        pair = await net.recorded(connectionMade=lambda p: p.transport.pauseProducing())
        # The system takes more of this at once than one read gives.
        data = pattern(1 << 18)
        sent = pair.peer.send_some(data)
        pair.peer.shutdown()
        pair.protocol.verb("resumeProducing")
        await net.until(pair.protocol, "readConnectionLost")
        assert_same(bytes(pair.protocol.received), data[:sent])
        assert pair.protocol.events == ["connectionMade", "dataReceived", "readConnectionLost"]

    @rule("EVT-04", needs=("can_half_close",))
    async def test_evt_04_our_end_of_stream(self, net: Net) -> None:
        """loseWriteConnection leads to exactly one writeConnectionLost. It comes after every
        accepted byte and the end of stream have been handed to the kernel, and never inside the
        call.

        Where to look: ``Channel.end_write`` may return True, or call ``write_ended``, only when
        the end of stream is with the kernel. If the framework has a buffer of its own, wait until
        that has been sent.
        """
        pair = await net.recorded()
        data = b"x" * MORE_THAN_THE_KERNEL
        pair.protocol.verb("write", data)
        pair.protocol.verb("loseWriteConnection")
        assert "writeConnectionLost" not in pair.protocol.events
        # The peer reads nothing, and the kernel cannot take all, so no end of stream can be sent.
        await net.quiet()
        assert "writeConnectionLost" not in pair.protocol.events
        received = await pair.peer.read_to_eof()
        assert_same(received, data)
        await net.until(pair.protocol, "writeConnectionLost")
        await net.turns()
        assert pair.protocol.events == ["connectionMade", "writeConnectionLost"]
        pair.peer.send_now(b"reply")
        await net.until(pair.protocol, "dataReceived")

    @rule("EVT-05", needs=("can_half_close",))
    async def test_evt_05_both_halves_end(self, net: Net) -> None:
        """Both halves end, in either order or at once, and nobody calls loseConnection:
        readConnectionLost and writeConnectionLost come once each, then
        connectionLost(ConnectionDone), without any further call, and the descriptor is released. †
        ‡ (twisted#5662)

        Where to look: the channel reports ``read_ended`` and the end of ``end_write``, each when
        it happens. It releases its descriptor in ``Channel.close``, which the connection calls.
        """

        async def peer_first(pair: Pair[Recorder]) -> None:
            pair.peer.shutdown()
            await net.until(pair.protocol, "readConnectionLost")
            pair.protocol.verb("loseWriteConnection")

        async def peer_last(pair: Pair[Recorder]) -> None:
            pair.protocol.verb("loseWriteConnection")
            await net.until(pair.protocol, "writeConnectionLost")
            await pair.peer.read_to_eof()
            pair.peer.shutdown()

        async def at_once(pair: Pair[Recorder]) -> None:
            pair.peer.shutdown()
            pair.protocol.verb("loseWriteConnection")

        for order in (peer_first, peer_last, at_once):
            protocol = Recorder()
            connect = await net.serve([protocol].pop)
            before = net.channel_type.holdings(net.backend)
            peer = net.closing(await connect())
            await net.until(protocol, "connectionMade")
            ours = net.channel_type.holdings(net.backend) - before - peer.holdings()
            await order(Pair(protocol, peer))
            reason = await net.lost(protocol)
            assert type(reason) is ConnectionDone, order.__name__
            assert protocol.events[0] == "connectionMade"
            assert set(protocol.events[1:3]) == BOTH_ENDED
            assert protocol.events[3:] == ["connectionLost"]
            assert protocol.transport.getHandle() is None
            assert await _released(net, ours), f"{order.__name__}: our end is still held"

    @rule("EVT-06")
    async def test_evt_06_connection_lost_once_and_last(self, net: Net) -> None:
        """connectionLost comes exactly once and last, whatever races with it. It always comes, and
        nothing is called after it. † (On Twisted over uvloop, where data and a reset came in one
        poll: the data, then nothing ever.) (asyncio#359)

        Where to look: the channel calls nothing after ``failed``. If an error comes together with
        data, it reports the data first.
        """
        pair = await net.recorded(
            dataReceived=lambda p, _: (p.verb("loseConnection"), p.verb("abortConnection"))
        )
        pair.peer.send_now(b"x")
        pair.peer.shutdown()
        await net.lost(pair.protocol)
        await net.quiet()
        assert pair.protocol.events == ["connectionMade", "dataReceived", "connectionLost"]

        if net.channel_type.scheme == "stdio":
            return
        # The data and the reset have both arrived before our side looks.
        racing = await net.recorded(connectionMade=lambda p: p.transport.write(b"unread"))
        await racing.peer.until_input()
        racing.peer.send_now(b"x" * 1000)
        racing.peer.reset()
        reason = await net.lost(racing.protocol)
        await net.quiet()
        assert isinstance(reason, ConnectionLost)
        assert racing.protocol.events.count("connectionLost") == 1

    @rule("EVT-07", needs=("can_half_close",))
    async def test_evt_07_no_event_inside_a_verb_or_an_event(self, net: Net) -> None:
        """No event is ever delivered inside a verb, and no event inside another event of the same
        connection. † (twisted#5210)

        Where to look: a channel never calls its handler inside a call by the handler. It has
        such a call made in the next turn, by ``call_soon``.
        """

        def everything(protocol: Recorder, *_: object) -> None:
            for name in ("pauseProducing", "resumeProducing", "loseWriteConnection"):
                protocol.verb(name)

        pair = await net.recorded(connectionMade=everything, dataReceived=everything)
        pair.peer.send_now(b"x")
        await net.until(pair.protocol, "dataReceived")
        pair.peer.shutdown()
        await net.lost(pair.protocol)
        for verb in ("loseConnection", "abortConnection"):
            other = await net.recorded()
            # The same outside of events. The recorder complains of an event inside the verb.
            other.protocol.verb("write", b"x")
            other.protocol.verb(verb)
            assert "connectionLost" not in other.protocol.events
            await net.lost(other.protocol)
        # The same for events that wait only for the verb, since reading was paused.
        paused = await net.recorded(connectionMade=lambda p: p.verb("pauseProducing"))
        paused.peer.send_now(b"x")
        paused.peer.shutdown()
        await net.quiet()
        paused.protocol.verb("resumeProducing")
        assert paused.protocol.events == ["connectionMade"]
        await net.until(paused.protocol, "readConnectionLost")
        paused.protocol.verb("loseWriteConnection")
        assert paused.protocol.events[-1] == "readConnectionLost"
        await net.lost(paused.protocol)
        if net.channel_type.scheme == "stdio":
            return
        # The same for a verb that discovers the loss of the connection.
        for verb, *arguments in (
            ("resumeProducing",),
            ("write", b"x"),
            ("loseWriteConnection",),
            ("loseConnection",),
        ):
            was_reset = await net.recorded(connectionMade=paused_with_unread)
            await was_reset.peer.until_input()
            was_reset.peer.reset()
            was_reset.protocol.verb(verb, *arguments)
            assert was_reset.protocol.events == ["connectionMade"], verb
            await net.lost(was_reset.protocol)

    @rule("EVT-08", needs=("can_half_close",))
    async def test_evt_08_lose_write_then_lose_inside_the_events(self, net: Net) -> None:
        """loseWriteConnection inside readConnectionLost, and then loseConnection inside
        writeConnectionLost, lead to one connectionLost, after writeConnectionLost has returned. †
        (twisted#3037)

        Where to look: ``Connection`` orders the events; a channel has no part in it.
        """
        pair = await net.recorded(readConnectionLost=lose_write, writeConnectionLost=lose)
        pair.peer.shutdown()
        reason = await net.lost(pair.protocol)
        assert type(reason) is ConnectionDone
        assert pair.protocol.events == [
            "connectionMade",
            "readConnectionLost",
            "writeConnectionLost",
            "connectionLost",
        ]

    @rule("EVT-09")
    async def test_evt_09_data_is_bytes_and_never_empty(self, net: Net) -> None:
        """`dataReceived` never gets empty bytes and never comes after readConnectionLost, and its
        argument is `bytes`.

        Where to look: never call ``received`` with empty input: it is the end of stream, or means
        nothing. Convert a bytearray or a memoryview to bytes before.
        """
        pair = await net.recorded()
        for piece in (b"a", b"bc" * 1000, b"d"):
            pair.peer.send_now(piece)
            await net.turns(2)
        pair.peer.shutdown()
        await net.until(pair.protocol, "readConnectionLost")
        # The recorder complains of any argument that is empty or not bytes, and of data after
        # readConnectionLost.
        assert len(pair.protocol.received) == 2002
        assert all(pair.protocol.chunks)
        await net.quiet()

    @rule("EVT-10", needs=("can_half_close",))
    async def test_evt_10_lives_without_references(self, net: Net) -> None:
        """A connection that is idle, half-closed or paused lives until connectionLost, also where
        user code holds no reference to it. † ‡ (twisted#3313. uvloop crashes here, so hold a strong
        reference until connectionLost.)

        Where to look: ``Backend.hold`` keeps a reference to the connection. A channel that is
        served by a task must keep a reference to the task.
        """
        for treat in ("idle", "half-closed", "paused"):
            lost = net.backend.create_event()
            made = Recorder(
                connectionMade=lambda p, treat=treat: (
                    p.verb("loseWriteConnection") if treat == "half-closed" else None,
                    p.verb("pauseProducing") if treat == "paused" else None,
                ),
                connectionLost=lambda p, _, lost=lost: lost.set(),
            )
            holder = [made]
            connect = await net.serve(holder.pop)
            reference = weakref.ref(made)
            del made
            peer = net.closing(await connect())
            await eventually(net, partial(_begun_or_gone, reference))
            await net.quiet()
            gc.collect()
            survivor = reference()
            assert survivor is not None, treat
            assert survivor.events[:1] == ["connectionMade"], treat
            assert "connectionLost" not in survivor.events, treat
            net.backend.call_soon(survivor.transport.loseConnection)
            del survivor
            await net.wait(lost, f"connectionLost of the {treat} connection")
            peer.close()

    @rule("EVT-11")
    async def test_evt_11_any_chunking_gives_the_same(self, net: Net) -> None:
        """The same byte stream, cut into chunks of 1, 2, 7, 1448 or 65536 bytes, gives the same
        events and bytes.

        Where to look: code that depends on how much one read gives, or takes a short read for the
        end.
        """
        data = bytes(range(256)) * 300
        for size, length in ((1, 300), (2, 600), (7, 2100), (1448, 40000), (65536, len(data))):
            pair = await net.recorded(readConnectionLost=lose)
            for start in range(0, length, size):
                piece = data[start : min(start + size, length)]
                if size < 1000:
                    pair.peer.send_now(piece)
                    # Let our side read each piece alone. Besides, each send takes up a buffer of
                    # the kernel, however few bytes it has, so that many would fill the queue.
                    await net.turns(1)
                else:
                    await pair.peer.send(piece)
            pair.peer.shutdown()
            await net.lost(pair.protocol)
            assert_same(bytes(pair.protocol.received), data[:length], f"in pieces of {size} bytes")
            assert pair.protocol.events == [
                "connectionMade",
                "dataReceived",
                "readConnectionLost",
                "connectionLost",
            ], size

    @rule("EVT-12", needs=("can_half_close",))
    async def test_evt_12_a_protocol_that_is_not_half_closeable(self, net: Net) -> None:
        """If a `Protocol` is not half-closeable, the peer's end of stream acts as loseConnection:
        pending bytes are flushed, and then one connectionLost(ConnectionDone) comes.
        loseWriteConnection works for it, without a writeConnectionLost. † (twisted#7546)

        Where to look: ``Connection`` does this. The channel reports the end of stream and stays
        open, whatever the protocol is.
        """
        data = b"x" * MORE_THAN_THE_KERNEL
        pair = await net.pair(PlainRecorder(connectionMade=lambda p: p.transport.write(data)))
        pair.peer.shutdown()
        assert await pair.peer.read_to_eof() == data
        assert type(await net.lost(pair.protocol)) is ConnectionDone
        assert pair.protocol.events == ["connectionMade", "connectionLost"]

        other = await net.pair(PlainRecorder())
        other.protocol.verb("write", b"x")
        other.protocol.verb("loseWriteConnection")
        assert await other.peer.read_to_eof() == b"x"
        other.peer.send_now(b"reply")
        await net.until(other.protocol, "dataReceived")
        other.peer.shutdown()
        assert type(await net.lost(other.protocol)) is ConnectionDone
        assert other.protocol.events == ["connectionMade", "dataReceived", "connectionLost"]

    @rule("EVT-13")
    async def test_evt_13_early_input_is_kept(self, net: Net) -> None:
        """Bytes or an end of stream that arrive before the protocol is attached are kept, and are
        delivered after connectionMade.

        Where to look: a new channel must not read before ``resume_reading`` is called.
        """
        for data, ends in ((b"early", True), (b"early", False), (b"", True)):
            made = Recorder()
            connect = await net.serve([made].pop)
            peer = net.closing(await connect())
            # If our side accepts, the input is in the kernel before there is a protocol.
            if data:
                peer.send_now(data)
            if ends:
                peer.shutdown()
            events = ["connectionMade"]
            events += ["dataReceived"] * bool(data) + ["readConnectionLost"] * ends
            await net.until(made, events[-1])
            assert bytes(made.received) == data
            assert made.events == events
            made.verb("abortConnection")
            await net.lost(made)

    @rule("EVT-14", needs=("can_half_close",))
    async def test_evt_14_nothing_but_connection_lost_after_closing(self, net: Net) -> None:
        """After loseConnection or abortConnection the only event is connectionLost. No
        dataReceived, readConnectionLost or writeConnectionLost comes, also where a
        loseWriteConnection was still pending.

        Where to look: ``Connection`` drops whatever a channel reports after the verb.
        """
        for verb in ("loseConnection", "abortConnection"):
            for write_first in (False, True):
                pair = await net.recorded()
                pair.peer.send_now(b"input")
                pair.peer.shutdown()
                if write_first:
                    pair.protocol.verb("write", b"x" * 100)
                    pair.protocol.verb("loseWriteConnection")
                pair.protocol.verb(verb)
                await net.lost(pair.protocol)
                await net.quiet()
                assert pair.protocol.events == ["connectionMade", "connectionLost"], verb

        # Also during a close that takes long, since the peer does not read.
        for write_first in (False, True):
            pair = await net.recorded()
            pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
            if write_first:
                pair.protocol.verb("loseWriteConnection")
            pair.protocol.verb("loseConnection")
            pair.peer.send_now(b"input")
            pair.peer.shutdown()
            await net.quiet()
            assert pair.protocol.events == ["connectionMade"]
            assert len(await pair.peer.read_to_eof()) == MORE_THAN_THE_KERNEL
            await net.lost(pair.protocol)
            assert pair.protocol.events == ["connectionMade", "connectionLost"]

        # Also for input that the connection keeps, which a channel gave although it was paused.
        channel = FakeChannel(Capabilities(), room=0)
        protocol = Recorder(connectionMade=lambda p: p.verb("pauseProducing"))
        channel.attach(net, protocol)
        protocol.verb("write", b"x")
        channel.handler.received(b"kept")
        channel.handler.read_ended()
        protocol.verb("resumeProducing")
        protocol.verb("loseConnection")
        await net.turns()
        assert protocol.events == ["connectionMade"]
        channel.make_room(1)
        await net.lost(protocol)
        assert protocol.events == ["connectionMade", "connectionLost"]

    @rule("EVT-15")
    async def test_evt_15_when_closed(self, net: Net) -> None:
        """`whenClosed()` returns the reason, and never raises it, after connectionLost has
        returned. Any number of tasks may await it, again and later too. Cancelling one waiter
        affects no other. (A shared asyncio future or Deferred fails this.)

        Where to look: the event of ``Backend.create_event`` must make a new future, or whatever
        the framework waits for, for each waiter.
        """
        early: list[object] = []
        answers: list[object] = []
        answered: list[Any] = []
        pair = await net.recorded(connectionLost=lambda *_: early.extend(answers))

        async def ask(done: Any) -> None:
            try:
                answers.append(await pair.transport.whenClosed())
            except Exception as error:
                answers.append(f"{error!r} was raised")
            done.set()

        def begin_to_ask() -> None:
            answered.append(net.backend.create_event())
            net.backend.start_soon(ask, answered[-1])

        for _ in range(3):
            begin_to_ask()
        await net.quiet()
        assert not answers
        async with open_backend(net.backend.name) as inner:
            inner.start_soon(pair.transport.whenClosed)
            await net.turns()
            # Leaving `inner` cancels that waiter.
        pair.protocol.verb("loseConnection")
        for done in answered:
            await net.wait(done, "the return of whenClosed()")
        for _ in range(2):
            begin_to_ask()
            await net.wait(answered[-1], "the return of a later whenClosed()")
        assert not early, "whenClosed() returned before connectionLost was called"
        assert answers == [pair.protocol.reason] * 5

    @rule("EVT-16")
    async def test_evt_16_a_context_of_its_own(self, net: Net) -> None:
        """Each connection has a context (contextvars) of its own. It is copied where connect was
        called or, for a connection that was accepted, where listen was called. The factory, the
        events and the producers' calls run in it, and what these give to start_soon, call_soon and
        call_later runs in a copy of it. (On the stock frameworks they run in whoever's context is
        current when bytes arrive, and tenants and request ids leak from one connection into
        another.)

        Where to look: a listener must give ``Backend.accept`` a copy of the context in which
        ``listen`` was called. ``call_soon``, ``call_later`` and ``start_soon`` must take
        ``contextvars.copy_context()`` when they are called, and run the function in it.
        """
        await check_contexts(net)
