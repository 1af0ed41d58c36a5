"""Answers some seconds after the peer has ended its half, if the way between them carries that."""

import os

import halfclose

SECONDS = float(os.environ.get("LATE", "5"))


class Late(halfclose.HalfCloseableProtocol):
    def connectionMade(self) -> None:
        self.size = 0
        self.timer: halfclose.TimerHandle | None = None

    def dataReceived(self, data: bytes) -> None:
        self.size += len(data)

    def readConnectionLost(self) -> None:
        self.timer = self.transport.backend.call_later(SECONDS, self.answer)

    def answer(self) -> None:
        self.transport.write(b"%d bytes came\n" % self.size)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: BaseException) -> None:
        if self.timer is not None:
            self.timer.cancel()
