"""A peer's stream that ends at any byte: never a clean end, and never less than had come."""

from __future__ import annotations

import ssl

import pytest
from halfclose import ConnectionDone, ConnectionLost, TLSOptions, TruncatedError
from halfclose.testing import network
from memory.support import drive
from tls.conversations import Cut, Story, conversation
from tls.peers import Peer
from tls.support import ANSWER, DATA, SIDES, VERSIONS, Side, Told, server_context


class CutAt:
    """Lets so many bytes of what the peer sends through, and then ends its stream."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self.passed = 0

    def __call__(self, data: bytes) -> bytes:
        if len(data) > self._left:
            raise Cut(data[: self._left])
        self._left -= len(data)
        self.passed += len(data)
        return data


def check(story: Story, side: Side, place: str) -> None:
    """Whether our end has told of *story* what is true."""
    protocol = story.protocol
    assert protocol.data == story.sent, place
    lines = [record.getMessage() for record in story.logged]
    assert not any(record.exc_info for record in story.logged), place
    if story.ended:
        assert protocol.events == ["made", "handshake", "data", "read", "lost"], place
        assert type(protocol.reason) is ConnectionDone, place
        assert lines == [], place
        return
    assert "read" not in protocol.events, place
    if "handshake" in protocol.events:
        error = protocol.reason
        assert lines == [], place
    elif side.startswith("started"):
        error = protocol.reason
        assert protocol.events == ["made", "lost"], place
    else:
        assert protocol.events == [], place
        assert not story.shaken, place
        if side == "accepted":
            [line] = lines
            assert line.endswith("failed: the peer ended the connection during the TLS handshake")
            return
        error = story.refused
        assert str(error) == (
            "cannot connect to memory:them: the peer ended the connection during the TLS handshake"
        ), place
    assert isinstance(error, ConnectionLost) or error is story.refused, place
    assert error is not None, place
    assert isinstance(error.__cause__, TruncatedError), place


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", SIDES)
def test_an_end_at_some_bytes(side: Side, version: ssl.TLSVersion) -> None:
    cut_everywhere(side, version, step=101)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", SIDES)
def test_an_end_at_each_byte(side: Side, version: ssl.TLSVersion) -> None:
    cut_everywhere(side, version, step=1)


def cut_everywhere(side: Side, version: ssl.TLSVersion, step: int) -> None:
    whole = CutAt(1 << 20)
    story = conversation(side, version, whole)
    check(story, side, "whole")
    assert story.protocol.data == b"".join(DATA)
    for limit in [*range(0, whole.passed - 31, step), *range(whole.passed - 31, whole.passed + 9)]:
        check(conversation(side, version, CutAt(limit)), side, f"after {limit} bytes")


class Early(Told):
    """Starts TLS with what the peer has sent before."""

    def __init__(self) -> None:
        super().__init__()
        self._received = b""

    def connectionMade(self) -> None:
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        if "handshake" in self.events:
            super().dataReceived(data)
            return
        self._received += data
        if len(self._received) >= 7:
            tls = TLSOptions(server_context(), truncation="eof")
            self.transport.startTLS(tls, server_side=True, received=self._received)


def test_an_end_counts_from_the_bytes_that_start_tls_was_given() -> None:
    """At the end of a record it is an end here, so it matters where a record begins."""
    protocol = Early()

    async def main() -> None:
        async with network(chunks=7) as net:
            await net.backend.listen("memory:us", lambda: protocol)
            with await net.raw("us") as end:
                peer = Peer(end, server_side=False)
                await peer.shake_hands()
                await peer.send(b"data")
                end.shutdown()
                assert await peer.read_all() == ANSWER

    drive(main())
    assert protocol.events == ["made", "handshake", "data", "read", "lost"]
    assert type(protocol.reason) is ConnectionDone
