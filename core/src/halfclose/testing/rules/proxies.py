"""PRD: a transport that is registered as another's producer, as in a proxy."""

from __future__ import annotations

from typing import Any

from ...reasons import ConnectionAborted, ConnectionDone
from ..tools.data import assert_same, pattern
from ..tools.harness import MORE_THAN_THE_KERNEL, Net, Pair, rule
from ..tools.reactions import leave_unread
from ..tools.recorder import PlainRecorder, Recorder, _Recording
from ..tools.waiting import SOON, flood

__all__ = ["ProxyRules"]


class ProxyRules:
    """The rule PRD-09."""

    @rule("PRD-09", schemes=("tcp", "unix", "memory"), needs=("can_half_close",))
    async def test_prd_09_a_transport_is_a_producer(self, net: Net) -> None:
        """A transport is a producer itself: pauseProducing and resumeProducing act on its reads,
        and stopProducing is loseConnection. A transport that is registered as the producer of
        another one counts as unregistered once its own read side has ended or it is lost, so that a
        proxy written the Twisted way (portforward) closes.

        But truncated data never looks complete. If the other transport is lost uncleanly, the one
        that is its producer sends what was written to it and is then aborted, also where its own
        read side has ended already. The same happens to a transport that waits for its producer to
        unregister, if that producer is lost neither cleanly nor by abortConnection. † (With
        portforward, a reset of either end reaches the other as a clean end of stream.)

        Where to look: ``pause_reading`` and ``resume_reading`` may be called at any time, also
        inside another connection's ``write`` and ``writable``. The channel must call
        ``read_ended`` even if nothing else happens on the connection. A reset that must not
        overtake what was sent waits until ``Channel.unsent`` is 0, so that must count all bytes
        that the peer has not acknowledged.
        """
        pair = await net.recorded()
        pair.protocol.verb("write", b"x")
        pair.protocol.verb("stopProducing")
        assert await pair.peer.read_to_eof() == b"x"
        assert type(await net.lost(pair.protocol)) is ConnectionDone
        await _a_producer_that_has_ended(net)
        await _a_half_closing_proxy(net)
        endings = ("close", "data", "reset", "leave")
        hanging = [one for one in endings if not await _a_proxy_as_twisted_has_it(net, one)]
        assert not hanging, f"proxies that stay open after: {', '.join(hanging)}"
        for wait in (True, False):
            await _a_reset_goes_through(net, wait=wait)
        await _a_reset_of_what_is_waited_for(net)


async def _proxy(net: Net, one: _Recording, other: _Recording) -> tuple[Pair, Pair]:  # type: ignore[type-arg]
    """Make two connections and register each transport as the other's producer, as
    twisted.protocols.portforward does."""
    pairs = await net.pair(one), await net.pair(other)
    one.verb("registerProducer", other.transport, True)
    other.verb("registerProducer", one.transport, True)
    return pairs


async def _a_half_closing_proxy(net: Net) -> None:
    others: dict[object, _Recording] = {}
    one, other = (
        Recorder(
            dataReceived=lambda p, data: others[p].verb("write", data),
            readConnectionLost=lambda p: others[p].verb("loseWriteConnection"),
        )
        for _ in range(2)
    )
    others[one], others[other] = other, one
    left, right = await _proxy(net, one, other)
    # Nobody reads at the right end, so the left peer can send only what the buffers of the two
    # connections hold.
    limit = 4 * MORE_THAN_THE_KERNEL
    sent = await flood(net, left.peer, limit)
    if left.can.bounds_input:
        assert sent < limit, f"{sent} bytes were taken that nobody reads"
    forwarded = len(one.received)
    assert forwarded < sent, "its reads were not paused"
    received = await right.peer.read_exactly(sent)
    assert_same(received, bytes(one.received))
    left.peer.shutdown()
    assert await right.peer.read_to_eof() == b""
    right.peer.send_now(b"reply")
    right.peer.shutdown()
    assert await left.peer.read_to_eof() == b"reply"
    for recorder in (one, other):
        assert type(await net.lost(recorder)) is ConnectionDone
        assert recorder.events.count("readConnectionLost") == 1
        assert recorder.events.count("writeConnectionLost") == 1


async def _a_proxy_as_twisted_has_it(net: Net, ending: str) -> bool:
    """Make a proxy as portforward is written, end one of its connections as *ending* says, and
    return whether both are lost then."""
    others: dict[object, _Recording] = {}
    one, other = (
        PlainRecorder(
            dataReceived=lambda p, data: others[p].verb("write", data),
            connectionLost=lambda p, _: others[p].verb("loseConnection"),
        )
        for _ in range(2)
    )
    others[one], others[other] = other, one
    left, right = await _proxy(net, one, other)
    if ending == "reset":
        right.peer.send_now(b"unread")
        await left.peer.until_input()
        left.peer.reset()
        received = b""
    elif ending == "data":
        # As much as the kernel takes, since nobody reads it yet.
        received = pattern(30_000)
        await left.peer.send(received)
        left.peer.close()
    elif ending == "close":
        received = b""
        left.peer.close()
    elif ending == "leave":
        # Leaving the backend does this: neither connection may wait for the other.
        received = b""
        one.verb("loseConnection")
        other.verb("loseConnection")
    try:
        for recorder in (one, other):
            await net.lost(recorder, SOON)
    except AssertionError:
        for recorder in (one, other):
            recorder.verb("abortConnection")
            await net.lost(recorder)
        return False
    data, end = await right.peer.read_all()
    assert data == received, ending
    if ending == "reset":
        await check_cut_off(net, right, end)
    else:
        assert end == "eof", ending
    return True


async def check_cut_off(net: Net, pair: Pair[Any], end: str) -> None:
    """Check that the raw peer of *pair* has seen a reset, if the transport can reset, and that the
    connection was aborted.

    :param end: how the raw peer's input has ended, "reset" or "eof".
    """
    assert end == "reset" or not pair.can.can_reset, "a reset was told onwards as a clean end"
    reason = await net.lost(pair.protocol)
    assert type(reason) is ConnectionAborted, reason


async def _a_reset_goes_through(net: Net, *, wait: bool) -> None:
    """Check a proxy whose left peer has sent a request and its end of stream, and whose right peer
    resets in the middle of its answer: the left peer must see that the answer is cut off.

    :param wait: whether the left peer does not read before the reset, so that the answer waits in
        the proxy.
    """
    others: dict[object, _Recording] = {}
    one, other = (
        Recorder(
            dataReceived=lambda p, data: others[p].verb("write", data),
            readConnectionLost=lambda p: others[p].verb("loseWriteConnection"),
            connectionLost=lambda p, _: others[p].verb("loseConnection"),
        )
        for _ in range(2)
    )
    others[one], others[other] = other, one
    left, right = await _proxy(net, one, other)
    left.peer.send_now(b"request")
    left.peer.shutdown()
    await right.peer.until_input()
    answer = pattern(2 * MORE_THAN_THE_KERNEL if wait else 30_000)
    sent = len(answer)
    if wait:
        sent = await flood(net, right.peer, sent)
        answer = bytes(other.received)
    else:
        right.peer.send_now(answer)
        await net.until(other, lambda: len(other.received) == sent)
    # The request is unread, so that this resets a unix socket, too (PIP-01).
    right.peer.reset()
    data, end = await left.peer.read_all()
    assert_same(data, bytes(other.received))
    assert len(data) >= len(answer)
    await net.lost(other)
    await check_cut_off(net, left, end)


async def _a_reset_of_what_is_waited_for(net: Net) -> None:
    """Check a connection whose end of stream waits for its producer, a transport that is reset."""
    source, handler = await net.recorded(connectionMade=leave_unread), await net.recorded()
    await source.peer.until_input()
    handler.protocol.verb("registerProducer", source.transport, True)
    handler.protocol.verb("write", b"a part")
    handler.protocol.verb("loseWriteConnection")
    source.peer.reset()
    data, end = await handler.peer.read_all()
    assert data == b"a part"
    await check_cut_off(net, handler, end)


async def _a_producer_that_has_ended(net: Net) -> None:
    async def two() -> tuple[Pair[Recorder], Pair[Recorder]]:
        return await net.recorded(), await net.recorded()

    # The producer ends while the handler's end of stream waits for it: its read side, or all.
    for ending in ("shutdown", "abort"):
        source, handler = await two()
        handler.protocol.verb("registerProducer", source.transport, True)
        handler.protocol.verb("loseWriteConnection")
        await net.turns()
        assert handler.protocol.events == ["connectionMade"], ending
        if ending == "shutdown":
            source.peer.shutdown()
        else:
            source.protocol.verb("abortConnection")
        await net.until(handler.protocol, "writeConnectionLost")
        assert await handler.peer.read_to_eof() == b""

    # The handler waits until the producer has ended, also if its own peer has ended, or if its
    # protocol is not half-closeable.
    source, handler = await two()
    handler.peer.shutdown()
    await net.until(handler.protocol, "readConnectionLost")
    handler.protocol.verb("registerProducer", source.transport, True)
    handler.protocol.verb("loseWriteConnection")
    await net.quiet()
    assert handler.protocol.events == ["connectionMade", "readConnectionLost"]
    source.peer.shutdown()
    assert type(await net.lost(handler.protocol)) is ConnectionDone
    source = await net.recorded()
    plain = await net.pair(PlainRecorder())
    plain.protocol.verb("registerProducer", source.transport, True)
    plain.protocol.verb("loseConnection")
    await net.quiet()
    assert plain.protocol.events == ["connectionMade"]
    source.peer.shutdown()
    assert type(await net.lost(plain.protocol)) is ConnectionDone

    # The producer has ended before it is registered.
    source, handler = await two()
    source.peer.shutdown()
    await net.until(source.protocol, "readConnectionLost")
    handler.protocol.verb("registerProducer", source.transport, True)
    handler.protocol.verb("write", b"x")
    handler.protocol.verb("loseWriteConnection")
    assert await handler.peer.read_to_eof() == b"x"
    await net.until(handler.protocol, "writeConnectionLost")

    # If the handler has ended, its producer is stopped; if the handler is aborted, so is the
    # producer.
    source, handler = await two()
    handler.protocol.verb("registerProducer", source.transport, True)
    handler.protocol.verb("stopProducing")
    handler.protocol.verb("unregisterProducer")
    assert type(await net.lost(handler.protocol)) is ConnectionDone
    handler.protocol.verb("registerProducer", source.transport, True)
    assert await source.peer.read_to_eof() == b""
    assert type(await net.lost(source.protocol)) is ConnectionDone
    # An aborted producer first sends what was written to it, even more than the kernel takes, and
    # even if its own reading had ended before it was registered.
    last = pattern(MORE_THAN_THE_KERNEL)
    for ended in (False, True):
        source, handler = await two()
        if ended:
            source.peer.shutdown()
            await net.until(source.protocol, "readConnectionLost")
        handler.protocol.verb("registerProducer", source.transport, True)
        source.protocol.verb("write", last)
        handler.protocol.verb("abortConnection")
        data, end = await source.peer.read_all()
        assert_same(data, last)
        await check_cut_off(net, source, end)
