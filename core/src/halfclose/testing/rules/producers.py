"""PRD: producers."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ...channel import Capabilities
from ...interfaces import Producer
from ...options import HIGH_WATER, LOW_WATER, ConnectionOptions
from ...reasons import ConnectionAborted, ConnectionDone, ConnectionLost
from ..tools.data import assert_same, pattern
from ..tools.fakes import FakeChannel
from ..tools.harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from ..tools.producers import Idle, Pull, Push
from ..tools.reactions import leave_unread
from ..tools.recorder import PlainRecorder, Recorder, _Recording

__all__ = ["ProducerRules"]

ANSWERS = 10_000
"""How many answers of a pull producer PRD-02 asks for."""


def _refuses(protocol: _Recording, producer: Producer, streaming: bool) -> bool:
    """Whether the transport raises RuntimeError for *producer*."""
    try:
        protocol.verb("registerProducer", producer, streaming)
    except RuntimeError:
        return True
    return False


@asynccontextmanager
async def _failed_send(net: Net, *, streaming: bool) -> AsyncIterator[Idle]:
    """Register a producer on a connection whose send then fails, while input is kept (FLU-09).

    The producer must be stopped, since a program may resume reading only when its producer has
    finished. It must not be resumed: if it writes for as long as it is not paused, that would
    never return.

    :returns: the producer; the connection is ended afterwards.
    """
    channel = FakeChannel(Capabilities(), room=0)
    protocol = Recorder(connectionMade=lambda p: p.verb("pauseProducing"))
    channel.attach(net, protocol)
    channel.handler.received(b"kept")
    producer = Idle(protocol)
    protocol.verb("registerProducer", producer, streaming)
    await net.turns()
    protocol.verb("write", b"x" * (HIGH_WATER + 1))
    channel.handler.write_failed(BrokenPipeError(errno.EPIPE, "gone"))
    await net.turns()
    yield producer
    assert protocol.events == ["connectionMade"]
    protocol.verb("resumeProducing")
    await net.until(protocol, "dataReceived")
    channel.handler.read_ended()
    assert type(await net.lost(protocol)) is ConnectionLost
    assert producer.names[-1] == "stopProducing"
    assert producer.names.count("stopProducing") == 1


async def _waits_for_its_producer(net: Net, verb: str, last_event: str) -> None:
    """Check that *verb* sends the end of stream once the producer has unregistered, not before."""
    for streaming in (True, False):
        for more in (b"", b"and more"):
            case = f"{verb}, {'push' if streaming else 'pull'}, {len(more)} more bytes"
            pair = await net.recorded()
            producer = Idle(pair.protocol)
            pair.protocol.verb("write", b"first")
            pair.protocol.verb("registerProducer", producer, streaming)
            pair.protocol.verb(verb)
            assert await pair.peer.read_exactly(5) == b"first"
            await net.quiet()
            assert pair.protocol.events == ["connectionMade"], case
            if more:
                pair.protocol.verb("write", more)
                await net.turns()
            assert pair.protocol.events == ["connectionMade"], case
            pair.protocol.verb("unregisterProducer")
            assert await pair.peer.read_to_eof() == more, case
            await net.until(pair.protocol, last_event)
            assert pair.protocol.events == ["connectionMade", last_event], case
            # A write after the producer has unregistered comes too late.
            assert pair.transport.droppedBytes == 0
            pair.protocol.verb("write", b"too late")
            assert pair.transport.droppedBytes == len(b"too late")
            pair.peer.shutdown()
            assert type(await net.lost(pair.protocol)) is ConnectionDone, case
            assert "stopProducing" not in producer.names, case

    # A producer that goes on writing after the verb is still paused and resumed, and loses nothing.
    data = pattern(MORE_THAN_THE_KERNEL)
    pair = await net.recorded()
    push = Push(pair.protocol, data)
    push.register()
    pair.protocol.verb(verb)
    push.produce()
    assert push.paused
    assert push.position < len(data)
    assert_same(await pair.peer.read_to_eof(), data)
    await net.until(pair.protocol, last_event)


class ProducerRules:
    """The rules PRD-01 to PRD-08."""

    @rule("PRD-01", needs=("can_half_close",))
    async def test_prd_01_a_streaming_producer(self, net: Net) -> None:
        """A streaming producer is paused inside the write after which more than the high-water mark
        is pending, so that a producer's loop that looks whether it is paused stops there. It is
        resumed once no more than the low-water mark is pending. Neither comes twice in a row.
        resumeProducing and stopProducing are never called inside a verb. The marks are public
        constants.

        Where to look: ``Channel.write`` must take no more than the kernel takes, since only the
        rest counts towards the marks. The channel must call ``writable`` from the loop, never
        inside ``write``.
        """
        marks = ConnectionOptions()
        assert 0 <= LOW_WATER < HIGH_WATER
        assert (marks.low_water, marks.high_water) == (LOW_WATER, HIGH_WATER)

        data = pattern(MORE_THAN_THE_KERNEL)
        pair = await net.recorded()
        producer = Push(pair.protocol, data)
        producer.register()
        producer.produce()
        # The producer's loop has stopped inside `produce`, without a turn of the event loop.
        assert producer.position < len(data)
        assert producer.calls == [("pauseProducing", "the verb write")]
        await net.quiet()
        # Nobody reads: the kernel stays full, and the buffer does not fall below the mark.
        assert producer.paused
        assert producer.position < len(data)
        pair.protocol.verb("loseWriteConnection")
        assert_same(await pair.peer.read_to_eof(), data)
        await net.until(pair.protocol, "writeConnectionLost")
        assert "resumeProducing" in producer.names
        for number, (name, inside) in enumerate(producer.calls):
            # Pause and resume alternate. The producer itself notes a resume inside a verb.
            assert name == ("resumeProducing" if number % 2 else "pauseProducing"), number
            assert (inside == "the verb write") == (name == "pauseProducing"), number
        pair.protocol.verb("abortConnection")
        await net.lost(pair.protocol)

        # Each connection has its own marks: here the first write does not cross the high one.
        other = await net.pair(Recorder(), high_water=len(data), low_water=0)
        watched = Idle(other.protocol)
        other.protocol.verb("registerProducer", watched, True)
        other.protocol.verb("write", data)
        assert watched.names == []
        other.protocol.verb("write", data)
        assert watched.calls == [("pauseProducing", "the verb write")]
        other.protocol.verb("write", b"x")
        await net.turns()
        assert watched.names == ["pauseProducing"]
        # A low-water mark of 0 resumes it only when all bytes are with the kernel.
        rest = await other.peer.read_exactly(2 * len(data) + 1)
        assert rest[-1:] == b"x"
        await net.until(other.protocol, lambda: "resumeProducing" in watched.names)
        await net.turns()
        assert watched.names == ["pauseProducing", "resumeProducing"]
        other.protocol.verb("unregisterProducer")

        # The marks are exact to the byte. A kernel does not take exact amounts, so use a fake.
        channel = FakeChannel(Capabilities(), room=0)
        exact = Recorder()
        channel.attach(net, exact)
        watched = Idle(exact)
        exact.verb("registerProducer", watched, True)
        exact.verb("write", b"x" * HIGH_WATER)
        assert watched.names == []
        exact.verb("write", b"x")
        assert watched.names == ["pauseProducing"]
        channel.make_room(HIGH_WATER - LOW_WATER)
        await net.turns()
        assert watched.names == ["pauseProducing"], "resumed above the low-water mark"
        channel.make_room(1)
        await net.turns()
        assert watched.names == ["pauseProducing", "resumeProducing"]
        channel.make_room(1)
        await net.turns()
        assert watched.names == ["pauseProducing", "resumeProducing"], "resumed twice in a row"
        # A new producer begins unpaused, whatever the last one was told.
        exact.verb("write", b"x" * HIGH_WATER)
        assert watched.names[2:] == ["pauseProducing"]
        exact.verb("unregisterProducer")
        channel.make_room(2 * HIGH_WATER)
        following = Idle(exact)
        exact.verb("registerProducer", following, True)
        await net.turns()
        assert following.names == []
        channel.make_room(0)
        exact.verb("write", b"x" * (HIGH_WATER + 1))
        assert following.names == ["pauseProducing"]
        exact.verb("abortConnection")
        await net.lost(exact)

        # A producer's loop also stops when its bytes are dropped.
        for case in ("the input is kept", "nothing is left", "aborted"):
            broken, protocol = FakeChannel(Capabilities()), Recorder()
            broken.attach(net, protocol)
            if case == "the input is kept":
                protocol.verb("pauseProducing")
                broken.handler.received(b"kept")
            looping = Push(protocol, data)
            looping.register()
            if case == "aborted":
                protocol.verb("abortConnection")
            else:
                broken.error = BrokenPipeError(errno.EPIPE, "gone")
            looping.produce()
            assert looping.position < len(data), f"{case}: it went on"
            assert looping.calls == [("pauseProducing", "the verb write")], case
            await net.turns()
            assert looping.names == ["pauseProducing", "stopProducing"], case
            protocol.verb("abortConnection")
            await net.lost(protocol)

        async with _failed_send(net, streaming=True) as failed:
            assert failed.names == ["pauseProducing", "stopProducing"], (
                "a send failed, and while the input is kept the producer waits for ever"
            )

    @rule("PRD-02", needs=("can_half_close",))
    async def test_prd_02_a_pull_producer(self, net: Net) -> None:
        """A pull producer is asked once after its registration and again each time that the buffer
        has emptied, at most once a turn: ten thousand answers neither stall nor recurse.

        Where to look: the channel must call ``writable`` after every ``write`` that took less than
        it was given. ``Backend.call_soon`` must call in the next turn, never at once.
        """
        answers = [b"answer %d\n" % number for number in range(ANSWERS)]
        pair = await net.recorded()
        producer = Pull(net, pair.protocol, answers)
        producer.register()
        assert producer.asked == 0, "asked inside registerProducer"
        pair.protocol.verb("loseWriteConnection")
        assert_same(await pair.peer.read_to_eof(), b"".join(answers))
        await net.until(pair.protocol, "writeConnectionLost")
        assert producer.asked == ANSWERS + 1
        pair.protocol.verb("abortConnection")
        await net.lost(pair.protocol)

        # A producer is asked again only when the buffer has emptied.
        data = pattern(MORE_THAN_THE_KERNEL)
        other = await net.recorded()
        slow = Pull(net, other.protocol, [b"", data, b"the last"])
        slow.register()
        await net.until(other.protocol, lambda: slow.asked)
        await net.quiet()
        assert slow.asked == 1, "it wrote nothing, so nothing has emptied"
        other.protocol.verb("write", b"x")
        await net.until(other.protocol, lambda: slow.asked > 1)
        await net.quiet()
        assert slow.asked == 2, "its last answer is still being sent"
        assert_same(await other.peer.read_exactly(1 + len(data)), b"x" + data)
        await net.until(other.protocol, lambda: slow.asked > 2)
        assert await other.peer.read_exactly(8) == b"the last"
        await net.until(other.protocol, lambda: slow.asked > 3)

        # Two reasons to ask in one turn lead to one call. A producer that has unregistered
        # before that turn is not asked.
        exact = Recorder()
        FakeChannel(Capabilities()).attach(net, exact)
        idle, following = Idle(exact), Idle(exact)
        exact.verb("registerProducer", idle, False)
        exact.verb("write", b"x")
        await net.turns()
        assert idle.names == ["resumeProducing"]
        exact.verb("write", b"x")
        exact.verb("unregisterProducer")
        exact.verb("registerProducer", following, True)
        await net.turns()
        assert idle.names == ["resumeProducing"]
        assert following.names == []
        exact.verb("unregisterProducer")
        # Leaving the backend would wait for a close, which this fake channel never ends.
        exact.verb("abortConnection")

        async with _failed_send(net, streaming=False) as failed:
            assert failed.names == ["resumeProducing", "stopProducing"], (
                "a send failed, and while the input is kept the producer waits for ever"
            )

    @rule("PRD-03", needs=("can_half_close",))
    async def test_prd_03_the_end_of_stream_waits_for_the_producer(self, net: Net) -> None:
        """loseWriteConnection waits for a registered producer to unregister, and then sends the end
        of stream, with or without a further write. † (On Twisted it is never sent.)

        Where to look: the connection waits, and calls ``end_write`` when the producer has
        unregistered. A channel has no part in it.
        """
        await _waits_for_its_producer(net, "loseWriteConnection", "writeConnectionLost")

    @rule("PRD-04")
    async def test_prd_04_the_close_waits_for_the_producer(self, net: Net) -> None:
        """loseConnection waits for a registered producer in the same way. † (twisted#5344,
        twisted#6461)

        Where to look: as for PRD-03.
        """
        await _waits_for_its_producer(net, "loseConnection", "connectionLost")

        # So does the close that the peer's end of stream causes if the protocol is not
        # half-closeable (EVT-12).
        data = pattern(MORE_THAN_THE_KERNEL)
        plain = await net.pair(PlainRecorder())
        push = Push(plain.protocol, data)
        push.register()
        plain.peer.shutdown()
        await net.quiet()
        push.produce()
        assert_same(await plain.peer.read_to_eof(), data)
        assert type(await net.lost(plain.protocol)) is ConnectionDone

    @rule("PRD-05", needs=("can_half_close",))
    async def test_prd_05_registered_too_late(self, net: Net) -> None:
        """A producer that is registered after the call of loseWriteConnection or loseConnection, or
        after connectionLost, is told stopProducing, in the next turn. †

        Where to look: ``Backend.call_soon`` must work as long as the loop runs, also when the
        connection is lost and the task that served it has ended.
        """

        async def stopped(pair: Pair[Recorder], case: str) -> None:
            producers = [Idle(pair.protocol), Idle(pair.protocol)]
            for producer, streaming in zip(producers, (True, False), strict=True):
                pair.protocol.verb("registerProducer", producer, streaming)
                assert producer.names == [], f"{case}: stopped inside registerProducer"
            await net.turns(1)
            for producer in producers:
                assert producer.names == ["stopProducing"], case

        for verb in ("loseWriteConnection", "loseConnection", "abortConnection"):
            for pending in (0, MORE_THAN_THE_KERNEL):
                case = f"{verb} with {pending} bytes pending"
                pair = await net.recorded()
                pair.protocol.verb("write", b"x" * pending)
                pair.protocol.verb(verb)
                await stopped(pair, f"{case}, at once")
                if verb == "loseWriteConnection" and not pending:
                    await net.until(pair.protocol, "writeConnectionLost")
                    await stopped(pair, f"{case}, after writeConnectionLost")
                pair.protocol.verb("abortConnection")
                await net.lost(pair.protocol)
                await stopped(pair, f"{case}, after connectionLost")

    @rule("PRD-06")
    async def test_prd_06_the_connection_is_lost(self, net: Net) -> None:
        """When the connection is lost, its producer is told stopProducing once, before
        connectionLost.

        Where to look: the connection does this. The channel must report the loss: see EVT-06 and
        FLU-11.
        """

        def abort(pair: Pair[Recorder]) -> None:
            pair.protocol.verb("abortConnection")

        def reset(pair: Pair[Recorder]) -> None:
            pair.peer.reset()

        def give_up(pair: Pair[Recorder]) -> None:
            pair.protocol.verb("loseConnection")
            pair.protocol.verb("abortConnection")

        stdio = net.channel_type.scheme == "stdio"
        for end in (abort, give_up) if stdio else (abort, give_up, reset):
            for streaming in (True, False):
                case = f"{end.__name__}, {'push' if streaming else 'pull'}"
                pair = await net.recorded(connectionMade=leave_unread)
                await pair.peer.until_input()
                producer = Idle(pair.protocol)
                events = pair.protocol.events
                at_the_stop: list[list[str]] = []

                def stopped(
                    producer: Idle = producer,
                    events: list[str] = events,
                    at_the_stop: list[list[str]] = at_the_stop,
                ) -> None:
                    Idle.stopProducing(producer)
                    at_the_stop.append(list(events))

                producer.stopProducing = stopped  # type: ignore[method-assign]
                pair.protocol.verb("registerProducer", producer, streaming)
                await net.turns()
                end(pair)
                reason = await net.lost(pair.protocol)
                wanted = ConnectionLost if end is reset else ConnectionAborted
                assert type(reason) is wanted, case
                await net.turns()
                assert producer.names.count("stopProducing") == 1, case
                assert at_the_stop == [["connectionMade"]], case
                assert producer.names[-1] == "stopProducing", case

    @rule("PRD-07", needs=("can_half_close",))
    async def test_prd_07_a_second_producer(self, net: Net) -> None:
        """A second registerProducer raises RuntimeError and leaves the first producer in place.

        Where to look: the connection refuses the second one. A channel has no part in it.
        """
        data = pattern(MORE_THAN_THE_KERNEL)
        pair = await net.recorded()
        first, second = Push(pair.protocol, data), Idle(pair.protocol)
        first.register()
        for streaming in (True, False):
            assert _refuses(pair.protocol, first, streaming)
            assert _refuses(pair.protocol, second, streaming)
        first.produce()
        assert first.names == ["pauseProducing"]
        pair.protocol.verb("loseWriteConnection")
        # Also while the end of stream waits for the first.
        assert _refuses(pair.protocol, second, True)
        assert_same(await pair.peer.read_to_eof(), data)
        await net.until(pair.protocol, "writeConnectionLost")
        assert second.names == []
        assert "stopProducing" not in first.names
        pair.protocol.verb("abortConnection")
        await net.lost(pair.protocol)

        # A producer may be registered when the one before has unregistered.
        other = await net.recorded()
        for _ in range(2):
            other.protocol.verb("registerProducer", Idle(other.protocol), True)
            other.protocol.verb("unregisterProducer")
            other.protocol.verb("unregisterProducer")

    @rule("PRD-08", needs=("can_half_close",))
    async def test_prd_08_the_abort_does_not_wait(self, net: Net) -> None:
        """abortConnection does not wait for a producer. (twisted#8992)

        Where to look: ``Channel.abort`` must discard what is pending, and wait for nothing.
        """
        for before in (None, "loseWriteConnection", "loseConnection"):
            for streaming in (True, False):
                case = f"after {before}, {'push' if streaming else 'pull'}"
                pair = await net.recorded()
                producer = Idle(pair.protocol)
                pair.protocol.verb("registerProducer", producer, streaming)
                if before is not None:
                    pair.protocol.verb(before)
                await net.turns()
                pair.protocol.verb("abortConnection")
                assert type(await net.lost(pair.protocol)) is ConnectionAborted, case
                assert pair.protocol.events == ["connectionMade", "connectionLost"], case
                assert producer.names.count("stopProducing") == 1, case
                data, end = await pair.peer.read_all()
                assert (data, end) == (b"", "reset" if pair.can.can_reset else "eof"), case
