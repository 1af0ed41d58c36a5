"""TLS: startTLS, in the middle of a connection."""

from __future__ import annotations

import ssl
from typing import Any

from ...reasons import ConnectionAborted, ConnectionDone, ConnectionLost
from ...tls_options import TLSOptions
from ..channels.peers import RawPeer
from ..channels.tls import TLSPeer
from ..tools.certificates import NAME, client_context, server_context
from ..tools.data import assert_same, pattern
from ..tools.harness import Net, Pair, rule
from ..tools.recorder import Recorder

__all__ = ["TLSStartRules"]

LENGTH = 1 << 20
"""Bytes in plain that the kernel does not take at once."""

COMMAND = b"STARTTLS\n"


class Upgradable(Recorder):
    """A recorder that also hears of the end of a handshake."""

    def handshakeCompleted(self) -> None:
        self._event("handshakeCompleted")


def start(protocol: Recorder, *, server_side: bool, received: bytes = b"") -> None:
    """Call startTLS."""
    if server_side:
        options = TLSOptions(server_context())
    else:
        options = TLSOptions(client_context(), server_hostname=NAME)
    protocol.verb("startTLS", options, server_side=server_side, received=received)


def other_side(net: Net, below: RawPeer, *, server_side: bool) -> TLSPeer:
    """The raw peer's TLS, for a connection of which we are the server or not."""
    context = client_context() if server_side else server_context()
    peer = TLSPeer(net.backend, below, context, server_side=not server_side)
    net.closing(peer)
    return peer


class TLSStartRules:
    """The rules TLS-15 and TLS-16."""

    @rule("TLS-15", tls=True)
    async def test_tls_15_asked_for_during_the_handshake(self, net: Net) -> None:
        """What the protocol asks for between startTLS and the end of the handshake is done after
        it: write, loseWriteConnection and loseConnection. abortConnection ends the connection at
        once.

        Where to look: core does this. The channel must go on reading for the handshake although the
        connection is closing.
        """
        for server_side in (True, False):
            for verb in ("loseWriteConnection", "loseConnection"):
                for size in (0, LENGTH):
                    await self._is_done_afterwards(net, verb, size, server_side)
            pair = await net.below().pair(Upgradable())
            start(pair.protocol, server_side=server_side)
            pair.protocol.verb("write", b"never sent")
            pair.protocol.verb("abortConnection")
            assert type(await net.lost(pair.protocol)) is ConnectionAborted
            assert pair.protocol.events == ["connectionMade", "connectionLost"]

    async def _is_done_afterwards(self, net: Net, verb: str, size: int, server_side: bool) -> None:
        case = f"{verb} after {size} bytes, {'server' if server_side else 'client'}"
        pair = await net.below().pair(Upgradable())
        start(pair.protocol, server_side=server_side)
        data = pattern(size)
        pair.protocol.verb("write", data)
        pair.protocol.verb(verb)
        await net.quiet()
        assert pair.protocol.events == ["connectionMade"], f"{case}: {pair.protocol!r}"
        peer = other_side(net, pair.peer, server_side=server_side)
        await peer.handshake()
        received, end = await peer.read_all()
        assert end == "eof", f"{case}: {len(received)} bytes, and no close_notify"
        assert_same(received, data, case)
        if verb == "loseWriteConnection":
            await net.until(pair.protocol, "writeConnectionLost")
            peer.send_now(b"answer")
            await net.until(pair.protocol, lambda: pair.protocol.received == b"answer")
            assert pair.protocol.events.count("handshakeCompleted") == 1, case
            peer.shutdown()
        assert type(await net.lost(pair.protocol)) is ConnectionDone, case

    @rule("TLS-16", tls=True)
    async def test_tls_16_start_tls(self, net: Net) -> None:
        """What was written before startTLS goes out as it is, and what is written after it is
        encrypted. Input that was read already is a part of the TLS: what `received` gives back, and
        what waits because reading is paused. So plain bytes that somebody has slipped in are never
        delivered as if they had been encrypted; they make the handshake fail. handshakeCompleted
        comes once, after the handshake and before the first data. ‡

        Where to look: core does this. The channel below is started a second time, with another
        handler, and may have input that it has read.
        """
        for server_side in (True, False):
            await self._before_and_after(net, server_side)
        await self._given_back(net)
        await self._waiting(net)
        for paused in (False, True):
            await self._slipped_in(net, paused)

    async def _before_and_after(self, net: Net, server_side: bool) -> None:
        pair = await net.below().pair(Upgradable())
        plain = pattern(LENGTH)
        pair.protocol.verb("write", plain)
        start(pair.protocol, server_side=server_side)
        pair.protocol.verb("write", b"secret")
        assert_same(await pair.peer.read_exactly(LENGTH), plain, "in plain")
        peer = other_side(net, pair.peer, server_side=server_side)
        await peer.handshake()
        assert await peer.read_exactly(6) == b"secret"
        peer.send_now(b"first")
        await self._is_upgraded(net, pair, b"first")

    async def _is_upgraded(self, net: Net, pair: Pair[Upgradable], data: bytes) -> None:
        protocol = pair.protocol
        await net.until(protocol, lambda: protocol.received[-len(data) :] == data)
        upgrades = [event for event in protocol.events if event != "connectionMade"]
        assert upgrades[-2:] == ["handshakeCompleted", "dataReceived"], protocol
        assert protocol.events.count("handshakeCompleted") == 1, protocol

    def _upgrades_at_command(self) -> Upgradable:
        """A server that calls startTLS when it has read the command, and gives the rest back."""

        def received(protocol: Any, _: bytes) -> None:
            if protocol.transport.tls is None:
                _, _, rest = bytes(protocol.received).partition(COMMAND)
                protocol.received.clear()
                start(protocol, server_side=True, received=rest)

        return Upgradable(dataReceived=received)

    async def _given_back(self, net: Net) -> None:
        pair = await net.below().pair(self._upgrades_at_command())
        peer = other_side(net, pair.peer, server_side=True)
        pair.peer.send_now(COMMAND + self._hello(peer))
        await peer.handshake()
        peer.send_now(b"first")
        await self._is_upgraded(net, pair, b"first")

    def _hello(self, peer: TLSPeer) -> bytes:
        """The first message of a client's handshake."""
        try:
            peer.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return peer.outgoing.read()

    async def _waiting(self, net: Net) -> None:
        pair = await net.below().pair(Upgradable())
        pair.protocol.verb("pauseProducing")
        peer = other_side(net, pair.peer, server_side=True)
        pair.peer.send_now(self._hello(peer))
        await net.quiet()
        start(pair.protocol, server_side=True)
        # The handshake goes on although the protocol wants no data.
        await peer.handshake()
        peer.send_now(b"first")
        await net.quiet()
        assert "dataReceived" not in pair.protocol.events
        pair.protocol.verb("resumeProducing")
        await self._is_upgraded(net, pair, b"first")

    async def _slipped_in(self, net: Net, paused: bool) -> None:
        evil = b"RCPT TO: somebody else\n"
        if paused:
            pair = await net.below().pair(Upgradable())
            pair.protocol.verb("pauseProducing")
            peer = other_side(net, pair.peer, server_side=True)
            pair.peer.send_now(evil + self._hello(peer))
            await net.quiet()
            start(pair.protocol, server_side=True)
            pair.protocol.verb("resumeProducing")
        else:
            pair = await net.below().pair(self._upgrades_at_command())
            peer = other_side(net, pair.peer, server_side=True)
            pair.peer.send_now(COMMAND + evil + self._hello(peer))
        reason = await net.lost(pair.protocol)
        assert pair.protocol.received == b"", "plain bytes were delivered as if encrypted"
        assert type(reason) is ConnectionLost, f"{reason!r}"
        assert isinstance(reason.__cause__, ssl.SSLError), f"{reason.__cause__!r}"
        assert "handshakeCompleted" not in pair.protocol.events
