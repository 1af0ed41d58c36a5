"""TLS: on which channels it works, and what is held while reading is paused."""

from __future__ import annotations

from ...reasons import ConnectionDone
from ..tools.certificates import client_context
from ..tools.harness import MORE_THAN_THE_KERNEL, Net, rule
from ..tools.recorder import Recorder
from ..tools.sealing import sealing
from ..tools.tls_pairs import accepted
from ..tools.waiting import flood, idle

__all__ = ["TLSLimitRules"]


class TLSLimitRules:
    """The rules TLS-17 and TLS-20."""

    @rule("TLS-17", tls=True)
    async def test_tls_17_paused(self, net: Net) -> None:
        """While reading is paused, no data is delivered over TLS either, and memory holds no more
        than one read and one record, however much the peer sends. A key update that comes meanwhile
        does not keep the loop busy.

        Where to look: ``pause_reading`` must leave the input in the kernel (capability
        `bounds_input`).
        """

        def pause(protocol: Recorder, _: bytes) -> None:
            protocol.verb("pauseProducing")

        pair = await accepted(net, Recorder(dataReceived=pause))
        sent = await flood(net, pair.peer, MORE_THAN_THE_KERNEL)
        if pair.can.bounds_input:
            assert sent < MORE_THAN_THE_KERNEL, f"paused, we took {sent} bytes"
        assert len(pair.protocol.chunks) == 1, "data was delivered while reading was paused"
        assert pair.protocol.chunks[0] <= 1 << 16, pair.protocol.chunks
        pair.protocol._reactions.clear()
        pair.protocol.verb("resumeProducing")
        pair.peer.shutdown()
        await net.until(pair.protocol, "readConnectionLost")
        assert len(pair.protocol.received) == sent

        client = client_context()
        with sealing(client) as keys:
            pair = await accepted(net, Recorder(dataReceived=pause), client=client)
            by_hand = keys.sealer(pair.peer.tls)
        sent_by_hand = by_hand.seal(b"one") + by_hand.update_key() + by_hand.seal(b"two")
        pair.below.send_now(sent_by_hand)
        await net.until(pair.protocol, "dataReceived")
        await idle(net, "paused, with a key update that waits")
        assert pair.protocol.received == b"one"
        pair.below.send_now(by_hand.update_key())
        await idle(net, "paused, with another key update")
        pair.protocol.verb("resumeProducing")
        await net.until(pair.protocol, lambda: pair.protocol.received == b"onetwo")

    @rule("TLS-20", tls=True)
    async def test_tls_20_on_every_type_of_channel(self, net: Net) -> None:
        """This whole contract holds over TLS, on each type of channel. A channel below that cannot
        half-close is enough: `can_half_close` is on above it.

        Where to look: the suite runs every rule on the channel types with TLS too. A channel that
        cannot half-close needs ``write``, and its ``close`` must send what was written.
        """
        pair = await net.recorded()
        assert pair.can.can_half_close, "can_half_close is off above TLS"
        assert pair.transport.tls is not None
        pair.protocol.verb("write", b"question")
        pair.protocol.verb("loseWriteConnection")
        assert await pair.peer.read_to_eof() == b"question"
        pair.peer.send_now(b"answer")
        pair.peer.shutdown()
        assert type(await net.lost(pair.protocol)) is ConnectionDone
        assert pair.protocol.received == b"answer"
