"""Small protocols that use half-close. Run one with ``halfclose run halfclose.examples:Echo``.

Each of them logs its events with the logger ``halfclose.examples``. The command shows them on
stderr.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime

from .interfaces import HalfCloseableProtocol

__all__ = ["Ask", "Daytime", "Discard", "Echo", "Logged", "Sum", "Upper"]

_log = logging.getLogger(__name__)


class Logged(HalfCloseableProtocol):
    """Logs each event except the data, and does nothing else."""

    def connectionMade(self) -> None:
        _log.info("%s: connection made", self.logPrefix())

    def readConnectionLost(self) -> None:
        _log.info("%s: readConnectionLost", self.logPrefix())

    def writeConnectionLost(self) -> None:
        _log.info("%s: writeConnectionLost", self.logPrefix())

    def connectionLost(self, reason: BaseException) -> None:
        _log.info("%s: connectionLost: %r", self.logPrefix(), reason)


class Echo(Logged):
    """Writes back everything that it reads, and closes when the peer has ended (RFC 862)."""

    def connectionMade(self) -> None:
        super().connectionMade()
        # Back-pressure: while the peer does not read our answers, we do not read from it. The
        # registration ends by itself when the peer ends its half (rule PRD-09).
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        # Nothing is cut off, because loseConnection sends everything that was written first.
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        super().writeConnectionLost()
        # This protocol never ends its own half alone, so this is standard output, and nobody reads
        # it any more (rule PIP-04).
        self.transport.loseConnection()


class Upper(Echo):
    """Echo in capitals: ``tr a-z A-Z`` as a service."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data.upper())


class Discard(Logged):
    """Reads everything and ignores it (RFC 863).

    It has nothing to send, so it ends its own half at once. When the peer ends the other half, the
    connection ends by itself, without a call of loseConnection (rule EVT-05).
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.loseWriteConnection()


class Daytime(Logged):
    """Sends the time and ends its half. What the peer still sends is read and ignored (RFC 867).

    A plain socket that is closed with unread input resets the connection, and the reset can
    overtake the answer. To end only our half avoids that.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.transport.write(now.encode("ascii") + b"\r\n")
        self.transport.loseWriteConnection()


class Sum(Logged):
    """Answers with the SHA-256 of everything that the peer sends: ``sha256sum`` as a service.

    The peer ends its half to say that it has sent everything. Without half-close, the protocol
    would need another sign for that, such as the length before the data.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        self._hash = hashlib.sha256()

    def dataReceived(self, data: bytes) -> None:
        self._hash.update(data)

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.transport.write(self._hash.hexdigest().encode("ascii") + b"\n")
        self.transport.loseConnection()


class Ask(Logged):
    """A client for these services: sends a question, ends its half, and collects the answer.

    :param question: what to send.
    """

    def __init__(self, question: bytes = b"hello, world") -> None:
        self.question = question
        self.answer: bytearray = bytearray()
        """What has come so far."""
        self.complete: bool = False
        """Whether the peer has ended its half, and `answer` is whole. Nothing else says so."""

    async def whole(self) -> bytes:
        """Wait for the end of the connection, and return the answer.

        :raises ConnectionError: the connection has ended, and the answer had not: it was lost, or
            we have ended it, as leaving the backend does. The ``__cause__`` is the reason.
        """
        reason = await self.transport.whenClosed()
        if not self.complete:
            raise ConnectionError(f"the answer is not complete: {reason}") from reason
        return bytes(self.answer)

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(self.question)
        self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.answer += data

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        self.complete = True
