"""VRB: the verbs, which are the methods of a transport that a protocol calls."""

from __future__ import annotations

from array import array
from typing import Any

from ...backend import Backend
from ...channel import Capabilities
from ...connection import Connection
from ...endpoints import Endpoint
from ...lifecycle import State
from ...reasons import ConnectionAborted, ConnectionDone, ConnectionLost, Unsupported
from ..channels.channel_types import ChannelType
from ..hosts import Host
from ..tools.data import assert_same
from ..tools.fakes import FakeChannel
from ..tools.harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from ..tools.logs import logged, warnings_in
from ..tools.producers import Idle
from ..tools.reactions import lose, lose_write, raises
from ..tools.recorder import EVENTS, Recorder
from ..tools.waiting import SOON, eventually

__all__ = ["VerbRules", "cannot_half_close", "reset_by_peer"]

NOTHING = (b"", bytearray(), memoryview(b""))
NO_BYTES = ("text", None, 7, [b"list"], array("B", b"array"), object())


async def reset_by_peer(pair: Pair[Recorder], *, unseen: bool = False) -> None:
    """Have the peer reset. When this returns, our kernel has the reset, and nobody has read it.

    A unix socket is reset by closing it with bytes unread (PIP-01), so some are sent first.

    :param unseen: whether our kernel no longer gives the error, as after a failed send.
    """
    pair.protocol.verb("write", b"unread")
    await pair.peer.until_input()
    if unseen:
        pair.peer.reset_unseen()
    else:
        pair.peer.reset()


async def cannot_half_close(net: Net) -> None:
    """Check rule VRB-10 on a transport that declares ``can_half_close`` off.

    :raises AssertionError: the rule is broken, or the stream can half-close after all.
    """
    pair = await net.recorded()
    pair.protocol.verb("write", b"before, ")
    for _ in range(2):
        with raises(Unsupported):
            pair.protocol.verb("loseWriteConnection")
    await net.turns()
    assert pair.transport.state is State.OPEN
    assert pair.protocol.events == ["connectionMade"]
    pair.protocol.verb("write", b"after")
    assert pair.transport.droppedBytes == 0
    assert await pair.peer.read_exactly(13) == b"before, after"
    pair.peer.send_now(b"input")
    await net.until(pair.protocol, "dataReceived")
    pair.protocol.verb("loseConnection")
    # After loseConnection the verb does nothing, as on every other connection (VRB-02).
    pair.protocol.verb("loseWriteConnection")
    assert type(await net.lost(pair.protocol)) is ConnectionDone
    pair.protocol.verb("loseWriteConnection")
    assert await _unable_below(net), "can_half_close is declared off, and works"


async def _unable_below(net: Net) -> bool:
    """Ask a channel to end its half, and return whether it could not do so while the other half
    stays open."""
    pair = await net.recorded()
    if not isinstance(pair.transport, Connection):
        return True

    def ended() -> bool:
        try:
            return pair.peer.receive_now(1) == b""
        except ConnectionResetError:
            return False

    try:
        pair.transport.channel.end_write()
        if not await eventually(net, ended, SOON):
            return True
        pair.peer.send_now(b"still read")
        return not await eventually(net, lambda: pair.protocol.received == b"still read", SOON)
    except Exception:
        # The channel may raise anything here, since it declares that it cannot do this, and so may
        # its peer when the whole connection ends.
        return True
    finally:
        pair.protocol.verb("abortConnection")
        await net.lost(pair.protocol)


class VerbRules:
    """The rules VRB-01 to VRB-12."""

    @rule("VRB-01", needs=("can_half_close",))
    async def test_vrb_01_lose_write_twice(self, net: Net) -> None:
        """loseWriteConnection called twice, or again inside writeConnectionLost: one
        writeConnectionLost comes, and the connection stays up. † (On Twisted a second call ends the
        connection.)

        Where to look: ``Channel.end_write`` is called once. It must call ``write_ended`` at most
        once, and must neither release the descriptor nor end the reading.
        """
        pair = await net.recorded(writeConnectionLost=lose_write)
        pair.protocol.verb("loseWriteConnection")
        pair.protocol.verb("loseWriteConnection")
        await net.until(pair.protocol, "writeConnectionLost")
        await net.turns()
        pair.protocol.verb("loseWriteConnection")
        assert await pair.peer.read_to_eof() == b""
        await net.turns()
        assert pair.transport.state is State.WRITE_CLOSED
        pair.peer.send_now(b"still up")
        await net.until(pair.protocol, lambda: pair.protocol.received == b"still up")
        assert pair.protocol.events == ["connectionMade", "writeConnectionLost", "dataReceived"]

    @rule("VRB-02", needs=("can_half_close",))
    async def test_vrb_02_lose_write_when_it_is_too_late(self, net: Net) -> None:
        """loseWriteConnection after loseConnection, abortConnection or connectionLost does nothing
        and raises nothing. ‡ (cpython#75828)

        Where to look: the connection ignores the verb. It calls nothing of a channel after
        ``close`` or ``abort``.
        """
        closings = {"loseConnection": ConnectionDone, "abortConnection": ConnectionAborted}
        for verb, kind_of_reason in closings.items():
            pair = await net.recorded(connectionLost=lose_write)
            pair.protocol.verb(verb)
            pair.protocol.verb("loseWriteConnection")
            assert type(await net.lost(pair.protocol)) is kind_of_reason
            pair.protocol.verb("loseWriteConnection")
            await net.turns()
            assert pair.protocol.events == ["connectionMade", "connectionLost"], verb

        # While loseConnection waits for pending bytes, the verb does nothing either.
        waiting = await net.recorded()
        data = b"x" * MORE_THAN_THE_KERNEL
        waiting.protocol.verb("write", data)
        waiting.protocol.verb("loseConnection")
        await net.turns()
        waiting.protocol.verb("loseWriteConnection")
        assert waiting.transport.state is State.CLOSING
        assert_same(await waiting.peer.read_to_eof(), data)
        assert type(await net.lost(waiting.protocol)) is ConnectionDone
        assert waiting.protocol.events == ["connectionMade", "connectionLost"]

    @rule("VRB-03", schemes=("tcp", "unix", "memory"), needs=("can_half_close",))
    async def test_vrb_03_lose_write_after_a_reset(self, net: Net) -> None:
        """loseWriteConnection after the peer's reset raises nothing to its caller, and
        connectionLost(ConnectionLost) comes. ‡ (websockets#1117)

        Where to look: ``Channel.end_write`` must raise an OSError, or call ``write_failed``
        later, if the connection was reset. Ask for SO_ERROR before shutdown(2), which does not
        fail on a unix socket then.
        """
        for paused in (False, True):
            pair = await net.recorded()
            if paused:
                pair.protocol.verb("pauseProducing")
            await reset_by_peer(pair)
            pair.protocol.verb("loseWriteConnection")
            reason = await net.lost(pair.protocol)
            await net.turns()
            assert type(reason) is ConnectionLost, f"paused: {paused}"
            # Our end of stream can never have reached the kernel (EVT-04).
            assert pair.protocol.events == ["connectionMade", "connectionLost"]

    @rule("VRB-04", schemes=("tcp", "unix", "memory"), needs=("can_half_close",))
    async def test_vrb_04_errors_of_shutdown_stay_inside(self, net: Net) -> None:
        """ENOTCONN or EPIPE from shutdown(2) never escapes a verb. (tokio#4665)

        Where to look: ``Channel.end_write`` may raise any OSError. ``close`` and ``abort`` must
        raise none, and must work on a socket that the system has given up already.
        """
        for verb in ("loseWriteConnection", "loseConnection", "abortConnection"):
            pair = await net.recorded()
            if net.channel_type.scheme != "unix":
                await reset_by_peer(pair, unseen=True)
            else:
                # Linux never fails here; other systems say ENOTCONN or EPIPE.
                pair.peer.close()
            pair.protocol.verb(verb)
            pair.protocol.verb(verb)
            reason = await net.lost(pair.protocol)
            if verb == "abortConnection":
                assert type(reason) is ConnectionAborted
            elif net.channel_type.scheme != "unix":
                assert type(reason) is ConnectionLost, verb
            else:
                assert type(reason) in (ConnectionDone, ConnectionLost), verb

    @rule("VRB-05", needs=("can_half_close",))
    async def test_vrb_05_late_writes_are_dropped(self, net: Net) -> None:
        """A write after the *call* of loseWriteConnection, loseConnection or abortConnection, or
        after connectionLost, is dropped, in the same turn too, and whether or not bytes are
        pending. The first drop on a connection logs one warning, and `transport.droppedBytes`
        counts the bytes. † ‡ While a producer is registered, writes after loseWriteConnection and
        loseConnection are taken until it unregisters (PRD-03).

        Where to look: the connection drops these writes. A channel must send all that its
        ``write`` has taken.
        """
        for verb in ("loseWriteConnection", "loseConnection", "abortConnection"):
            for size in (4, MORE_THAN_THE_KERNEL):
                data = b"x" * size
                pair = await net.recorded()
                with logged() as records:
                    pair.protocol.verb("write", data)
                    pair.protocol.verb(verb)
                    assert pair.transport.droppedBytes == 0
                    pair.protocol.verb("write", b"same turn")
                    pair.protocol.verb("writeSequence", [b"same", b" ", b"turn"])
                    assert pair.transport.droppedBytes == 18, verb
                    await net.turns()
                    pair.protocol.verb("write", b"later")
                    assert pair.transport.droppedBytes == 23, verb
                    if verb == "abortConnection":
                        await net.lost(pair.protocol)
                    else:
                        assert_same(await pair.peer.read_to_eof(), data)
                        pair.peer.shutdown()
                        await net.lost(pair.protocol)
                    pair.protocol.verb("write", b"after the end")
                    await net.turns()
                    assert pair.transport.droppedBytes == 36, verb
                found = warnings_in(records)
                assert len(found) == 1, f"{verb}: {found}"

        for verb in ("loseWriteConnection", "loseConnection"):
            pair = await net.recorded()
            with logged() as records:
                pair.protocol.verb("registerProducer", Idle(pair.protocol), True)
                pair.protocol.verb("write", b"before, ")
                pair.protocol.verb(verb)
                pair.protocol.verb("write", b"at once, ")
                await net.turns()
                pair.protocol.verb("write", b"later")
                assert pair.transport.droppedBytes == 0
                assert not warnings_in(records)
                pair.protocol.verb("unregisterProducer")
                pair.protocol.verb("write", b"too late")
                assert pair.transport.droppedBytes == 8
            assert await pair.peer.read_to_eof() == b"before, at once, later"
            pair.peer.shutdown()
            await net.lost(pair.protocol)

        # An abort does not wait for a producer (PRD-08), so writes after it are dropped.
        pair = await net.recorded()
        pair.protocol.verb("registerProducer", Idle(pair.protocol), True)
        pair.protocol.verb("abortConnection")
        pair.protocol.verb("write", b"same turn")
        assert pair.transport.droppedBytes == 9
        await net.lost(pair.protocol)

    @rule("VRB-06", needs=("can_half_close",))
    async def test_vrb_06_nothing_written_does_nothing(self, net: Net) -> None:
        """`write(b"")` and `writeSequence([])` do nothing in any state, and never send an end of
        stream.

        Where to look: ``Channel.write`` is never given empty data. It must not send any by
        itself, since some streams take that for the end.
        """

        def nothing(protocol: Recorder, *_: object) -> None:
            before = protocol.transport.state
            for empty in NOTHING:
                protocol.verb("write", empty)
                protocol.verb("writeSequence", [empty, empty])
            protocol.verb("writeSequence", [])
            assert protocol.transport.state is before
            assert protocol.transport.droppedBytes == 0

        inside_too = dict.fromkeys(EVENTS, nothing)

        with logged() as records:
            # Open, with bytes pending, and then each half ended in turn.
            pair = await net.recorded(**inside_too)
            nothing(pair.protocol)
            pair.protocol.verb("write", b"x")
            assert await pair.peer.read_exactly(1) == b"x"
            pair.peer.send_now(b"y")
            pair.peer.shutdown()
            await net.until(pair.protocol, "readConnectionLost")
            nothing(pair.protocol)
            data = b"z" * 1_000_000
            pair.protocol.verb("write", data)
            nothing(pair.protocol)
            pair.protocol.verb("loseWriteConnection")
            nothing(pair.protocol)
            assert_same(await pair.peer.read_to_eof(), data)
            assert type(await net.lost(pair.protocol)) is ConnectionDone
            nothing(pair.protocol)

            for verb in ("loseWriteConnection", "loseConnection", "abortConnection"):
                other = await net.recorded(**inside_too)
                other.protocol.verb(verb)
                nothing(other.protocol)
                await net.turns()
                nothing(other.protocol)
                if verb == "loseWriteConnection":
                    other.peer.shutdown()
                await net.lost(other.protocol)
                nothing(other.protocol)
        assert not [record.getMessage() for record in records]

    @rule("VRB-07", needs=("can_half_close",))
    async def test_vrb_07_what_write_takes(self, net: Net) -> None:
        """`write` takes bytes, bytearray and memoryview, and a later change of the caller's buffer
        changes nothing of what is sent. Anything else is a TypeError, whether the connection is
        closed or not.

        Where to look: the connection copies what may change. ``Channel.write`` is given immutable
        data, of which it may keep a view.
        """
        pair = await net.recorded()
        buffer = bytearray(b"a") * MORE_THAN_THE_KERNEL
        numbers = array("I", range(1000))
        expected = bytearray()

        def refused(protocol: Recorder) -> None:
            for wrong in NO_BYTES:
                with raises(TypeError):
                    protocol.verb("write", wrong)
                with raises(TypeError):
                    protocol.verb("writeSequence", [wrong])

        pair.protocol.verb("write", buffer)
        expected += buffer
        # After `write` has returned, the caller may change the buffer's content and size.
        buffer[:1000] = b"b" * 1000
        buffer[-1000:] = b"b" * 1000
        buffer.clear()
        refused(pair.protocol)
        pieces = [bytearray(b"one"), b"two", memoryview(b"three")]
        pair.protocol.verb("write", memoryview(numbers))
        pair.protocol.verb("write", memoryview(b"0123456789")[::2])
        pair.protocol.verb("writeSequence", pieces)
        pair.protocol.verb("writeSequence", iter(pieces))
        expected += numbers.tobytes() + b"02468" + 2 * b"onetwothree"
        numbers.byteswap()
        numbers.append(1)
        first = pieces[0]
        assert isinstance(first, bytearray)
        first.clear()

        pair.protocol.verb("loseWriteConnection")
        refused(pair.protocol)
        assert_same(await pair.peer.read_to_eof(), bytes(expected))
        pair.protocol.verb("loseConnection")
        refused(pair.protocol)
        await net.lost(pair.protocol)
        refused(pair.protocol)
        assert pair.transport.droppedBytes == 0

    @rule("VRB-08")
    async def test_vrb_08_closing_again(self, net: Net) -> None:
        """loseConnection and abortConnection are idempotent. abortConnection after loseConnection
        still aborts.

        Where to look: ``Channel.close`` and ``Channel.abort`` may be called in any order and any
        number of times. The first call must release the descriptor.
        """
        for verb, kind_of_reason in (
            ("loseConnection", ConnectionDone),
            ("abortConnection", ConnectionAborted),
        ):
            pair = await net.recorded(connectionLost=lose)
            pair.protocol.verb(verb)
            pair.protocol.verb(verb)
            pair.protocol.verb("loseConnection")
            assert type(await net.lost(pair.protocol)) is kind_of_reason
            await net.turns()
            pair.protocol.verb(verb)
            pair.protocol.verb("abortConnection")
            await net.turns()
            assert pair.protocol.events == ["connectionMade", "connectionLost"], verb
            assert type(await pair.transport.whenClosed()) is kind_of_reason

        pair = await net.recorded()
        pair.protocol.verb("write", b"x" * MORE_THAN_THE_KERNEL)
        pair.protocol.verb("loseConnection")
        pair.protocol.verb("loseConnection")
        await net.quiet()
        assert pair.protocol.events == ["connectionMade"]
        pair.protocol.verb("abortConnection")
        assert type(await net.lost(pair.protocol)) is ConnectionAborted
        received, end = await pair.peer.read_all()
        assert len(received) < MORE_THAN_THE_KERNEL
        if pair.can.can_reset:
            assert end == "reset"

    @rule("VRB-09", needs=("can_half_close",))
    async def test_vrb_09_what_is_always_known(self, net: Net) -> None:
        """`transport.state`, `getPeer` and `getHost` answer at any time, after connectionLost
        too.

        Where to look: the connection asks ``get_peer`` and ``get_host`` once, when it is made.
        They must answer even if the peer has reset the connection by then.
        """
        seen: list[tuple[Endpoint, Endpoint]] = []

        def ask(protocol: Recorder, *_: object) -> None:
            assert isinstance(protocol.transport.state, State)
            seen.append((protocol.transport.getPeer(), protocol.transport.getHost()))

        def ask_and_end(protocol: Recorder, *_: object) -> None:
            ask(protocol)
            protocol.verb("loseWriteConnection")
            ask(protocol)

        pair = await net.recorded(
            connectionMade=ask,
            dataReceived=ask,
            readConnectionLost=ask_and_end,
            writeConnectionLost=ask,
            connectionLost=ask,
        )
        peer, host = pair.transport.getPeer(), pair.transport.getHost()
        assert (peer, host) == (pair.peer.address, pair.peer.other_address)
        states = [pair.transport.state]
        pair.peer.send_now(b"x")
        await net.until(pair.protocol, "dataReceived")
        pair.peer.shutdown()
        await net.lost(pair.protocol)
        ask(pair.protocol)
        states.append(pair.transport.state)
        assert states == [State.OPEN, State.CLOSED]
        assert len(seen) == 7
        assert set(seen) == {(peer, host)}

        for verb in ("loseConnection", "abortConnection"):
            other = await net.recorded(connectionLost=ask)
            peer, host = other.transport.getPeer(), other.transport.getHost()
            seen.clear()
            other.protocol.verb(verb)
            ask(other.protocol)
            await net.lost(other.protocol)
            await net.turns()
            ask(other.protocol)
            assert other.transport.state is State.CLOSED
            assert seen == [(peer, host)] * 3

    @rule("VRB-10")
    async def test_vrb_10_a_stream_that_cannot_half_close(self, net: Net) -> None:
        """Where the capability `can_half_close` is off (a stream that cannot end one half alone),
        loseWriteConnection raises `Unsupported` and changes nothing.

        Where to look: the channel's ``capabilities``. If ``can_half_close`` is off, the connection
        calls ``end_write`` only when both halves are to end, and that must not end one alone.
        """
        pair = await net.recorded()
        pair.protocol.verb("abortConnection")
        await net.lost(pair.protocol)
        if not pair.can.can_half_close:
            await cannot_half_close(net)
        channel = FakeChannel(Capabilities(can_half_close=False))
        protocol = Recorder()
        channel.attach(net, protocol)
        protocol.verb("write", b"before, ")
        for _ in range(2):
            with raises(Unsupported):
                protocol.verb("loseWriteConnection")
        await net.turns()
        assert protocol.transport.state is State.OPEN
        protocol.verb("write", b"after")
        assert bytes(channel.sent) == b"before, after"
        assert protocol.transport.droppedBytes == 0
        channel.handler.received(b"input")
        assert protocol.events == ["connectionMade", "dataReceived"]
        assert not channel.calls
        protocol.verb("loseConnection")
        # After loseConnection the verb does nothing, as on every other connection (VRB-02).
        protocol.verb("loseWriteConnection")
        assert type(await net.lost(protocol)) is ConnectionDone
        protocol.verb("loseWriteConnection")
        assert protocol.events == ["connectionMade", "dataReceived", "connectionLost"]

    @rule("VRB-11")
    async def test_vrb_11_failure(self, net: Net) -> None:
        """`transport.failure` is None while nothing has broken the connection, and after a clean
        end. Otherwise it is the reason that connectionLost will get, from the moment on that this
        is known. That may be while input is still to be delivered, after a failed send or a reset:
        `state` does not show it yet, and writes are dropped.

        Where to look: the connection learns of it by ``write_failed``, by ``failed``, or by an
        exception of ``Channel.write``.
        """
        seen: list[object] = []

        def look(protocol: Recorder, *_: object) -> None:
            seen.append(protocol.transport.failure)

        for verb in ("loseConnection", "abortConnection"):
            seen.clear()
            pair = await net.recorded(connectionMade=look, connectionLost=look)
            pair.protocol.verb(verb)
            reason = await net.lost(pair.protocol)
            broken = None if verb == "loseConnection" else reason
            assert seen == [None, broken], verb
            assert pair.transport.failure is broken, verb

        # A send fails, and input is kept while reading is paused.
        for told_by in ("write", "write_failed"):
            channel = FakeChannel(Capabilities())
            protocol = Recorder(connectionMade=lambda p: p.verb("pauseProducing"))
            channel.attach(net, protocol)
            channel.handler.received(b"kept")
            error = BrokenPipeError(32, "Broken pipe")
            if told_by == "write":
                channel.error = error
                protocol.verb("write", b"x")
            else:
                channel.handler.write_failed(error)
            failure = protocol.transport.failure
            assert isinstance(failure, ConnectionLost), told_by
            assert failure.__cause__ is error, told_by
            assert protocol.transport.state is State.OPEN
            protocol.verb("write", b"dropped")
            assert protocol.transport.droppedBytes >= 7
            assert protocol.events == ["connectionMade"]
            channel.handler.failed(error)
            protocol.verb("resumeProducing")
            assert await net.lost(protocol) is failure
            assert protocol.events == ["connectionMade", "dataReceived", "connectionLost"]

        # A reset, while input is kept.
        channel = FakeChannel(Capabilities())
        protocol = Recorder(connectionMade=lambda p: p.verb("pauseProducing"))
        channel.attach(net, protocol)
        channel.handler.received(b"kept")
        assert protocol.transport.failure is None
        channel.handler.failed(ConnectionResetError(104, "Connection reset by peer"))
        failure = protocol.transport.failure
        assert isinstance(failure, ConnectionLost)
        protocol.verb("resumeProducing")
        assert await net.lost(protocol) is failure

        # The same by a real reset, if the type of channel has one.
        if net.channel_type.scheme == "stdio":
            return
        pair = await net.recorded()
        await reset_by_peer(pair)
        reason = await net.lost(pair.protocol)
        assert pair.transport.failure is reason

    @rule("VRB-12")
    def test_vrb_12_verbs_after_the_run(self: Any, channel_type: ChannelType, host: Host) -> None:
        """No verb of a connection that is over raises, at any later time, also once its backend has
        been left and its loop has ended.

        Where to look: the connection must call nothing of a backend that has been left. If a
        producer is registered then, it calls stopProducing at once, since no other turn will come.
        """
        endings = (None, "loseConnection", "abortConnection")
        protocols = [Recorder() for _ in endings]

        async def main(backend: Backend) -> None:
            net = Net(backend, channel_type, host)
            try:
                for protocol, ending in zip(protocols, endings, strict=True):
                    await net.pair(protocol)
                    if ending is not None:
                        protocol.verb(ending)
                        await net.lost(protocol)
                    elif channel_type.scheme == "stdio":
                        # There can be only one connection to stdio at a time.
                        protocol.verb("abortConnection")
                        await net.lost(protocol)
            finally:
                await net.close()

        host.run(main, self.backend, channel_type.options)
        for protocol in protocols:
            assert protocol.transport.state is State.CLOSED
            for streaming in (True, False):
                producer = _Stoppable()
                protocol.verb("registerProducer", producer, streaming)
                assert producer.stopped == 1
            protocol.verb("registerProducer", protocol.transport, True)
            for name in (
                "loseWriteConnection",
                "loseConnection",
                "abortConnection",
                "pauseProducing",
                "resumeProducing",
                "stopProducing",
                "unregisterProducer",
                "getPeer",
                "getHost",
                "getHandle",
            ):
                protocol.verb(name)
            protocol.verb("write", b"late")
            protocol.verb("writeSequence", [b"late", b"r"])
            protocol.verb("setTcpNoDelay", True)
            protocol.verb("setTcpKeepAlive", True)
            with raises(StopIteration) as closed:
                protocol.transport.whenClosed().__await__().__next__()
            assert closed.value.value is protocol.reason, "whenClosed waits, and it is over"
            assert not protocol.broken, protocol.broken


class _Stoppable:
    """A producer that counts how often it is stopped."""

    def __init__(self) -> None:
        self.stopped = 0

    def pauseProducing(self) -> None:
        """Do nothing, since it produces nothing."""

    def resumeProducing(self) -> None:
        """Do nothing, since it produces nothing."""

    def stopProducing(self) -> None:
        self.stopped += 1
