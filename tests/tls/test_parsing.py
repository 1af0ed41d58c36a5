"""What a certificate says, read by another library than `ssl`, which tells it of checked ones."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from core.support import EchoBack, Recorder, run
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import NameOID
from cryptography.x509.oid import ObjectIdentifier
from halfclose import Backend, Certificate, ConnectionOptions, TLSOptions
from halfclose.tls import Certificates, client_context
from halfclose.tls.parsing import parsed
from tls.issuing import Handshake, Office

OF_BOTH = (
    *("subject", "issuer", "version", "serialNumber", "notBefore", "notAfter", "subjectAltName"),
)
"""What both libraries tell."""

START = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
END = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)

SUBJECT = [
    (NameOID.COUNTRY_NAME, "AQ"),
    (NameOID.STATE_OR_PROVINCE_NAME, "Ice"),
    (NameOID.LOCALITY_NAME, "Shelf"),
    (NameOID.STREET_ADDRESS, "1 Floe"),
    (NameOID.POSTAL_CODE, "0"),
    (NameOID.ORGANIZATION_NAME, "Pengüins, Ltd."),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "Eggs"),
    (NameOID.SERIAL_NUMBER, "17"),
    (NameOID.SURNAME, "Adélie"),
    (NameOID.GIVEN_NAME, "Pygo"),
    (NameOID.TITLE, "Dr"),
    (NameOID.USER_ID, "pygo"),
    (NameOID.DOMAIN_COMPONENT, "example"),
    (NameOID.EMAIL_ADDRESS, "pygo@example.test"),
    (NameOID.BUSINESS_CATEGORY, "Private"),
    (NameOID.ORGANIZATION_IDENTIFIER, "VATAQ-1"),
    (NameOID.JURISDICTION_COUNTRY_NAME, "AQ"),
    (NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME, "Ice"),
    (ObjectIdentifier("1.3.6.1.4.1.99999.1"), "unknown"),
    (NameOID.COMMON_NAME, "rock.example.test"),
]

ALTERNATIVES: Sequence[x509.GeneralName] = (
    x509.DNSName("rock.example.test"),
    x509.DNSName("*.example.test"),
    x509.IPAddress(ip_address("192.0.2.7")),
    x509.IPAddress(ip_address("2001:db8::7")),
    x509.RFC822Name("pygo@example.test"),
    x509.UniformResourceIdentifier("https://example.test/"),
    x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "directory")])),
    x509.RegisteredID(ObjectIdentifier("1.2.3.4")),
    x509.OtherName(ObjectIdentifier("1.2.3.4"), b"\x0c\x01x"),
)


def issue(
    folder: Path, subject: Any, serial: int, alternatives: Sequence[x509.GeneralName]
) -> tuple[Path, bytes]:
    """A certificate that is its own authority: its file, with the key, and its DER."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in subject])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), serial)
        .not_valid_before(START)
        .not_valid_after(END)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), False)
    made = builder.sign(key, SHA256())
    file = folder / "own.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.touch(0o600)
    file.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return file, made.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("subject", "serial", "alternatives"),
    [
        (SUBJECT, 0x0ABCDE, ALTERNATIVES),
        (SUBJECT[-1:], 1 << 158, ALTERNATIVES[:1]),
        (SUBJECT[-1:], 128, ()),
    ],
)
def test_both_tell_the_same(
    tmp_path: Path, subject: Any, serial: int, alternatives: Sequence[x509.GeneralName]
) -> None:
    file, der = issue(tmp_path, subject, serial, alternatives)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(file)
    told: Any = Handshake(server, client).done().theirs.getpeercert()
    expected = {key: value for key, value in told.items() if key in OF_BOTH}
    assert parsed(der) == expected
    assert ("subjectAltName" in expected) == bool(alternatives)


def test_when_it_expires(tmp_path: Path) -> None:
    _, der = issue(tmp_path, SUBJECT, 1, ())
    assert Certificate(der, parsed(der)).expires == END
    assert Certificate(der, None).expires is None


def test_what_is_no_certificate_tells_nothing(tmp_path: Path) -> None:
    _, der = issue(tmp_path, SUBJECT, 1, ALTERNATIVES)
    for size in range(0, len(der), 7):
        assert parsed(der[:size]) is None
    for at in range(0, len(der), 3):
        # Whatever is told then, no error and no warning leaves it.
        parsed(der[:at] + bytes([der[at] ^ 0xFF]) + der[at + 1 :])


@pytest.mark.parametrize("installed", [True, False])
def test_a_client_that_checks_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    now = datetime.now(UTC)
    expired = Office(tmp_path).issue(
        "old", "old.test", not_before=now - timedelta(days=9), not_after=now - timedelta(days=1)
    )
    if not installed:
        monkeypatch.setitem(sys.modules, "cryptography", None)

    def options(context: ssl.SSLContext) -> ConnectionOptions:
        return ConnectionOptions(tls=TLSOptions(context))

    async def main(backend: Backend) -> None:
        served = Certificates(expired)
        async with await backend.listen("memory:old", EchoBack, options(served.context)):
            client = await backend.connect(
                "memory:old", Recorder, options=options(client_context(insecure=True))
            )
            certificate = client.transport.getPeerCertificate()
            assert certificate is not None
            if not installed:
                assert certificate.parsed is None
                assert certificate.expires is None
            else:
                assert certificate.parsed is not None
                assert certificate.parsed["subjectAltName"] == (("DNS", "old.test"),)
                assert certificate.expires is not None
                assert certificate.expires < now
            client.transport.loseConnection()
            await client.transport.whenClosed()

    run(main, variant="memory")
