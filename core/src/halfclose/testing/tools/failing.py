"""Checks for the rules about failures: of the log, the raw peer and a second connection."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ...channel import Capabilities
from ..channels.peers import RawPeer
from ..tools.harness import Net, Pair
from ..tools.logs import errors_in, showing
from ..tools.recorder import Recorder

__all__ = [
    "Named",
    "Stray",
    "StrayCancellation",
    "check_abort_seen",
    "check_cause",
    "check_logged_once",
    "check_reset",
    "check_works",
    "neighbour",
    "trigger",
]

PREFIX = "a protocol of the contract suite"


class StrayCancellation(BaseException):
    """A BaseException that, as an event loop's cancellation, does not end the program."""


class Stray(BaseException):
    """A BaseException that no framework knows."""


class Named(Recorder):
    """A recorder with a prefix of its own in the log."""

    def logPrefix(self) -> str:
        return PREFIX


def check_logged_once(error: BaseException, records: list[logging.LogRecord]) -> None:
    """Fail unless *error* was logged once, with the prefix of `Named`, and no other error was."""
    shown = showing(error, records)
    assert len(shown) == 1, [record.getMessage() for record in records]
    assert PREFIX in shown[0].getMessage()
    assert len(errors_in(records)) == 1, errors_in(records)


def check_cause(can: Capabilities, reason: BaseException, *codes: int) -> bool:
    """Fail unless *reason* has a system error with one of *codes* as its cause.

    A channel that does not tell causes may have no cause, or any system error.

    :returns: whether the cause is such an error.
    """
    cause = reason.__cause__
    told = isinstance(cause, OSError) and cause.errno in codes
    if can.tells_cause:
        wanted = " or ".join(errno.errorcode[code] for code in codes)
        assert told, f"{reason!r} has the cause {cause!r}, and no {wanted}"
    else:
        assert cause is None or isinstance(cause, OSError)
    return told


def check_reset(can: Capabilities, end: str, case: str = "") -> None:
    """Fail unless *end*, which `RawPeer.read_all` gave, is a reset, if the channel can reset.

    :param case: text that begins the message.
    """
    if can.can_reset:
        assert end == "reset", f"{case}: no reset, but a clean end of stream"


async def check_abort_seen(can: Capabilities, peer: RawPeer) -> None:
    """Fail unless *peer* reads nothing and then, if the channel can reset, a reset."""
    received, end = await peer.read_all()
    assert received == b""
    check_reset(can, end)


async def trigger(net: Net, pair: Pair[Named], event: str) -> None:
    """Make *event* happen. It does nothing for other events, such as connectionMade."""
    if event == "dataReceived":
        # An end of stream waits behind the data, and the rules check that it is not delivered.
        pair.peer.send_now(b"x")
        if net.channel_type.scheme != "stdio":
            pair.peer.shutdown()
    elif event == "readConnectionLost":
        pair.peer.shutdown()
    elif event == "writeConnectionLost":
        pair.protocol.verb("loseWriteConnection")


@asynccontextmanager
async def neighbour(net: Net) -> AsyncIterator[Pair[Recorder]]:
    """Make a second connection of the same backend, of the channel type `ChannelType.beside`."""
    other = Net(net.backend, net.channel_type.beside)
    try:
        yield await other.recorded()
    finally:
        await other.close()
    other.check_order()


async def check_works(net: Net, pair: Pair[Recorder]) -> None:
    """Fail unless bytes still move both ways on *pair*."""
    before = len(pair.protocol.received)
    pair.peer.send_now(b"ping")
    await net.until(pair.protocol, lambda: len(pair.protocol.received) == before + 4)
    pair.protocol.verb("write", b"pong")
    assert await pair.peer.read_exactly(4) == b"pong"
