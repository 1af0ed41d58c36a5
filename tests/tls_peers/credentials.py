"""An authority and a certificate for ``localhost``, as files, and our contexts with them."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

__all__ = ["VERSIONS", "context", "make"]

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def make(folder: Path) -> None:
    """Write ``ca.pem``, ``certificate.pem``, ``key.pem``, and ``both.pem`` of the last two."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = authority.issue_cert("localhost")
    certificate = issued.cert_chain_pems[0].bytes()
    # Java reads no other format.
    key = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    (folder / "certificate.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)
    (folder / "both.pem").write_bytes(certificate + key)


def context(folder: Path, version: str, *, server_side: bool) -> ssl.SSLContext:
    """Our context, which speaks that version alone.

    :param folder: what `make` has written.
    :param version: a key of `VERSIONS`.
    """
    if server_side:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    else:
        made = ssl.create_default_context(cafile=folder / "ca.pem")
    made.minimum_version = made.maximum_version = VERSIONS[version]
    return made
