"""Answers with the SHA-256 of all that a peer sends, once the peer has ended its half."""

import hashlib
import logging

import halfclose

log = logging.getLogger("sums")


class Sum(halfclose.HalfCloseableProtocol):
    def connectionMade(self) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self.answered = False

    def dataReceived(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)

    def readConnectionLost(self) -> None:
        self.transport.write(self.digest.hexdigest().encode() + b"\n")
        self.transport.loseConnection()
        self.answered = True

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: BaseException) -> None:
        if not self.size:
            return  # A health check: it connects, and sends nothing.
        peer = self.transport.getPeer()
        if self.answered and isinstance(reason, halfclose.ConnectionDone):
            log.info("%s: %d bytes, answered", peer, self.size)
        else:
            log.warning("%s: %d bytes, not answered: %s", peer, self.size, reason)
