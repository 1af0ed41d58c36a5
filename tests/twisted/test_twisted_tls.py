"""`as_factory` over Twisted's TLS, which cannot half-close."""

from __future__ import annotations

import subprocess
from pathlib import Path

from core.support import python


def test_nothing_goes_in_clear_once_tls_has_begun() -> None:
    out = python(
        """
        import socket
        import threading

        import halfclose
        from halfclose.testing import Recorder
        from halfclose_twisted import as_factory
        from twisted.internet import endpoints, reactor, ssl

        def read_for_a_while(listening):
            sock, _ = listening.accept()
            with sock:
                while b"secret" not in wire[0] and (data := sock.recv(9999)):
                    wire[0] += data
                    reactor.callFromThread(heard.set)

        wire = [b""]

        async def main(backend):
            global heard
            heard = backend.create_event()
            with socket.create_server(("127.0.0.1", 0)) as listening:
                thread = threading.Thread(target=read_for_a_while, args=(listening,))
                thread.start()
                client = endpoints.TCP4ClientEndpoint(
                    reactor, "127.0.0.1", listening.getsockname()[1]
                )
                attached = await client.connect(as_factory(Recorder))
                attached.transport.startTLS(ssl.CertificateOptions())
                transport = attached.protocol.transport
                transport.write(b"secret")
                await heard.wait()
                try:
                    transport.loseWriteConnection()
                except halfclose.Unsupported:
                    print("unsupported")
                transport.abortConnection()
                await transport.whenClosed()
                thread.join()

        halfclose.run(main, backend="twisted", options={"reactor": reactor})
        print(wire[0][:1].hex(), b"secret" in wire[0])
        """,
        warm=True,
    )
    # A TLS record of the type handshake.
    assert out.splitlines() == ["unsupported", "16 False"]


def test_over_tls(tmp_path: Path) -> None:
    # On the global reactor: Twisted's TLS flushes small writes by that one's clock, whichever
    # reactor serves the connection.
    key, cert = str(tmp_path / "key"), str(tmp_path / "cert")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
            *("-days", "2", "-keyout", key, "-out", cert),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    out = python(
        f"""
        import halfclose
        from halfclose.testing import Recorder
        from halfclose_twisted import as_factory
        from twisted.internet import endpoints, reactor, ssl

        SIZE = 1_000_000

        class EchoBack(halfclose.Protocol):
            def dataReceived(self, data):
                self.transport.write(data)

        async def main(backend):
            context = ssl.DefaultOpenSSLContextFactory({key!r}, {cert!r})
            server = endpoints.SSL4ServerEndpoint(reactor, 0, context, interface="127.0.0.1")
            port = await server.listen(as_factory(EchoBack))
            client = endpoints.SSL4ClientEndpoint(
                reactor, "127.0.0.1", port.getHost().port, ssl.CertificateOptions()
            )
            all_back = backend.create_event()

            def received(protocol, data):
                if len(protocol.received) == SIZE:
                    all_back.set()

            attached = await client.connect(as_factory(lambda: Recorder(dataReceived=received)))
            transport = attached.protocol.transport
            transport.write(b"x" * SIZE)
            await all_back.wait()
            try:
                transport.loseWriteConnection()
            except halfclose.Unsupported:
                print("unsupported")
            transport.loseConnection()
            print(type(await transport.whenClosed()).__name__)
            await port.stopListening()

        halfclose.run(main, backend="twisted", options={{"reactor": reactor}})
        """,
        warm=True,
    )
    assert out.splitlines() == ["unsupported", "ConnectionDone"]
