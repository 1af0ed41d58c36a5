"""docs/how-to/start-tls.md: its programs, with each other and with others'."""

from __future__ import annotations

import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
from cli.support import LIMIT, serving
from core.support import VARIANTS, Recorder, run, until
from documents.blocks import example
from documents.programs import SOME, module
from documents.sessions import Folder
from halfclose import Backend, ConnectionDone, ConnectionLost, ConnectionOptions, TLSOptions
from tls.pairs import NAME, client_tls, server_tls, trusting, with_certificate

PAGE = "docs/how-to/start-tls.md"

some_variants = pytest.mark.parametrize(
    "variant", [SOME[0], *(pytest.param(name, marks=pytest.mark.thorough) for name in SOME[1:])]
)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
def test_the_session(folder: Folder) -> None:
    for name in ("mail_server", "send_mail"):
        folder.save(f"{name}.py", example(PAGE, name))
    # The server and the client print to the same terminal.
    folder.play(PAGE, "mail", any_order=True)


class InThread:
    """Runs *function* in a thread while a loop runs here, and keeps what it returns or raises."""

    def __init__(self, backend: Backend, function: Callable[[], object]) -> None:
        self.result: object = None
        self._error: BaseException | None = None
        self._over = backend.create_event()

        def call() -> None:
            try:
                self.result = function()
            except BaseException as error:
                self._error = error
            backend.call_soon_threadsafe(self._over.set)

        self._thread = threading.Thread(target=call)
        self._thread.start()

    async def end(self) -> object:
        await self._over.wait()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self.result


@some_variants
def test_the_server_and_the_standard_librarys_client(
    variant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = module(PAGE, "mail_server")

    async def main(backend: Backend) -> None:
        tls = server_tls()
        async with await backend.listen("tcp:127.0.0.1:0", lambda: page.Mail(tls)) as listener:
            port = int(str(listener.endpoint).rpartition(":")[2])

            def send() -> None:
                with smtplib.SMTP("127.0.0.1", port, timeout=LIMIT) as client:
                    client._host = NAME  # type: ignore[attr-defined]
                    with pytest.raises(smtplib.SMTPSenderRefused, match="STARTTLS first"):
                        client.sendmail("me@here", ["you@there"], "too early")
                    client.ehlo()
                    assert client.has_extn("starttls")
                    client.starttls(context=trusting())
                    client.ehlo()
                    assert not client.has_extn("starttls")
                    client.sendmail("me@here", ["you@there"], "Hello!\r\n.dot\r\n")

            await InThread(backend, send).end()

    run(main, variant=variant)
    assert capsys.readouterr().out == "a client by TLSv1.3\nHello!\n.dot\n"


@some_variants
def test_what_was_slipped_in_is_no_command(
    variant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = module(PAGE, "mail_server")

    async def main(backend: Backend) -> None:
        tls = server_tls()
        made: list[Any] = []

        def make() -> Any:
            made.append(page.Mail(tls))
            return made[-1]

        async with await backend.listen("tcp:127.0.0.1:0", make) as listener:
            client = await backend.connect(listener.endpoint, Recorder)
            client.transport.write(b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<evil@x>\r\nDATA\r\n")
            reason = await made[0].transport.whenClosed()
            assert isinstance(reason, ConnectionLost)
            assert isinstance(reason.__cause__, ssl.SSLError)
            assert b"250 well" not in client.data
            assert b"354" not in client.data

    run(main, variant=variant)
    assert capsys.readouterr().out == ""


def serve_mail(sock: socket.socket, tls: bool, got: list[bytes], *, inject: bytes = b"") -> None:
    """A server of SMTP by hand."""

    def answer(line: bytes) -> None:
        sock.sendall(line + b"\r\n")

    answer(b"220 hello")
    with sock.makefile("rb") as lines:
        assert lines.readline() == b"EHLO client.example\r\n"
        answer(b"250-hello\r\n250 STARTTLS" if tls else b"250 hello")
        assert lines.readline() == b"STARTTLS\r\n"
        answer((b"220 go\r\n" + inject).rstrip() if tls else b"502 what?")
    if not tls or inject:
        got.append(sock.recv(1))
        return
    with (
        with_certificate().wrap_socket(sock, server_side=True) as secure,
        secure.makefile("rb") as lines,
    ):
        for replies in (b"250 hello", b"250 ok", b"250 ok", b"354 go"):
            got.append(lines.readline())
            secure.sendall(replies + b"\r\n")
        while (line := lines.readline()) != b".\r\n":
            got.append(line)
        secure.sendall(b"250 ok\r\n")
        got.append(lines.readline())
        secure.sendall(b"221 bye\r\n")
        assert lines.read() == b""


@some_variants
def test_the_client_and_a_server_by_hand(variant: str) -> None:
    page = module(PAGE, "send_mail")
    got: list[bytes] = []

    async def main(backend: Backend) -> None:
        with serving(lambda sock: serve_mail(sock, True, got)) as endpoint:
            client = await backend.connect(endpoint, lambda: page.Send(client_tls(), "Hello!"))
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)
            assert client.failure is None

    run(main, variant=variant)
    assert got == [
        b"EHLO client.example\r\n",
        b"MAIL FROM:<me@client.example>\r\n",
        b"RCPT TO:<you@mail.example>\r\n",
        b"DATA\r\n",
        b"Hello!\r\n",
        b"QUIT\r\n",
    ]


@some_variants
@pytest.mark.parametrize("inject", [b"", b"250 hello\r\n250 ok"])
def test_the_client_sends_nothing_without_tls(variant: str, inject: bytes) -> None:
    """Also if somebody answers in the place of the server, in plain."""
    page = module(PAGE, "send_mail")
    got: list[bytes] = []

    async def main(backend: Backend) -> None:
        def behave(sock: socket.socket) -> None:
            try:
                serve_mail(sock, bool(inject), got, inject=inject)
            except ConnectionResetError:
                pass

        with serving(behave) as endpoint:
            client = await backend.connect(endpoint, lambda: page.Send(client_tls(), "Hello!"))
            await client.transport.whenClosed()
            assert client.failure is not None
            if inject:
                assert isinstance(client.failure.__cause__, ssl.SSLError)

    run(main, variant=variant)
    # At most a record of the handshake.
    assert got in ([], [b""], [b"\x16"])


def serve_postgres(sock: socket.socket) -> None:
    assert sock.recv(8, socket.MSG_WAITALL) == bytes.fromhex("00000008 04d2162f")
    sock.sendall(b"S")
    with with_certificate().wrap_socket(sock, server_side=True) as secure:
        secure.sendall(b"R" + secure.recv(100))
        assert secure.recv(100) == b""


@some_variants
def test_postgres(variant: str) -> None:
    page = module(PAGE, "postgres")
    got: list[bytes] = []

    async def main(backend: Backend) -> None:
        def ready(client: Any) -> None:
            client.messageReceived = got.append
            client.transport.write(b"startup")

        with serving(serve_postgres) as endpoint:
            client = await backend.connect(endpoint, lambda: page.Postgres(client_tls(), ready))
            await until(backend, lambda: got)
            client.transport.loseConnection()
            assert isinstance(await client.transport.whenClosed(), ConnectionDone)

    run(main, variant=variant)
    assert got == [b"Rstartup"]


def test_postgres_without_tls() -> None:
    page = module(PAGE, "postgres")

    async def main(backend: Backend) -> None:
        with serving(lambda sock: sock.sendall(b"N")) as endpoint:
            made = page.Postgres(client_tls(), pytest.fail)
            client = await backend.connect(endpoint, lambda: made)
            assert isinstance(await client.transport.whenClosed(), ValueError)

    run(main, variant=SOME[0])


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("psql") is None, reason="no psql, PostgreSQL's client")
@pytest.mark.parametrize("variant", VARIANTS)
def test_psql_and_a_server_of_ours(variant: str) -> None:
    class Server(Recorder):
        """Agrees to TLS, and refuses the user then."""

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            if self.transport.tls is None and len(self.data) >= 8:
                rest = bytes(self.data[8:])
                self.data.clear()
                self.transport.write(b"S")
                self.transport.startTLS(server_tls(), server_side=True, received=rest)
            elif self.data[4:8] == bytes.fromhex("00030000"):
                fields = b"SFATAL\0VFATAL\0C28000\0Mnot today\0\0"
                self.transport.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
                self.transport.loseConnection()

    async def main(backend: Backend) -> None:
        async with await backend.listen("tcp:127.0.0.1:0", Server) as listener:
            port = str(listener.endpoint).rpartition(":")[2]
            where = f"host=127.0.0.1 port={port} user=me dbname=it sslmode=require"
            command = ["psql", where, "-c", "select 1"]

            def ask() -> str:
                return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT).stderr

            assert "FATAL:  not today" in str(await InThread(backend, ask).end())

    run(main, variant=variant)


@some_variants
@pytest.mark.parametrize("status", [b"200 OK", b"407 no"])
def test_through_a_proxy(variant: str, status: bytes) -> None:
    page = module(PAGE, "through_proxy")

    class Proxy(Recorder):
        """A proxy, and the server behind it in one."""

        def dataReceived(self, data: bytes) -> None:
            super().dataReceived(data)
            if self.data == f"CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}:443\r\n\r\n".encode():
                self.data.clear()
                self.transport.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
                if status.startswith(b"200"):
                    self.transport.startTLS(server_tls(), server_side=True)

        def readConnectionLost(self) -> None:
            self.transport.write(b"answer to " + self.data)
            self.transport.loseConnection()

    async def main(backend: Backend) -> None:
        options = ConnectionOptions(tls=server_tls())
        async with await backend.listen("tls:127.0.0.1:0", Proxy, options) as listener:
            client = await backend.connect(
                listener.endpoint,
                lambda: page.ThroughProxy(NAME, client_tls(), b"request"),
                options=ConnectionOptions(tls=TLSOptions(trusting(), NAME)),
            )
            reason = await client.transport.whenClosed()
            if status.startswith(b"200"):
                assert isinstance(reason, ConnectionDone)
                assert client.answer == b"answer to request"
            else:
                assert isinstance(reason, ValueError)
                assert client.answer == b""

    run(main, variant=variant)
