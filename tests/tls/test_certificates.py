"""The certificates of servers and clients: which is shown to whom, and what is wrong with one."""

from __future__ import annotations

import gc
import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from core.support import LIMIT, VARIANTS, EchoBack, Recorder, descriptors, run, until
from halfclose import (
    Backend,
    CertificateError,
    ConnectionLost,
    ConnectionOptions,
    Endpoint,
    TLSOptions,
)
from halfclose.tls import Certificates, KeyPair, client_context, contexts
from halfclose.tls.reloadable import ReloadableContext
from tls.issuing import Handshake, Office

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

each_loop = pytest.mark.parametrize(
    "variant",
    [
        "memory",
        "anyio+asyncio",
        *(
            pytest.param(variant, marks=pytest.mark.thorough)
            for variant in VARIANTS
            if variant != "anyio+asyncio"
        ),
    ],
)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def place(variant: str) -> str:
    return "memory:server" if variant == "memory" else "tls:127.0.0.1:0"


def with_tls(context: ssl.SSLContext, **more: Any) -> ConnectionOptions:
    return ConnectionOptions(tls=TLSOptions(context, **more))


# -- the name chooses --------------------------------------------------------------------------


@pytest.fixture
def several(office: Office) -> Certificates:
    return Certificates(
        office.issue("first", "first.test"),
        office.issue("wild", "*.wild.test"),
        office.issue("named", "named.wild.test", "other.test"),
        office.issue("again", "first.test", "again.test"),
    )


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("first.test", ["first.test"]),
        ("x.wild.test", ["*.wild.test"]),
        ("named.wild.test", ["named.wild.test", "other.test"]),
        ("OTHER.test", ["named.wild.test", "other.test"]),
        ("again.test", ["first.test", "again.test"]),
        ("again.test.", ["first.test", "again.test"]),
        ("x.y.wild.test", ["first.test"]),
        ("wild.test", ["first.test"]),
        ("unknown.test", ["first.test"]),
        ("single", ["first.test"]),
        ("127.0.0.1", ["first.test"]),
        (None, ["first.test"]),
    ],
)
@pytest.mark.parametrize("version", [V12, V13])
def test_the_name_chooses(
    office: Office,
    several: Certificates,
    version: ssl.TLSVersion,
    asked: str | None,
    shown: list[str],
) -> None:
    client = office.trusting(check_hostname=False, maximum_version=version)
    assert Handshake(several.context, client, asked).done().names == shown


@each_loop
def test_the_name_chooses_for_a_listener(
    office: Office, several: Certificates, variant: str
) -> None:
    async def main(backend: Backend) -> None:
        options = with_tls(several.context, alpn=("h2",))
        async with await backend.listen(place(variant), EchoBack, options) as listener:
            for name in ("first.test", "x.wild.test", "again.test"):
                client = await backend.connect(
                    listener.endpoint,
                    Recorder,
                    options=with_tls(office.trusting(), server_hostname=name, alpn=("x", "h2")),
                )
                # The certificate is for that name, or there would be no connection.
                assert client.transport.negotiatedProtocol == "h2"
                client.transport.loseConnection()
                await client.transport.whenClosed()

    run(main, variant=variant)


def test_a_certificate_without_alternative_names_has_its_common_name(office: Office) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    pair = office.issue("old", "unused.test")
    issued = x509.load_pem_x509_certificate(Path(pair.certificate).read_bytes())
    key: Any = load_pem_private_key(Path(pair.key or "").read_bytes(), None)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old.test")])
    made = (
        x509.CertificateBuilder(name, name, issued.public_key(), 7)
        .not_valid_before(issued.not_valid_before_utc)
        .not_valid_after(issued.not_valid_after_utc)
        .sign(key, SHA256())
    )
    Path(pair.certificate).write_bytes(made.public_bytes(Encoding.PEM))
    served = Certificates(office.issue("first", "first.test"), pair)
    client = client_context(insecure=True)
    shown = Handshake(served.context, client, "old.test").done().theirs.getpeercert(True)
    assert shown == made.public_bytes(Encoding.DER)


def test_several_need_the_library_that_reads_names(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    one = office.issue("first", "first.test")
    Handshake(Certificates(one).context, office.trusting(), "first.test").done()
    with pytest.raises(CertificateError, match=r"need the library cryptography.* install .*cryp"):
        Certificates(one, one)


def test_a_server_has_a_certificate() -> None:
    with pytest.raises(ValueError, match="at least one KeyPair"):
        Certificates()


def test_what_is_configured_holds_for_every_connection(office: Office) -> None:
    def configure(context: ssl.SSLContext) -> None:
        context.maximum_version = V12
        context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")

    pairs = [office.issue(name, f"{name}.test") for name in ("first", "second")]
    served = Certificates(*pairs, configure=configure)
    assert served.context.maximum_version == V12
    for name in ("first.test", "second.test"):
        shaken = Handshake(served.context, office.trusting(), name).done()
        assert shaken.theirs.cipher() == ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2", 256)


def test_nothing_is_set_in_vain(office: Office) -> None:
    pair = office.issue("first", "first.test")
    context = Certificates(pair).context
    attempts: list[Callable[[], object]] = [
        lambda: setattr(context, "minimum_version", V13),
        lambda: setattr(context, "verify_mode", ssl.CERT_REQUIRED),
        lambda: setattr(context, "sni_callback", None),
        lambda: context.set_ciphers("ALL"),
        lambda: context.load_cert_chain(pair.certificate, pair.key),
        lambda: context.load_verify_locations(office.ca),
    ]
    for attempt in attempts:
        with pytest.raises(AttributeError, match=r"Certificates\(configure="):
            attempt()


def test_other_users_of_ssl_can_have_the_context(office: Office) -> None:
    """By sockets, as http.server does it; `Handshake` is what asyncio, trio and anyio do."""
    pairs = [office.issue(name, f"{name}.test") for name in ("first", "second")]
    served = Certificates(*pairs)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with ours, served.context.wrap_socket(ours, server_side=True) as wrapped:
            wrapped.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    with theirs, office.trusting().wrap_socket(theirs, server_hostname="second.test") as client:
        assert client.recv(100) == b"hello"
    thread.join()


# -- reading anew ------------------------------------------------------------------------------


@each_loop
def test_new_connections_get_the_new_certificate(office: Office, variant: str) -> None:
    pair = office.issue("server", "name.test", common_name="before")
    served = Certificates(pair)
    options = with_tls(office.trusting(), server_hostname="name.test")

    def common_name(client: Recorder) -> str:
        certificate = client.transport.getPeerCertificate()
        assert certificate is not None
        assert certificate.parsed is not None
        found = dict(part[0] for part in certificate.parsed["subject"])
        return str(found["commonName"])

    async def main(backend: Backend) -> None:
        async with await backend.listen(
            place(variant), EchoBack, with_tls(served.context)
        ) as listener:
            old = await backend.connect(listener.endpoint, Recorder, options=options)
            assert common_name(old) == "before"
            office.issue("server", "name.test", common_name="after")
            unread = await backend.connect(listener.endpoint, Recorder, options=options)
            assert common_name(unread) == "before"
            served.reload()
            new = await backend.connect(listener.endpoint, Recorder, options=options)
            assert common_name(new) == "after"
            # Those from before go on.
            old.transport.write(b"still there")
            await until(backend, lambda: old.data == b"still there")
            for client in (old, unread, new):
                client.transport.loseConnection()
                await client.transport.whenClosed()

    run(main, variant=variant)


@pytest.mark.parametrize("version", [V12, V13])
def test_a_handshake_ends_with_the_certificates_with_which_it_began(
    office: Office, version: ssl.TLSVersion
) -> None:
    pairs = [office.issue(name, f"{name}.test") for name in ("first", "second")]
    served = Certificates(*pairs)
    client = office.trusting(maximum_version=version)
    begun = Handshake(served.context, client, "second.test")
    office.issue("second", "second.test", "new.test")
    served.reload()
    assert begun.done().names == ["second.test"]
    after = Handshake(served.context, client, "new.test").done()
    assert after.names == ["second.test", "new.test"]


@pytest.mark.parametrize("version", [V12, V13])
def test_sessions_are_resumed_until_the_files_are_read_anew(
    office: Office, version: ssl.TLSVersion
) -> None:
    """Else who has a session could come in although a reload has taken its authority away."""
    pairs = [office.issue(name, f"{name}.test") for name in ("first", "second")]
    served = Certificates(*pairs, client_ca=office.ca)
    client = office.trusting(maximum_version=version)
    office.authority.issue_cert("client").configure_cert(client)
    for name in ("first.test", "second.test"):
        session = Handshake(served.context, client, name).done().theirs.session
        again = Handshake(served.context, client, name, session).done()
        assert again.theirs.session_reused
        served.reload()
        full = Handshake(served.context, client, name, again.theirs.session).done()
        assert not full.theirs.session_reused
        assert full.names == [name]


def test_alpn_is_kept(office: Office) -> None:
    pairs = [office.issue(name, f"{name}.test") for name in ("first", "second")]
    served = Certificates(*pairs)
    client = office.trusting()
    client.set_alpn_protocols(["a", "b"])

    def chosen() -> set[str | None]:
        return {
            Handshake(served.context, client, name).done().theirs.selected_alpn_protocol()
            for name in ("first.test", "second.test")
        }

    assert chosen() == {None}
    served.context.set_alpn_protocols(["b"])
    assert chosen() == {"b"}
    served.reload()
    assert chosen() == {"b"}
    served.context.set_alpn_protocols(["a", "b"])
    assert chosen() == {"a"}


def test_alpn_that_is_set_while_files_are_read_anew() -> None:
    """Each may be done in a thread of its own."""
    served = ReloadableContext(ssl.PROTOCOL_TLS_SERVER)

    class Interrupted(ssl.SSLContext):
        last: tuple[str, ...] = ()

        def set_alpn_protocols(self, protocols: Iterable[str]) -> None:
            self.last = tuple(protocols)
            if self.last == ("old",):
                thread.start()
                # It waits for this one, or is over soon.
                thread.join(0.05)

    context = Interrupted(ssl.PROTOCOL_TLS_SERVER)
    thread = threading.Thread(target=served.set_alpn_protocols, args=(["new"],))
    served.set_alpn_protocols(["old"])
    served.serve([context])
    thread.join(LIMIT)
    assert context.last == ("new",)


@pytest.mark.parametrize("times", [20, pytest.param(1000, marks=pytest.mark.thorough)])
def test_many_times_leave_nothing_behind(office: Office, times: int) -> None:
    pairs = [office.issue(name, f"{name}.test") for name in ("first", "second")]
    served = Certificates(*pairs, client_ca=office.ca)
    before, contexts = descriptors(), _contexts()
    for _ in range(times):
        served.reload()
    assert descriptors() == before
    assert _contexts() == contexts


def _contexts() -> int:
    gc.collect()
    return sum(isinstance(each, ssl.SSLContext) for each in gc.get_objects())


# -- what is wrong with the files ----------------------------------------------------------------

Spoil = Callable[[Office, KeyPair], object]


def _swap(office: Office, pair: KeyPair) -> None:
    certificate, key = Path(pair.certificate), Path(pair.key or "")
    key.rename(office.folder / "kept")
    certificate.rename(key)
    (office.folder / "kept").rename(certificate)


def _foreign(office: Office, pair: KeyPair, key_type: Any = trustme.KeyType.ECDSA) -> None:
    other = office.issue("other", "other.test", key_type=key_type)
    shutil.copy(other.key or "", pair.key or "")


def _cut(path: Any) -> None:
    lines = Path(path).read_text().splitlines()
    Path(path).write_text("\n".join([*lines[:2], *lines[-1:]]) + "\n")


def _directory(path: Any) -> None:
    Path(path).unlink()
    Path(path).mkdir()


WRONG: dict[str, tuple[Spoil, str]] = {
    "no certificate": (
        lambda office, pair: Path(pair.certificate).unlink(),
        r"the certificate \S+/server\.pem cannot be read: No such file or directory",
    ),
    "no key": (
        lambda office, pair: Path(pair.key or "").unlink(),
        r"the private key \S+/server\.key cannot be read: No such file or directory",
    ),
    "directory": (
        lambda office, pair: _directory(pair.certificate),
        r"the certificate \S+/server\.pem cannot be read: Is a directory",
    ),
    "key is a directory": (
        lambda office, pair: _directory(pair.key),
        r"the private key \S+/server\.key cannot be read: Is a directory",
    ),
    "empty certificate": (
        lambda office, pair: Path(pair.certificate).write_text(""),
        r"the file \S+/server\.pem has no certificate in PEM$",
    ),
    "empty key": (
        lambda office, pair: Path(pair.key or "").write_text(""),
        r"the file \S+/server\.key has no private key in PEM$",
    ),
    "swapped": (_swap, r"\S+/server\.pem has no certificate in PEM; it has .* files swapped\?"),
    "DER": (
        lambda office, pair: Path(pair.certificate).write_bytes(b"\x30\x82\x01"),
        r"the file \S+/server\.pem has no certificate in PEM$",
    ),
    "another's key": (
        _foreign,
        r"private key \S+/server\.key does not belong to the first certificate in \S+/server\.pem",
    ),
    "a key of another type": (
        lambda office, pair: _foreign(office, pair, trustme.KeyType.RSA),
        r"private key \S+/server\.key does not belong to the first certificate in \S+/server\.pem",
    ),
    "cut certificate": (
        lambda office, pair: _cut(pair.certificate),
        r"certificate \S+/server\.pem cannot be used with the private key \S+/server\.key: ",
    ),
    "cut key": (
        lambda office, pair: _cut(pair.key),
        r"certificate \S+/server\.pem cannot be used with the private key \S+/server\.key: ",
    ),
    "encrypted key": (
        lambda office, pair: office.issue("server", "server.test", password=b"secret"),
        r"the private key \S+/server\.key is encrypted; give its passphrase in KeyPair\(password",
    ),
    "no authorities": (
        lambda office, pair: office.ca.unlink(),
        r"the file of authorities \S+/ca\.pem cannot be read: No such file",
    ),
    "empty authorities": (
        lambda office, pair: office.ca.write_text(""),
        r"the file of authorities \S+/ca\.pem cannot be used: it has no certificate in PEM",
    ),
    "cut authorities": (
        lambda office, pair: _cut(office.ca),
        r"the file of authorities \S+/ca\.pem cannot be used: ",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_and_the_old_certificates_stay(
    office: Office, spoil: Spoil, message: str
) -> None:
    pair = office.issue("server", "server.test")
    first = office.issue("first", "first.test")
    served = Certificates(first, pair, client_ca=office.ca, require_client=False)
    trusting = office.trusting()
    before = Handshake(served.context, trusting, "server.test").done()
    spoil(office, pair)
    office.issue("first", "first.test", "new.test")
    with pytest.raises(CertificateError, match=message) as caught:
        served.reload()
    assert str(caught.value).isprintable()
    assert "_ssl.c" not in str(caught.value)
    # Of the first, too, although its file was good.
    for name in ("first.test", "server.test"):
        assert Handshake(served.context, trusting, name).done().names == [name]
    before.passes(b"and this one goes on")
    with pytest.raises(CertificateError, match=message):
        Certificates(pair, client_ca=office.ca)


def test_a_path_is_made_printable(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"a\\nb\.pem cannot be read") as caught:
        Certificates(KeyPair(tmp_path / "a\nb.pem"))
    assert isinstance(caught.value, ValueError)
    with pytest.raises(CertificateError, match=r"null (byte|character)"):
        Certificates(KeyPair("a\0b"))


def test_key_and_certificate_in_one_file(office: Office) -> None:
    pair = office.issue("server", "server.test")
    both = office.folder / "both.pem"
    both.touch(0o600)
    both.write_bytes(Path(pair.key or "").read_bytes() + Path(pair.certificate).read_bytes())
    first = office.issue("first", "first.test")
    for served in (Certificates(KeyPair(both)), Certificates(first, KeyPair(both))):
        Handshake(served.context, office.trusting(), "server.test").done()
    with pytest.raises(CertificateError, match=r"no private key in PEM; name the file of the key"):
        Certificates(KeyPair(pair.certificate))


def test_files_from_pipes(office: Office) -> None:
    """As a shell gives them for ``<(...)``: they can be read once."""
    pair = office.issue("server", "server.test")

    def pipe(path: Any) -> tuple[int, str]:
        reader, writer = os.pipe()
        with os.fdopen(writer, "wb") as file:
            file.write(Path(path).read_bytes())
        return reader, f"/dev/fd/{reader}"

    opened = [pipe(path) for path in (pair.certificate, pair.key, pair.key)]
    try:
        (_, certificate), (_, key), (_, wrong) = opened
        served = Certificates(KeyPair(certificate, key))
        Handshake(served.context, office.trusting(), "server.test").done()
        with pytest.raises(CertificateError, match="cannot be used with"):
            Certificates(KeyPair(wrong, pair.key))
    finally:
        for reader, _ in opened:
            os.close(reader)


# -- passphrases and permissions -------------------------------------------------------------------


@pytest.mark.parametrize("password", ["secret", b"secret", lambda: "secret", lambda: b"secret"])
def test_a_passphrase(office: Office, password: Any) -> None:
    pair = office.issue("server", "server.test", password=b"secret")
    served = Certificates(replace(pair, password=password))
    served.reload()
    Handshake(served.context, office.trusting(), "server.test").done()


def test_a_key_that_is_not_encrypted_needs_none(office: Office) -> None:
    def asked() -> str:
        raise AssertionError

    Certificates(replace(office.issue("server", "server.test"), password=asked))


def _unknown() -> str:
    raise LookupError("the vault\nis closed")


@pytest.mark.parametrize(
    ("password", "message"),
    [
        (None, r"\S+/server\.key is encrypted; give its passphrase"),
        ("wrong", r"private key \S+/server\.key cannot be decrypted: its passphrase is wrong, or"),
        ("", r"private key \S+/server\.key cannot be decrypted"),
        ("x" * 2000, r"private key \S+/server\.key cannot be decrypted"),
        (5, r"private key \S+/server\.key cannot be decrypted"),
        (_unknown, r"no passphrase for the private key \S+/server\.key: the vault is closed"),
    ],
)
def test_a_wrong_passphrase(office: Office, password: Any, message: str) -> None:
    pair = replace(office.issue("server", "server.test", password=b"secret"), password=password)
    with pytest.raises(CertificateError, match=message) as caught:
        Certificates(pair)
    assert "secret" not in str(caught.value)


def test_a_passphrase_is_not_shown() -> None:
    assert "secret" not in repr(KeyPair("a", "b", "secret"))


def test_a_key_that_others_may_use_is_told_once(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = office.issue("good", "good.test"), office.issue("it's", "bad.test")
    os.chmod(bad.key or "", 0o644)
    served = Certificates(good, bad)
    served.reload()
    [record] = caplog.records
    assert (record.name, record.levelno) == ("halfclose", logging.WARNING)
    path = re.escape(str(bad.key))
    assert re.fullmatch(
        rf"others may use the private key {path}, whose mode is 0644; run: chmod 600 '.*'",
        record.getMessage(),
    )
    client_context(certificate=bad)
    assert len(caplog.records) == 2


# -- certificates of clients -------------------------------------------------------------------


@each_loop
@pytest.mark.parametrize("require", [True, False])
def test_certificates_of_clients(office: Office, variant: str, require: bool) -> None:
    pair = office.issue("server", "server.test")
    served = Certificates(pair, client_ca=office.ca, require_client=require)
    ours = office.issue("client", "client.test")
    stranger = Office(office.folder).issue("stranger", "stranger.test")
    made: list[EchoBack] = []

    def factory() -> EchoBack:
        made.append(EchoBack())
        return made[-1]

    def options(certificate: KeyPair | None) -> ConnectionOptions:
        context = office.trusting()
        if certificate is not None:
            context.load_cert_chain(certificate.certificate, certificate.key)
        return with_tls(context, server_hostname="server.test")

    async def end(
        backend: Backend, endpoint: Endpoint, certificate: KeyPair | None
    ) -> tuple[bytes, BaseException]:
        client = await backend.connect(endpoint, Recorder, options=options(certificate))
        client.transport.write(b"hello")
        client.transport.loseWriteConnection()
        reason = await client.transport.whenClosed()
        return bytes(client.data), reason

    async def main(backend: Backend) -> None:
        async with await backend.listen(
            place(variant), factory, with_tls(served.context)
        ) as listener:
            data, _ = await end(backend, listener.endpoint, ours)
            assert data == b"hello"
            certificate = made.pop().transport.getPeerCertificate()
            assert certificate is not None
            assert certificate.parsed is not None
            assert certificate.parsed["subjectAltName"] == (("DNS", "client.test"),)
            # In TLS 1.3 a client learns only afterwards that it is not let in.
            data, reason = await end(backend, listener.endpoint, stranger)
            assert (data, type(reason)) == (b"", ConnectionLost)
            data, reason = await end(backend, listener.endpoint, None)
            if require:
                assert (data, type(reason)) == (b"", ConnectionLost)
                assert "certificate required" in str(reason.__cause__)
                assert made == []
            else:
                assert data == b"hello"
                assert made.pop().transport.getPeerCertificate() is None

    run(main, variant=variant)


# -- contexts of clients -----------------------------------------------------------------------


def test_a_client_with_its_own_authorities_and_certificate(office: Office) -> None:
    pair = office.issue("server", "server.test")
    served = Certificates(pair, client_ca=office.ca)
    context = client_context(ca=office.ca, certificate=office.issue("client", "client.test"))
    shaken = Handshake(served.context, context, "server.test").done()
    told: Any = shaken.ours.getpeercert()
    assert told["subjectAltName"] == (("DNS", "client.test"),)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        Handshake(Certificates(pair).context, context, "other.test").done()
    (office.folder / "other").mkdir()
    other = Office(office.folder / "other")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        Handshake(Certificates(pair).context, client_context(ca=other.ca), "server.test").done()


def test_a_client_that_accepts_everything(office: Office) -> None:
    served = Certificates(office.issue("server", "server.test"))
    Handshake(served.context, client_context(insecure=True), "other.test").done()
    with pytest.raises(ValueError, match="would not be asked"):
        client_context(ca=office.ca, insecure=True)


@pytest.mark.parametrize("ca", ["", "missing.pem"])
def test_authorities_that_are_not_there(ca: str) -> None:
    """They are not taken for the system's."""
    with pytest.raises(
        CertificateError, match=r"the file of authorities .*cannot be read: No such"
    ):
        client_context(ca=ca)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to hash a name")
@pytest.mark.parametrize("installed", [True, False], ids=["truststore", "no truststore"])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_the_systems_authorities_are_where_the_variables_say(
    office: Office, monkeypatch: pytest.MonkeyPatch, variable: str, installed: bool
) -> None:

    if not installed:
        monkeypatch.setitem(sys.modules, "truststore", None)
    nowhere = office.folder / "nowhere"
    monkeypatch.setenv("SSL_CERT_FILE", str(nowhere))
    monkeypatch.setenv("SSL_CERT_DIR", str(nowhere))
    served = Certificates(office.issue("server", "server.test"))
    with pytest.raises(ssl.SSLCertVerificationError):
        Handshake(served.context, client_context(), "server.test").done()
    place = office.ca
    if variable == "SSL_CERT_DIR":
        place = office.folder / "authorities"
        place.mkdir()
        shutil.copy(office.ca, place / f"{_hash(office.ca)}.0")
    monkeypatch.setenv(variable, str(place))
    Handshake(served.context, client_context(), "server.test").done()


@pytest.fixture
def default_context() -> Iterator[Any]:
    """What makes the context of clients that name none, without what it remembers."""
    contexts._default_context.cache_clear()
    yield contexts._default_context
    contexts._default_context.cache_clear()


def test_a_client_that_names_no_context_trusts_the_systems_authorities(
    office: Office, monkeypatch: pytest.MonkeyPatch, default_context: Any
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(office.ca))
    served = Certificates(office.issue("server", "127.0.0.1"))

    async def main(backend: Backend) -> None:
        options = with_tls(served.context)
        async with await backend.listen("tls:127.0.0.1:0", EchoBack, options) as listener:
            for _ in range(2):
                client = await backend.connect(listener.endpoint, Recorder)
                client.transport.loseConnection()
                await client.transport.whenClosed()

    run(main, variant="anyio+asyncio")
    # The authorities are read once.
    assert default_context.cache_info().misses == 1


def _hash(authority: Path) -> str:
    """By which OpenSSL finds an authority in a folder."""
    words = ("openssl", "x509", "-noout", "-subject_hash", "-in", str(authority))
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_truststore_asks_macos(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(office.ca))
    assert type(client_context()).__module__ == "ssl"
    monkeypatch.setattr(sys, "platform", "darwin")
    context = client_context(certificate=office.issue("client", "client.test"))
    assert type(context).__module__.startswith("truststore")
    served = Certificates(office.issue("server", "server.test"), client_ca=office.ca)
    Handshake(served.context, context, "server.test").done()
