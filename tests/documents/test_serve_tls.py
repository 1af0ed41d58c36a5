"""docs/how-to/serve-tls.md: every session and every example."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest
from core.support import Recorder, run
from documents.blocks import example
from documents.programs import module
from documents.sessions import Folder
from halfclose import Backend, ConnectionOptions, Protocol, TLSOptions
from halfclose.examples import Upper
from halfclose.tls import Certificates
from tls.issuing import Handshake, Office

PAGE = "docs/how-to/serve-tls.md"


class Greeting(Protocol):
    """Of a server without TLS that speaks first, as that of mail does."""

    def connectionMade(self) -> None:
        self.transport.write(b"220 mail.example ready\r\n")


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.chdir(tmp_path)
    return Office(Path())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
def test_the_sessions(folder: Folder) -> None:
    for name in ("count", "ask"):
        folder.save(f"{name}.py", example(PAGE, name))
    folder.play(PAGE, "certificate")
    folder.play(PAGE, "reload")


def test_several_names(office: Office) -> None:
    office.issue("example.org", "example.org")
    office.issue("wildcard.example.net", "*.example.net")
    context = module(PAGE, "several").certificates().context
    client = office.trusting()
    assert Handshake(context, client, "example.org").done().names == ["example.org"]
    assert Handshake(context, client, "www.example.net").done().names == ["*.example.net"]


@pytest.mark.parametrize("required", [True, False])
def test_clients_with_certificates(office: Office, required: bool) -> None:
    page = module(PAGE, "clients")
    office.issue("server", "example.org")
    office.issue("me", "me.example.org", "also.me")
    for name in ("servers", "clients"):
        shutil.copy(office.ca, f"{name}.pem")

    async def main(backend: Backend) -> bytes:
        options = page.server_options(required=required)
        async with await backend.listen("memory:greet", page.Greet, options):
            client = await backend.connect("memory:greet", Recorder, options=page.client_options())
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
            return bytes(client.data)

    assert run(main, variant="memory") == b"hello me.example.org, also.me"


def test_a_passphrase(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    page: Any = module(PAGE, "passphrase")
    Path("passphrase").write_text("secret\n")
    monkeypatch.setattr(page, "Path", lambda path: Path(Path(path).name))
    office.issue("server", "example.org", password=b"secret")
    Handshake(page.certificates().context, office.trusting(), "example.org").done()


def test_a_handshake_that_fails(office: Office) -> None:
    certificates = Certificates(office.issue("server", "example.org"))
    page = module(PAGE, "fails")
    server = ConnectionOptions(tls=TLSOptions(certificates.context))

    async def main(backend: Backend) -> list[str]:
        async with await backend.listen("memory:server", Recorder, server):
            await backend.listen("memory:plain", Greeting)
            return [
                await page.reachable(backend, f"memory:{name}", ConnectionOptions(tls=tls))
                for name, tls in (
                    ("server", TLSOptions(office.trusting(), "example.org")),
                    ("server", TLSOptions(office.trusting(), "example.net")),
                    ("plain", TLSOptions(office.trusting(), "example.org")),
                    ("nowhere", TLSOptions(office.trusting(), "example.org")),
                )
            ]

    said = [told.partition(":")[0] for told in run(main, variant="memory")]
    assert said == [
        "well",
        "it is somebody else, or its certificate is wrong",
        "no TLS",
        "nobody is there",
    ]


def test_alpn(office: Office) -> None:
    page = module(PAGE, "alpn")
    certificates = Certificates(office.issue("server", "example.org"))

    async def main(backend: Backend) -> tuple[str | None, bytes]:
        options = page.server_options(certificates)
        async with await backend.listen("memory:sum", page.Sum, options):
            client = await backend.connect("memory:sum", Recorder, options=page.client_options())
            client.transport.loseWriteConnection()
            await client.transport.whenClosed()
            return client.transport.negotiatedProtocol, bytes(client.data)

    assert run(main, variant="memory") == ("sum/1", b"this is sum/1")


def test_a_session_is_resumed(office: Office) -> None:
    certificates = Certificates(office.issue("server", "example.org"))
    server = ConnectionOptions(tls=TLSOptions(certificates.context))
    tls = TLSOptions(office.trusting(), "example.org")

    async def main(backend: Backend) -> bool:
        async with await backend.listen("memory:upper", Upper, server):
            return bool(await module(PAGE, "resume").ask_twice(backend, "memory:upper", tls))

    assert run(main, variant="memory")


def test_versions(office: Office) -> None:
    office.issue("server", "example.org")
    context = module(PAGE, "configure").certificates().context
    client = office.trusting(maximum_version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        Handshake(context, client, "example.org").done()
