"""TLS: the end of each half."""

from __future__ import annotations

import ssl

from ...reasons import ConnectionDone, ConnectionLost, TruncatedError
from ..tools.certificates import client_context, server_context
from ..tools.data import assert_same, pattern
from ..tools.harness import Net, rule
from ..tools.reactions import lose_write
from ..tools.recorder import Recorder
from ..tools.sealing import APPLICATION_DATA, sealing
from ..tools.tls_pairs import (
    BOTH_SIDES,
    VERSIONS,
    Connect,
    TLSPair,
    accepted,
    connected,
    connecting,
    nothing_more,
)

__all__ = ["TLSEndRules"]

ALERT = 21
CLOSE_NOTIFY = b"\1\0"

LENGTH = 200_000
"""Bytes of an answer: several records, and more than one piece of anything."""


def records_of(pair: TLSPair[Recorder], data: bytes) -> bytes:
    """The records by which the raw peer would send *data*."""
    pair.peer.tls.write(data)
    return pair.peer.outgoing.read()


async def answer(net: Net, pair: TLSPair[Recorder], case: str) -> None:
    """Write an answer after the peer's end, and fail unless all of it comes, and then our end."""
    await net.until(pair.protocol, "readConnectionLost")
    data = pattern(LENGTH)
    pair.protocol.verb("write", data)
    assert_same(await pair.peer.read_exactly(LENGTH), data, case)
    pair.protocol.verb("loseWriteConnection")
    assert await pair.peer.read_to_eof() == b"", case
    reason = await net.lost(pair.protocol)
    assert type(reason) is ConnectionDone, f"{case}: {reason!r}"


class TLSEndRules:
    """The rules TLS-02 to TLS-08, and TLS-22."""

    @rule("TLS-02", tls=True)
    async def test_tls_02_our_half_ends(self, net: Net) -> None:
        """loseWriteConnection sends every byte that was written, then close_notify, and no end of
        stream below, because many peers take that one for the end of both halves.
        writeConnectionLost comes once, when close_notify is with the kernel. Reading goes on, in
        TLS 1.2 and in 1.3. ‡ (asyncio and uvloop have no half-close over TLS.)

        Where to look: core does this, by ``Channel.write`` alone. The channel must go on reading
        whatever was written.
        """
        for version in VERSIONS:
            for connect in BOTH_SIDES:
                await self._our_half_ends(net, connect, version)

    async def _our_half_ends(self, net: Net, connect: Connect, version: ssl.TLSVersion) -> None:
        case = f"{connect.__name__}, {version.name}"
        pair = await connect(net, Recorder(), version=version)
        data = pattern(LENGTH)
        pair.protocol.verb("write", data)
        pair.protocol.verb("loseWriteConnection")
        received, end = await pair.peer.read_all()
        assert end == "eof", f"{case}: no close_notify, but an end of stream below"
        assert_same(received, data, case)
        await net.until(pair.protocol, "writeConnectionLost")
        await nothing_more(net, pair, case)
        pair.peer.send_now(b"still read")
        await net.until(pair.protocol, lambda: pair.protocol.received == b"still read")
        pair.peer.shutdown()
        assert type(await net.lost(pair.protocol)) is ConnectionDone, case
        assert pair.protocol.events == [
            "connectionMade",
            "writeConnectionLost",
            "dataReceived",
            "readConnectionLost",
            "connectionLost",
        ], case

    @rule("TLS-03", tls=True)
    async def test_tls_03_the_peers_half_ends(self, net: Net) -> None:
        """The peer's close_notify is its end of stream: readConnectionLost comes once, after all
        data before it. What is written afterwards reaches the peer. No close_notify is sent that
        the protocol has not asked for, in TLS 1.2 as in 1.3. † ‡ (asyncio, uvloop and Twisted end
        both halves.)

        Where to look: core does this. The channel below has not ended when close_notify comes, and
        must go on writing.
        """
        for version in VERSIONS:
            for connect in BOTH_SIDES:
                case = f"{connect.__name__}, {version.name}"
                pair = await connect(net, Recorder(), version=version)
                pair.peer.send_now(b"question")
                pair.peer.shutdown()
                await net.until(pair.protocol, "readConnectionLost")
                assert pair.protocol.received == b"question", case
                await nothing_more(net, pair, case)
                await answer(net, pair, case)
                assert pair.protocol.events == [
                    "connectionMade",
                    "dataReceived",
                    "readConnectionLost",
                    "writeConnectionLost",
                    "connectionLost",
                ], case

    @rule("TLS-04", tls=True)
    async def test_tls_04_both_ends_at_once(self, net: Net) -> None:
        """An end of stream below that comes right behind the peer's close_notify changes nothing of
        TLS-03: what is written afterwards still reaches the peer, and the connection ends once our
        half has ended too. (Java and Node send both in one segment.)

        Where to look: the channel reports ``read_ended`` right after the last bytes. It must go on
        writing then, as for TCP without TLS.
        """
        for version in VERSIONS:
            for paused in (False, True):
                case = f"{version.name}, {'paused' if paused else 'reading'}"
                pair = await accepted(net, Recorder(), version=version)
                if paused:
                    pair.protocol.verb("pauseProducing")
                pair.peer.send_now(b"question")
                pair.peer.shutdown()
                pair.below.shutdown()
                if paused:
                    await net.quiet()
                    pair.protocol.verb("resumeProducing")
                await answer(net, pair, case)
                assert pair.protocol.received == b"question", case

    @rule("TLS-05", tls=True)
    async def test_tls_05_truncation(self, net: Net) -> None:
        """An end of stream below without a close_notify before it is truncation, since anybody can
        have put it there. The data of all whole records is delivered, and then
        connectionLost(ConnectionLost) comes with a TruncatedError as its `__cause__`, and no
        readConnectionLost. ‡ With the option `truncation="eof"` such an end is the peer's end of
        stream if it comes between two records, and our half goes on. In the middle of a record it
        stays truncation. (ncat and nginx end so.)

        Where to look: core does this, at the channel's ``read_ended``, which comes after all bytes.
        """
        for version in VERSIONS:
            for inside in (False, True):
                for paused in (False, True):
                    await self._is_cut_off(net, version, "error", inside, paused)
            await self._is_cut_off(net, version, "eof", inside=True, paused=False)
            await self._ends_between_records(net, version)

    async def _is_cut_off(
        self, net: Net, version: ssl.TLSVersion, truncation: str, inside: bool, paused: bool
    ) -> None:
        case = f"{version.name}, {truncation}{', inside a record' * inside}{', paused' * paused}"
        tls = {"truncation": truncation}
        pair = await accepted(net, Recorder(), version=version, tls=tls)
        if paused:
            pair.protocol.verb("pauseProducing")
        sent = records_of(pair, b"whole")
        if inside:
            sent += records_of(pair, b"missing")[:-1]
        pair.below.send_now(sent)
        pair.below.shutdown()
        if paused:
            await net.quiet()
            assert pair.protocol.events == ["connectionMade"], case
            pair.protocol.verb("resumeProducing")
        await net.until(pair.protocol, lambda: pair.protocol.events[-1].endswith("Lost"))
        assert "readConnectionLost" not in pair.protocol.events, f"{case}: it was taken for an end"
        reason = await net.lost(pair.protocol)
        assert type(reason) is ConnectionLost, f"{case}: {reason!r}"
        assert isinstance(reason.__cause__, TruncatedError), f"{case}: {reason.__cause__!r}"
        assert pair.protocol.received == b"whole", case
        assert pair.protocol.events == ["connectionMade", "dataReceived", "connectionLost"], case

    async def _ends_between_records(self, net: Net, version: ssl.TLSVersion) -> None:
        pair = await accepted(net, Recorder(), version=version, tls={"truncation": "eof"})
        sent = records_of(pair, b"whole")
        # The end is between two records, however they came.
        for piece in (sent[:3], sent[3:7], sent[7:]):
            pair.below.send_now(piece)
            await net.turns()
        await net.until(pair.protocol, "dataReceived")
        pair.below.shutdown()
        await answer(net, pair, f"{version.name}, eof")
        assert pair.protocol.received == b"whole"

    @rule("TLS-06", tls=True)
    async def test_tls_06_half_closing_loses_no_input(self, net: Net) -> None:
        """loseWriteConnection loses nothing that the peer sends: no records that have come and are
        not decrypted yet, no record of which only a part has come, and nothing that waits because
        reading is paused.

        Where to look: core does this. ``pause_reading`` may come between two calls of ``received``,
        and what the channel has read by then must still be delivered.
        """
        for version in VERSIONS:
            await self._with_records_waiting(net, version)
            await self._with_part_of_a_record(net, version)
            await self._while_paused(net, version)

    async def _with_records_waiting(self, net: Net, version: ssl.TLSVersion) -> None:
        pair = await accepted(net, Recorder(dataReceived=lose_write), version=version)
        pair.below.send_now(b"".join(records_of(pair, b"%d" % number) for number in range(8)))
        await self._all_comes(net, pair, b"01234567", f"{version.name}, records wait")

    async def _with_part_of_a_record(self, net: Net, version: ssl.TLSVersion) -> None:
        for cut in (1, 5, 20):
            pair = await accepted(net, Recorder(), version=version)
            record = records_of(pair, b"in two parts")
            pair.below.send_now(record[:cut])
            await net.quiet()
            pair.protocol.verb("loseWriteConnection")
            pair.below.send_now(record[cut:])
            case = f"{version.name}, {cut} bytes of a record have come"
            await self._all_comes(net, pair, b"in two parts", case)

    async def _while_paused(self, net: Net, version: ssl.TLSVersion) -> None:
        def pause(protocol: Recorder, _: bytes) -> None:
            protocol.verb("pauseProducing")
            protocol.verb("loseWriteConnection")
            protocol._reactions.clear()

        pair = await accepted(net, Recorder(dataReceived=pause), version=version)
        data = pattern(LENGTH)
        net.backend.start_soon(pair.peer.send, data)
        await net.until(pair.protocol, "writeConnectionLost")
        await net.quiet()
        pair.protocol.verb("resumeProducing")
        await net.until(pair.protocol, lambda: len(pair.protocol.received) == LENGTH)
        await self._all_comes(net, pair, data, f"{version.name}, paused")

    async def _all_comes(self, net: Net, pair: TLSPair[Recorder], data: bytes, case: str) -> None:
        """Fail unless our end comes to the peer, and *data* and the peer's end come to us."""
        assert await pair.peer.read_to_eof() == b"", case
        pair.peer.shutdown()
        reason = await net.lost(pair.protocol)
        assert type(reason) is ConnectionDone, f"{case}: {reason!r}"
        assert_same(bytes(pair.protocol.received), data, case)
        assert "readConnectionLost" in pair.protocol.events, case

    @rule("TLS-07", tls=True)
    async def test_tls_07_after_our_close_notify(self, net: Net) -> None:
        """What TLS itself sends after our close_notify ends nothing: tickets of a session, a key
        update, a request for our certificate. Reading goes on, and nothing is sent after our
        close_notify.

        Where to look: core does this.
        """
        await self._tickets(net)
        await self._certificate_request(net)
        await self._key_update(net)

    async def _tickets(self, net: Net) -> None:
        protocol = Recorder(connectionMade=lose_write)
        attempt = await connecting(net, lambda: protocol, server=server_context(tickets=2))
        await attempt.peer.handshake(hold=True)
        assert await attempt.error(net) is None
        pair = TLSPair(protocol, attempt.peer)
        assert await pair.peer.read_to_eof() == b""
        await self._goes_on(net, pair, "tickets")

    async def _certificate_request(self, net: Net) -> None:
        client = client_context(certificate=True)
        client.post_handshake_auth = True
        server = server_context(demand_client=True)
        server.verify_mode = ssl.CERT_OPTIONAL
        pair = await connected(net, Recorder(), server=server, client=client)
        pair.protocol.verb("loseWriteConnection")
        assert await pair.peer.read_to_eof() == b""
        pair.peer.tls.verify_client_post_handshake()
        pair.peer.tls.do_handshake()
        assert pair.peer.outgoing.pending, "the raw peer has sent no request"
        await self._goes_on(net, pair, "a certificate request")

    async def _goes_on(self, net: Net, pair: TLSPair[Recorder], case: str) -> None:
        pair.peer.send_now(b"answer")
        await net.until(pair.protocol, lambda: pair.protocol.received == b"answer")
        await nothing_more(net, pair, f"after {case}")
        pair.peer.shutdown()
        assert type(await net.lost(pair.protocol)) is ConnectionDone, case

    async def _key_update(self, net: Net) -> None:
        client = client_context()
        with sealing(client) as keys:
            pair = await accepted(net, Recorder(), client=client)
            by_hand = keys.sealer(pair.peer.tls)
        pair.protocol.verb("loseWriteConnection")
        assert await pair.peer.read_to_eof() == b""
        pair.below.send_now(by_hand.update_key() + by_hand.seal(b"answer"))
        await net.until(pair.protocol, lambda: pair.protocol.received == b"answer")
        await nothing_more(net, pair, "after a key update")
        pair.below.send_now(by_hand.seal(CLOSE_NOTIFY, ALERT))
        assert type(await net.lost(pair.protocol)) is ConnectionDone

    @rule("TLS-08", tls=True)
    async def test_tls_08_after_the_peers_close_notify(self, net: Net) -> None:
        """Bytes after the peer's close_notify are never delivered, whether they are records or
        anything else, and they harm nothing: our half goes on.

        Where to look: core does this. A channel that has read such bytes before it was paused
        reports them all the same.
        """
        client = client_context()
        with sealing(client) as keys:
            for kind in ("records", "anything else"):
                for apart in (False, True):
                    pair = await accepted(net, Recorder(), client=client)
                    by_hand = keys.sealer(pair.peer.tls)
                    end = by_hand.seal(b"data") + by_hand.seal(CLOSE_NOTIFY, ALERT)
                    late = by_hand.seal(b"late", APPLICATION_DATA)
                    if kind != "records":
                        late = b"GET / HTTP/1.1\r\n\r\n"
                    case = f"{kind}{', later' * apart}"
                    if apart:
                        pair.below.send_now(end)
                        await net.until(pair.protocol, "readConnectionLost")
                        pair.below.send_now(late)
                    else:
                        pair.below.send_now(end + late)
                    await net.until(pair.protocol, "readConnectionLost")
                    await nothing_more(net, pair, case)
                    await answer(net, pair, case)
                    assert pair.protocol.received == b"data", case

    @rule("TLS-22", tls=True)
    async def test_tls_22_no_one_to_tell(self, net: Net) -> None:
        """If the peer has ended its half, by close_notify and an end of stream below, and has gone
        away, then nothing is lost if our close_notify cannot be sent any more: the connection has
        ended cleanly, with connectionLost(ConnectionDone). ‡ (On asyncio one in five such ends was
        a BrokenPipeError.)

        Where to look: a reset may come behind the peer's last bytes. The channel must deliver these
        first (capability `keeps_input`).
        """
        for verb in ("loseWriteConnection", "loseConnection"):
            for version in VERSIONS:
                await self._peer_goes_away(net, version, verb)

    async def _peer_goes_away(self, net: Net, version: ssl.TLSVersion, verb: str) -> None:
        case = f"{verb}, {version.name}"

        def end(protocol: Recorder) -> None:
            protocol.verb(verb)

        protocol = Recorder(readConnectionLost=end)
        pair = await accepted(net, protocol, version=version)
        protocol.verb("pauseProducing")
        pair.peer.shutdown()
        pair.below.shutdown()
        if net.channel_type.scheme == "unix":
            # It can only be reset if something is unread.
            pair.below.close()
        else:
            pair.below.reset()
        protocol.verb("resumeProducing")
        reason = await net.lost(protocol)
        if "readConnectionLost" in protocol.events or pair.can.keeps_input:
            assert type(reason) is ConnectionDone, f"{case}: {reason!r}"
            assert "readConnectionLost" in protocol.events, case
