"""Protocols of a user's program, in every shape that the types allow."""

from __future__ import annotations

import halfclose


class Line(halfclose.HalfCloseableProtocol):
    """Sends one line, and waits for the answer."""

    def __init__(self, question: bytes = b"") -> None:
        self.question = question
        self.answer = bytearray()

    def connectionMade(self) -> None:
        self.transport.write(self.question)
        self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.answer += data

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: BaseException) -> None:
        if isinstance(reason, halfclose.ConnectionDone):
            return
        self.transport.backend.report(reason, "lost %s", self.transport.getPeer())


class Upper(halfclose.HalfCloseableProtocol):
    """Answers in upper case, a piece each time that it is asked for one."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data.upper())

    def readConnectionLost(self) -> None:
        self.transport.registerProducer(Pieces(self.transport, self.pieces), False)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        self.transport.loseConnection()


class Pieces:
    """A pull producer. It needs no base class."""

    def __init__(self, transport: halfclose.Transport, pieces: list[bytes]) -> None:
        self._transport = transport
        self._pieces = pieces

    def resumeProducing(self) -> None:
        if self._pieces:
            self._transport.write(self._pieces.pop(0))
        else:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        self._pieces.clear()
