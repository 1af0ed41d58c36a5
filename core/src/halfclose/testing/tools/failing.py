"""What the rules about failures look for: in the log, at the peer, at a connection beside."""

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
    """Like the cancellation of an event loop: no Exception, and no end of the program either."""


class Stray(BaseException):
    """A BaseException that means nothing to anybody."""


class Named(Recorder):
    """A recorder with a name of its own in the log."""

    def logPrefix(self) -> str:
        return PREFIX


def check_logged_once(error: BaseException, records: list[logging.LogRecord]) -> None:
    """*error* was logged once, with the protocol's prefix, and nothing else was."""
    shown = showing(error, records)
    assert len(shown) == 1, [record.getMessage() for record in records]
    assert PREFIX in shown[0].getMessage()
    assert len(errors_in(records)) == 1, errors_in(records)


def check_cause(can: Capabilities, reason: BaseException, *codes: int) -> bool:
    """The system's error is the cause of *reason*, where the channel can tell.

    :returns: whether it is.
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
    """The raw peer saw a reset, where there is one."""
    if can.can_reset:
        assert end == "reset", f"{case}: no reset, but a clean end of stream"


async def check_abort_seen(can: Capabilities, peer: RawPeer) -> None:
    """The raw peer sees a reset, where there is one, and nothing before it."""
    received, end = await peer.read_all()
    assert received == b""
    check_reset(can, end)


async def trigger(net: Net, pair: Pair[Named], event: str) -> None:
    """Make *event* happen; the connection was made already."""
    if event == "dataReceived":
        # More input and an end of stream wait behind it, which are never to be delivered.
        pair.peer.send_now(b"x")
        if net.channel_type.scheme != "stdio":
            pair.peer.shutdown()
    elif event == "readConnectionLost":
        pair.peer.shutdown()
    elif event == "writeConnectionLost":
        pair.protocol.verb("loseWriteConnection")


@asynccontextmanager
async def neighbour(net: Net) -> AsyncIterator[Pair[Recorder]]:
    """Another connection of the same backend; over TCP where there can be only one of a kind."""
    other = Net(net.backend, net.channel_type.beside)
    try:
        yield await other.recorded()
    finally:
        await other.close()
    other.check_order()


async def check_works(net: Net, pair: Pair[Recorder]) -> None:
    """*pair* is open both ways."""
    before = len(pair.protocol.received)
    pair.peer.send_now(b"ping")
    await net.until(pair.protocol, lambda: len(pair.protocol.received) == before + 4)
    pair.protocol.verb("write", b"pong")
    assert await pair.peer.read_exactly(4) == b"pong"
