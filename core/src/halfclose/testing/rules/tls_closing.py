"""TLS: closing and aborting, and errors inside."""

from __future__ import annotations

import ssl

from ...reasons import ConnectionAborted, ConnectionDone, ConnectionLost
from ..tools.certificates import server_context
from ..tools.data import assert_same, pattern
from ..tools.harness import Net, rule
from ..tools.producers import Pull
from ..tools.reactions import raises, write_and_lose
from ..tools.recorder import Recorder
from ..tools.tls_pairs import BOTH_SIDES, VERSIONS, TLSPair, accepted, connected
from .lingering import UNREAD

__all__ = ["TLSClosingRules"]

LENGTH = 1 << 20
"""Bytes of a reply that the kernel does not take at once."""

UPLOAD = 1 << 20
"""Bytes that a peer sends although nobody wants them."""


class TLSClosingRules:
    """The rules TLS-09 to TLS-12."""

    @rule("TLS-09", tls=True)
    async def test_tls_09_closing(self, net: Net) -> None:
        """loseConnection sends every byte that was written, then close_notify, then the end of
        stream below. It never waits for the peer's close_notify: connectionLost(ConnectionDone)
        comes as soon as all that is with the kernel. The backend then lingers as END-02 says, and
        decrypts nothing: whatever the peer still sends, also if that is no TLS, the peer reads the
        whole reply. ‡

        Where to look: the channel below must linger as END-01 and END-02 say, by its own
        ``linger``.
        """
        for version in VERSIONS:
            for connect in BOTH_SIDES:
                case = f"{connect.__name__}, {version.name}"
                pair = await connect(net, Recorder(), version=version)
                data = pattern(UNREAD[net.channel_type.scheme])
                write_and_lose(data)(pair.protocol)
                # The peer has ended nothing, and does not even read.
                assert type(await net.lost(pair.protocol)) is ConnectionDone, case
                assert pair.protocol.events == ["connectionMade", "connectionLost"], case
                # The channel lingers now, and must decrypt nothing of this.
                await pair.below.send(b"this is no record" * 1000)
                await self._reads_all(pair, data, case)
        pair = await accepted(net, Recorder())
        data = pattern(LENGTH)
        write_and_lose(data)(pair.protocol)
        await self._reads_all(pair, data, "a long reply")
        assert type(await net.lost(pair.protocol)) is ConnectionDone

    async def _reads_all(self, pair: TLSPair[Recorder], data: bytes, case: str) -> None:
        """Fail unless the peer reads *data*, close_notify and the end of stream below."""
        received, end = await pair.peer.read_all()
        assert end == "eof", f"{case}: {len(received)} bytes, and no close_notify"
        assert_same(received, data, case)
        rest, end = await pair.below.read_all()
        assert (rest, end) == (b"", "eof"), f"{case}: below, {rest!r} and then a {end}"

    @rule("TLS-10", tls=True)
    async def test_tls_10_a_client_that_never_reads(self, net: Net) -> None:
        """A client that writes, calls loseConnection and never reads loses nothing of what it has
        written, although the server's tickets come meanwhile and are not read. (With them unread, a
        client that closes sends a reset, and of 3 MB 23 to 95 % were lost.)

        Where to look: the channel must linger after a close, also if its reading was paused.
        """

        def made(protocol: Recorder) -> None:
            protocol.verb("pauseProducing")

        # The kernel takes the short data at once, and the long only while the peer reads.
        for size in (UNREAD[net.channel_type.scheme], LENGTH):
            server = server_context(tickets=4)
            pair = await connected(net, Recorder(connectionMade=made), server=server)
            # The tickets are there, and unread.
            await net.quiet()
            data = pattern(size)
            write_and_lose(data)(pair.protocol)
            await net.quiet()
            await self._reads_all(pair, data, f"{size} bytes")
            assert type(await net.lost(pair.protocol)) is ConnectionDone

    @rule("TLS-11", tls=True)
    async def test_tls_11_aborting(self, net: Net) -> None:
        """abortConnection sends no close_notify, and resets the connection below, so that what the
        peer has read does not look complete. Where there is no reset, as on a unix socket, the peer
        sees an end of stream below, and misses close_notify.

        Where to look: ``Channel.abort`` below must reset the connection where it can.
        """
        for version in VERSIONS:
            for connect in BOTH_SIDES:
                case = f"{connect.__name__}, {version.name}"
                pair = await connect(net, Recorder(), version=version)
                pair.protocol.verb("write", b"part")
                assert await pair.peer.read_exactly(4) == b"part"
                pair.protocol.verb("abortConnection")
                assert type(await net.lost(pair.protocol)) is ConnectionAborted, case
                records, end = await pair.below.read_all()
                assert not records, f"{case}: the peer got {records!r}"
                assert end == "reset" or net.channel_type.scheme == "unix", f"{case}: no reset"

    @rule("TLS-12", tls=True)
    async def test_tls_12_a_fatal_error(self, net: Net) -> None:
        """A fatal error of TLS inside a connection, such as a record that was changed on its way,
        ends the connection: the data before it is delivered, and then
        connectionLost(ConnectionLost) comes with the `ssl.SSLError` as its `__cause__`. The alert
        that says what was wrong reaches the peer, also one that is still sending.

        Where to look: the channel below lingers for the alert. A channel that was closed while
        input is unread would send a reset, which overtakes it.
        """
        for version in VERSIONS:
            for connect in BOTH_SIDES:
                case = f"{connect.__name__}, {version.name}"
                pair = await connect(net, Recorder(), version=version)
                peer = pair.peer
                await self._fills_the_kernel(net, pair.protocol)
                peer.tls.write(b"good")
                good = peer.outgoing.read()
                peer.tls.write(b"changed")
                changed = bytearray(peer.outgoing.read())
                changed[-1] ^= 1
                await pair.below.send(good + changed + bytes(UPLOAD))
                reason = await net.lost(pair.protocol)
                assert type(reason) is ConnectionLost, f"{case}: {reason!r}"
                cause = reason.__cause__
                assert isinstance(cause, ssl.SSLError), f"{case}: {cause!r}"
                assert pair.protocol.received == b"good", case
                assert pair.protocol.events[-1] == "connectionLost", case
                assert "readConnectionLost" not in pair.protocol.events, case
                with raises(ssl.SSLError) as told:
                    while await peer.receive(1 << 16):
                        pass
                reason_given = told.value.reason or ""
                assert "BAD_RECORD_MAC" in reason_given, f"{case}: the alert was {reason_given!r}"
                peer.close()

    async def _fills_the_kernel(self, net: Net, protocol: Recorder) -> None:
        """Write what the kernel takes, and keeps as long as the peer does not read.

        A reset would throw it away, and the alert that comes behind it.
        """
        producer = Pull(net, protocol, [bytes(UNREAD[net.channel_type.scheme])])
        producer.register()
        await net.until(protocol, lambda: producer.asked == 2)
        # A framework may need some turns for the last piece.
        await net.turns(20)
