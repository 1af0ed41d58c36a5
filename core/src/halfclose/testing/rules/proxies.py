"""PRD: a transport as the producer of another, as in a proxy."""

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
        stopProducing is loseConnection. One that is registered with another transport counts as
        unregistered once its own read side has ended or it is lost, so that a proxy written the
        Twisted way (portforward) closes. But truncated data never looks complete: where the
        transport that it was registered with is lost uncleanly, also after its read side has
        ended, it sends what was written to it, and is then aborted; and so is one that waits for
        its producer to unregister, where that one is lost otherwise than cleanly or by
        abortConnection. † (a reset of either end of portforward reaches the other as a clean FIN)

        Where to look: ``pause_reading`` and ``resume_reading`` come at any time, from inside
        another connection's ``write`` and ``writable`` too; and ``read_ended`` is told even where
        nothing else happens on the connection. A reset that must not overtake what was sent waits
        for ``Channel.unsent``, in which all counts that the peer has not acknowledged.
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
    """Two connections wired for flow control, as twisted.protocols.portforward does it."""
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
    # Nobody reads at the right end: so the left end can send no more than the buffers hold, those
    # of two connections here.
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
    """Whether both connections are lost when one has ended so."""
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
        # As leaving the backend does: neither can wait for the other.
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
    """The raw peer has seen that more was to come, where the kernel has a way to say so."""
    assert end == "reset" or not pair.can.can_reset, "a reset was told onwards as a clean end"
    reason = await net.lost(pair.protocol)
    assert type(reason) is ConnectionAborted, reason


async def _a_reset_goes_through(net: Net, *, wait: bool) -> None:
    """One end has sent a request and its end of stream; the other is reset amid its answer.

    :param wait: whether nobody reads the answer until then, so that it waits with us.
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
    # With the request unread: so a unix socket is reset by it, too.
    right.peer.reset()
    data, end = await left.peer.read_all()
    assert_same(data, bytes(other.received))
    assert len(data) >= len(answer)
    await net.lost(other)
    await check_cut_off(net, left, end)


async def _a_reset_of_what_is_waited_for(net: Net) -> None:
    """A connection that is to end when its producer is done, and that one is reset."""
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

    # It ends while we wait for it: its read side, or all of it.
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

    # As long as it has not ended, it is waited for: where the handler's own peer has, and where the
    # handler is not half-closeable.
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

    # It has ended before it is registered.
    source, handler = await two()
    source.peer.shutdown()
    await net.until(source.protocol, "readConnectionLost")
    handler.protocol.verb("registerProducer", source.transport, True)
    handler.protocol.verb("write", b"x")
    handler.protocol.verb("loseWriteConnection")
    assert await handler.peer.read_to_eof() == b"x"
    await net.until(handler.protocol, "writeConnectionLost")

    # The one for which it produces has ended: it is stopped. Where that one is aborted, so is it.
    source, handler = await two()
    handler.protocol.verb("registerProducer", source.transport, True)
    handler.protocol.verb("stopProducing")
    handler.protocol.verb("unregisterProducer")
    assert type(await net.lost(handler.protocol)) is ConnectionDone
    handler.protocol.verb("registerProducer", source.transport, True)
    assert await source.peer.read_to_eof() == b""
    assert type(await net.lost(source.protocol)) is ConnectionDone
    # What was written to it comes first, more than the kernel takes; likewise one whose own
    # reading had ended before it was registered.
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
