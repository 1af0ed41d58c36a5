"""Certificates for tests, in files, and handshakes with them that need no loop."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from halfclose.tls import KeyPair

__all__ = ["Handshake", "Office"]


class Office:
    """An authority that writes certificates into files.

    :param folder: where.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))

    def issue(self, file: str, *names: str, password: bytes | None = None, **more: Any) -> KeyPair:
        """Write a certificate for *names* into ``FILE.pem``, and its key into ``FILE.key``.

        :param password: encrypts the key.
        :param more: what `trustme.CA.issue_cert` takes.
        """
        issued = self.authority.issue_cert(*names, **more)
        certificate, key = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        content = issued.private_key_pem.bytes()
        if password is not None:
            content = load_pem_private_key(content, None).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
            )
        key.touch(0o600)
        key.write_bytes(content)
        return KeyPair(certificate, key)

    def trusting(self, **settings: Any) -> ssl.SSLContext:
        """A context of a client that trusts this authority.

        :param settings: attributes to set on it.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        for name, value in settings.items():
            setattr(context, name, value)
        return context


@dataclass
class Handshake:
    """A handshake of two sides of `ssl`, by hand.

    :param server: its context.
    :param client: its context.
    :param name: what the client asks for.
    :param session: what the client resumes.
    """

    server: ssl.SSLContext
    client: ssl.SSLContext
    name: str | None = None
    session: ssl.SSLSession | None = None

    def __post_init__(self) -> None:
        self._to_client, self._to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ours = self.server.wrap_bio(self._to_server, self._to_client, True)
        self.theirs = self.client.wrap_bio(
            self._to_client, self._to_server, False, self.name, self.session
        )

    def done(self) -> Handshake:
        """Do it, and have the client read the server's tickets.

        :raises ssl.SSLError: it fails.
        """
        waiting = [self.theirs, self.ours]
        while waiting:
            side = waiting.pop(0)
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(side)
        self.passes(b"tickets")
        return self

    def passes(self, data: bytes) -> None:
        """Carry *data* from the server to the client, and compare it."""
        self.ours.write(data)
        assert self.theirs.read(len(data)) == data

    @property
    def names(self) -> list[str]:
        """The names in the certificate that the server has shown."""
        told: Any = self.theirs.getpeercert()
        return [name for _, name in told["subjectAltName"]]
