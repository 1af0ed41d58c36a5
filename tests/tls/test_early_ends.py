"""A peer's stream that ends at any byte: never a clean end, and never less than had come."""

from __future__ import annotations

import ssl
from itertools import accumulate

import pytest
from halfclose import ConnectionDone, ConnectionLost, TLSError, TLSOptions, TruncatedError
from halfclose.testing import network
from memory.support import drive
from tls.conversations import Cut, conversation, records
from tls.peers import Peer
from tls.support import ANSWER, SIDES, VERSIONS, Side, Told, Truncation, server_context


class CutAt:
    """Lets so many bytes of what the peer sends through, and then ends its stream."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self.passed = 0
        self.at_a_record = True
        """Whether the last record was let through whole."""

    def __call__(self, data: bytes) -> bytes:
        if len(data) <= self._left:
            self._left -= len(data)
            self.passed += len(data)
            return data
        sizes = accumulate((len(each) for each in records(data)), initial=0)
        self.at_a_record = self._left in sizes
        raise Cut(data[: self._left])


def cut_at(limit: int, side: Side, version: ssl.TLSVersion, truncation: Truncation) -> int:
    """Cut there, and judge what our end tells of it.

    :returns: how many bytes the peer has sent, unless it was cut.
    """
    cut = CutAt(limit)
    story = conversation(side, version, cut, truncation=truncation)
    protocol = story.protocol
    assert protocol.data == story.sent
    assert not any(record.exc_info for record in story.logged)
    lines = [record.getMessage() for record in story.logged]
    shaken = "handshake" in protocol.events
    if story.ended or (shaken and cut.at_a_record and truncation == "eof"):
        expected = ["made", "handshake", *(["data"] if story.sent else []), "read", "lost"]
        assert protocol.events == expected
        assert type(protocol.reason) is ConnectionDone
        assert lines == []
        return cut.passed
    assert "read" not in protocol.events
    error: BaseException | None
    if shaken or side.startswith("started"):
        error = protocol.reason
        assert lines == []
        assert type(error) is ConnectionLost
        assert shaken or protocol.events == ["made", "lost"]
    else:
        assert protocol.events == []
        assert not story.shaken
        if side == "accepted":
            [line] = lines
            assert "the peer ended the connection during the TLS handshake" in line
            return 0
        error = story.refused
        assert type(error) is TLSError
        assert "the peer ended the connection during the TLS handshake" in str(error)
    assert isinstance(error.__cause__, TruncatedError)
    return 0


def cut_everywhere(side: Side, version: ssl.TLSVersion, truncation: Truncation, step: int) -> None:
    size = cut_at(1 << 20, side, version, truncation)
    assert size
    # The last record is the peer's close_notify.
    for limit in [*range(0, size - 31, step), *range(size - 31, size + 9)]:
        try:
            cut_at(limit, side, version, truncation)
        except AssertionError as error:
            error.add_note(f"cut after {limit} bytes")
            raise


@pytest.mark.parametrize("truncation", ["error", "eof"])
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", SIDES)
def test_an_end_at_some_bytes(side: Side, version: ssl.TLSVersion, truncation: Truncation) -> None:
    cut_everywhere(side, version, truncation, step=307)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", SIDES)
def test_an_end_at_each_byte(side: Side, version: ssl.TLSVersion) -> None:
    cut_everywhere(side, version, "error", step=1)
    cut_everywhere(side, version, "eof", step=7)


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
