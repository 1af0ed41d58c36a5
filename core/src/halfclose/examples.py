"""Small protocols that live on half-close; run one with ``halfclose run halfclose.examples:Echo``.

Each logs what happens to it under ``halfclose.examples``, which the command shows on stderr.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime

from .interfaces import HalfCloseableProtocol

__all__ = ["Ask", "Daytime", "Discard", "Echo", "Logged", "Sum", "Upper"]

_log = logging.getLogger(__name__)


class Logged(HalfCloseableProtocol):
    """Logs each event but the data, and does nothing else."""

    def connectionMade(self) -> None:
        _log.info("%s: connection made", self.logPrefix())

    def readConnectionLost(self) -> None:
        _log.info("%s: readConnectionLost", self.logPrefix())

    def writeConnectionLost(self) -> None:
        _log.info("%s: writeConnectionLost", self.logPrefix())

    def connectionLost(self, reason: BaseException) -> None:
        _log.info("%s: connectionLost: %r", self.logPrefix(), reason)


class Echo(Logged):
    """Writes back what it reads, all of it, and then closes (RFC 862)."""

    def connectionMade(self) -> None:
        super().connectionMade()
        # Back-pressure in one line: while the peer does not read, neither do we. The
        # registration ends by itself when the peer stops sending (rule PRD-09).
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        super().readConnectionLost()
        # Not before everything was sent: loseConnection waits for that.
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        super().writeConnectionLost()
        # We never end our half alone, so it is a pipe that lost its reader (rule PIP-04).
        self.transport.loseConnection()


class Upper(Echo):
    """Echo in capitals: ``tr a-z A-Z`` as a service."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data.upper())


class Discard(Logged):
    """Reads and forgets (RFC 863).

    It has nothing to say, so it ends its own half at once. When the peer ends the other, the
    connection is over: nobody has to call loseConnection (rule EVT-05).
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.loseWriteConnection()


class Daytime(Logged):
    """Tells the time and ends its half; what the peer still says is read, and ignored (RFC 867).

    Closing instead would be a gamble: a close with input unread resets the connection, and the
    reset can overtake the answer.
    """

    def connectionMade(self) -> None:
        super().connectionMade()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.transport.write(now.encode("ascii") + b"\r\n")
        self.transport.loseWriteConnection()


class Sum(Logged):
    """Answers with the SHA-256 of all that the peer sends: ``sha256sum`` as a service.

    The end of the peer's half is the end of the question. Without half-close the peer could only
    say "that was all" by a way of its own, such as sending the length first.
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
    """The other side of these: asks, ends its half, and collects the answer up to its end.

    :param question: what to send.
    """

    def __init__(self, question: bytes = b"hello, world") -> None:
        self.question = question
        self.answer = bytearray()

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.write(self.question)
        self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.answer += data
