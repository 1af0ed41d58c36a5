"""One conversation over the TLS of Twisted, as every peer here has it:

    python with_twisted.py client|server asks|answers PORT FOLDER

Who asks sends a question, ends its half and reads the answer. Who answers reads the question to its
end and answers a little later. Both print how many bytes they have read, and how that ended. FOLDER
has ca.pem, certificate.pem and key.pem.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import twisted.internet.reactor
from twisted.internet import endpoints, protocol, ssl
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener
from twisted.python.failure import Failure
from zope.interface import implementer

reactor: Any = twisted.internet.reactor

LATE = 0.2
ANSWER = bytes(200_000)


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class Converse(protocol.Protocol):
    transport: Any
    asks = False
    count = 0

    def handshakeCompleted(self) -> None:
        if self.asks:
            self.transport.write(b"question\n")
            self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.count += len(data)

    def readConnectionLost(self) -> None:
        print(self.count, "clean", flush=True)
        if not self.asks:
            reactor.callLater(LATE, self.answer)

    def writeConnectionLost(self) -> None:
        pass

    def answer(self) -> None:
        self.transport.write(ANSWER)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        print(self.count, reason.value, flush=True)
        reactor.stop()


def main(side: str, part: str, port: str, folder: str) -> None:
    Converse.asks = part == "asks"
    factory: Any = protocol.Factory.forProtocol(Converse)
    tls: Any = ssl
    files = Path(folder)
    if side == "client":
        authority = tls.Certificate.loadPEM((files / "ca.pem").read_bytes())
        options = tls.optionsForClientTLS(
            "localhost", trustRoot=tls.trustRootFromCertificates([authority])
        )
        plain: Any = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", int(port))
        endpoint: Any = endpoints.wrapClientTLS(options, plain)
        endpoint.connect(factory)
    else:
        own = tls.PrivateCertificate.loadPEM((files / "both.pem").read_bytes())
        listen: Any = endpoints.SSL4ServerEndpoint
        listen(reactor, int(port), own.options(), interface="127.0.0.1").listen(factory)
    reactor.run()


main(*sys.argv[1:])
