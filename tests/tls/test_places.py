"""``tls:`` and ``tls+unix:``, and TLS over standard input and output."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from core.support import LIMIT, VARIANTS, run, until
from environment import environment
from halfclose import (
    TCP,
    TLS,
    TLSUNIX,
    UNIX,
    Backend,
    ConnectionDone,
    ConnectionOptions,
    ListenError,
    TLSOptions,
)
from tls.pairs import NAME, Noted, authority, client_tls, server_tls, trusting

each_socket_variant = pytest.mark.parametrize(
    "variant",
    [VARIANTS[0], *(pytest.param(name, marks=pytest.mark.thorough) for name in VARIANTS[1:])],
)


async def talk(backend: Backend, listen: str, connect: str | None = None) -> tuple[Noted, Noted]:
    """Have a conversation in which the client half-closes.

    :param listen: where to listen.
    :param connect: where to connect to, if that is another place but for the port.
    """
    accepted: list[Noted] = []

    def accept() -> Noted:
        accepted.append(Noted())
        return accepted[-1]

    options = ConnectionOptions(tls=server_tls(), unix_mode=0o640)
    async with await backend.listen(listen, accept, options) as listener:
        where = str(listener.endpoint)
        assert where.startswith(listen.removesuffix("0"))
        if isinstance(listener.endpoint, TLSUNIX) and not listener.endpoint.below.is_abstract:
            assert stat.S_IMODE(os.stat(listener.endpoint.path).st_mode) == 0o640
        if connect is not None:
            where = connect + where.rpartition(":")[2]
        client = await backend.connect(where, Noted, options=ConnectionOptions(tls=client_tls()))
        client.transport.write(b"question")
        client.transport.loseWriteConnection()
        await until(backend, lambda: accepted and "read" in accepted[0].events)
        accepted[0].transport.write(b"answer")
        accepted[0].transport.loseConnection()
        assert isinstance(await client.transport.whenClosed(), ConnectionDone)
        assert bytes(client.data + accepted[0].data) == b"answerquestion"
    return client, accepted[0]


@each_socket_variant
def test_a_port(variant: str) -> None:
    """Of the connection below, the peers are told: that is what both have."""

    async def main(backend: Backend) -> None:
        client, server = await talk(backend, "tls:127.0.0.1:0")
        peer = client.transport.getPeer()
        assert isinstance(peer, TCP)
        assert peer == server.transport.getHost()

    run(main, variant=variant)


@each_socket_variant
@pytest.mark.parametrize("connect", ["tls:127.0.0.1:", "tls:[::1]:", "tls:localhost:"])
def test_every_address(variant: str, connect: str) -> None:
    async def main(backend: Backend) -> None:
        await talk(backend, "tls:*:0", connect)

    run(main, variant=variant)


@each_socket_variant
def test_a_path_in_plain_with_the_option(variant: str, tmp_path: Path) -> None:
    async def main(backend: Backend) -> None:
        await talk(backend, f"unix:{tmp_path}/s")

    run(main, variant=variant)


@each_socket_variant
def test_a_path_and_an_abstract_name(variant: str, tmp_path: Path) -> None:
    async def main(backend: Backend) -> None:
        client, _ = await talk(backend, f"tls+unix:{tmp_path}/s")
        assert client.transport.getPeer() == UNIX(f"{tmp_path}/s")
        assert not (tmp_path / "s").exists()
        await talk(backend, f"tls+unix:@halfclose-{os.getpid()}")

    run(main, variant=variant)


def test_the_host_of_the_endpoint_is_the_name_that_is_checked() -> None:
    """An address too, if the certificate has it."""

    async def main(backend: Backend) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority().issue_cert("127.0.0.1", "localhost").configure_cert(context)
        options = ConnectionOptions(tls=TLSOptions(context))
        async with await backend.listen("tls:127.0.0.1:0", Noted, options) as listener:
            assert isinstance(listener.endpoint, TLS)
            for host in "127.0.0.1", "localhost":
                client = await backend.connect(
                    TLS(host, listener.endpoint.port),
                    Noted,
                    options=ConnectionOptions(tls=TLSOptions(trusting())),
                )
                assert client.transport.tls is not None
                assert client.transport.tls.server_hostname == host
                client.transport.abortConnection()

    run(main, variant=VARIANTS[0])


def test_errors_of_listening_name_the_endpoint_of_tls(tmp_path: Path) -> None:
    async def main(backend: Backend) -> None:
        options = ConnectionOptions(tls=server_tls())
        async with await backend.listen("tls:127.0.0.1:0", Noted, options) as listener:
            for where in str(listener.endpoint), f"tls+unix:{tmp_path}/missing/s":
                with pytest.raises(ListenError) as caught:
                    await backend.listen(where, Noted, options)
                assert str(caught.value).startswith(f"cannot listen on {where}: ")

    run(main, variant=VARIANTS[0])


SERVER = """
import sys
import halfclose


class Agreeing(halfclose.HalfCloseableProtocol):
    seen = b""

    def dataReceived(self, data):
        if self.transport.tls is not None:
            self.transport.write(b"you said " + data)
            return
        self.seen += data
        line, newline, rest = self.seen.partition(b"\\n")
        if newline:
            self.transport.write(b"go\\n")
            self.transport.startTLS(OPTIONS, server_side=True, received=rest)

    def readConnectionLost(self):
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass


async def main(backend):
    connected = await backend.connect("stdio:", Agreeing)
    # Whoever has begun with TLS still has the standard descriptors.
    while not connected.seen:
        await backend.sleep(0.001)
    try:
        await backend.connect("stdio:", Agreeing)
    except halfclose.ConnectError as error:
        print(error, file=REPORT, flush=True)
    await connected.transport.whenClosed()


if __name__ == "__main__":
    import os
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    OPTIONS = halfclose.TLSOptions(context)
    REPORT = open(sys.argv[3], "w")
    halfclose.run(main, backend=sys.argv[1])
"""


@each_socket_variant
def test_start_tls_as_a_server_of_inetd(variant: str, tmp_path: Path) -> None:
    """Standard input and output are one socket, and stay the connection's (PIP-06, PIP-08)."""
    (tmp_path / "server.py").write_text(SERVER)
    certificate = authority().issue_cert(NAME)
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [
                *(sys.executable, str(tmp_path / "server.py"), variant),
                *(str(tmp_path / "pem"), str(tmp_path / "report")),
            ],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            env=environment(),
        )
        theirs.close()
        try:
            ours.settimeout(LIMIT)
            ours.sendall(b"STARTTLS\n")
            assert ours.recv(100) == b"go\n"
            with trusting().wrap_socket(ours, server_hostname=NAME) as secure:
                secure.sendall(b"hello")
                assert secure.recv(100) == b"you said hello"
                assert secure.unwrap() is not None
            assert process.wait(LIMIT) == 0
        finally:
            process.kill()
            process.wait()
    assert "in use by another connection" in (tmp_path / "report").read_text()
