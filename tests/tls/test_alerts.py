"""Alerts at every stage: only close_notify after the handshake is an end."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest
from halfclose import ConnectionDone, ConnectionLost, ConnectTimeout, TLSError
from halfclose.testing import network
from memory.support import drive
from tls.conversations import check, conversation, record, records
from tls.forging import ALERT, CLOSE_NOTIFY, DATA, facing
from tls.support import ANSWER, GREETING, SIDES, VERSIONS, Side, Told

WARNING = 1
FATAL = 2
CODES = (10, 20, 21, 22, 30, *range(40, 52), 60, 70, 71, 80, 86, 100, *range(109, 117), 120, 255)
"""What a fatal alert may say, and a code that says nothing (RFC 8446, B.2)."""

USER_CANCELED = b"\x01\x5a"
"""A warning that may come before close_notify."""


def instead_of(stage: int, alert: bytes) -> Callable[[bytes], bytes]:
    """Sends *alert* without a cipher in place of the peer's record of that number."""
    passed = 0

    def spoil(data: bytes) -> bytes:
        nonlocal passed
        sent = b""
        for each in records(data):
            sent += record(ALERT, alert) if passed == stage else each
            passed += 1
        return sent

    return spoil


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", SIDES)
def test_an_alert_in_place_of_the_first_record(side: Side, version: ssl.TLSVersion) -> None:
    for code in CODES:
        story = conversation(side, version, instead_of(0, bytes([FATAL, code])))
        check(story)
        assert "handshake" not in story.protocol.events
        if side == "accepted":
            assert len(story.logged) == 1
            assert story.seconds == 0
        elif side == "connected":
            assert type(story.refused) is TLSError
            assert story.seconds == 0


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", SIDES)
def test_an_alert_in_place_of_each_record(side: Side, version: ssl.TLSVersion) -> None:
    for stage in range(8):
        for code in CODES:
            for level in (WARNING, FATAL, 3):
                check(conversation(side, version, instead_of(stage, bytes([level, code]))))


@pytest.mark.parametrize("stage", range(3))
@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", SIDES)
def test_close_notify_inside_the_handshake(side: Side, version: ssl.TLSVersion, stage: int) -> None:
    story = conversation(side, version, instead_of(stage, CLOSE_NOTIFY))
    check(story)
    assert "handshake" not in story.protocol.events
    if side == "connected":
        assert type(story.refused) in (TLSError, ConnectTimeout)
    elif side == "accepted":
        assert len(story.logged) == 1


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", ["accepted", "connected"])
def test_a_fatal_alert_among_the_data(side: Side, version: ssl.TLSVersion) -> None:
    for code in CODES:
        protocol = Told()

        async def main() -> None:
            async with (
                network() as net,
                facing(net, side, version, protocol) as (peer, forger),  # noqa: B023 - run at once
            ):
                await peer.end.send_all(
                    forger.record(DATA, b"data") + forger.record(ALERT, bytes([FATAL, code]))  # noqa: B023
                )
                await protocol.transport.whenClosed()  # noqa: B023

        drive(main())
        assert protocol.data == b"data"
        assert protocol.events == ["made", "handshake", "data", "lost"], code
        assert type(protocol.reason) is ConnectionLost
        assert isinstance(protocol.reason.__cause__, ssl.SSLError)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("side", ["accepted", "connected"])
def test_the_warning_user_canceled_before_the_end(side: Side, version: ssl.TLSVersion) -> None:
    protocol = Told()

    async def main() -> None:
        async with network() as net, facing(net, side, version, protocol) as (peer, forger):
            await peer.end.send_all(
                forger.record(ALERT, USER_CANCELED)
                + forger.record(DATA, b"data")
                + forger.record(ALERT, CLOSE_NOTIFY)
            )
            assert await peer.read_all() == GREETING + ANSWER

    drive(main())
    assert protocol.events == ["made", "handshake", "data", "read", "lost"]
    assert type(protocol.reason) is ConnectionDone


@pytest.mark.parametrize("side", ["accepted", "connected"])
def test_a_plain_close_notify_after_the_handshake_is_no_end(side: Side) -> None:
    """Anybody on the way could send it."""
    for version in VERSIONS:
        protocol = Told()

        async def main() -> None:
            async with (
                network() as net,
                facing(net, side, version, protocol) as (peer, _),  # noqa: B023 - run at once
            ):
                await peer.end.send_all(record(ALERT, CLOSE_NOTIFY))
                await protocol.transport.whenClosed()  # noqa: B023

        drive(main())
        assert protocol.events == ["made", "handshake", "lost"]
        assert type(protocol.reason) is ConnectionLost
