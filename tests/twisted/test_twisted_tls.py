"""`as_factory` over Twisted's TLS, which cannot half-close."""

from __future__ import annotations

import subprocess
from pathlib import Path

from core.support import python


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
        limit=30,
    )
    assert out.splitlines() == ["unsupported", "ConnectionDone"]
