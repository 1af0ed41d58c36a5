"""Certificates for the command, which is given the names of files."""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from tls.issuing import Office

__all__ = ["Files", "issue", "server_context"]


class Files(NamedTuple):
    """The paths of PEM files: an authority, a certificate, its key, and both of these."""

    ca: str
    cert: str
    key: str
    both: str


def issue(
    folder: Path, *names: str, until: datetime | None = None, password: bytes | None = None
) -> Files:
    """Have a new authority issue a certificate, and write *folder*'s files anew.

    :param names: for whom it is; by default this machine.
    :param until: when it expires; None: in a long time.
    :param password: encrypts the key.
    """
    office = Office(folder)
    names = names or ("localhost", "127.0.0.1")
    pair = office.issue("server", *names, not_after=until, password=password)
    assert pair.key is not None
    cert, key = Path(pair.certificate), Path(pair.key)
    both = folder / "both.pem"
    both.touch(0o600)
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return Files(str(office.ca), str(cert), str(key), str(both))


def server_context(files: Files) -> ssl.SSLContext:
    """What a server of the standard library's `ssl` shows that certificate with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.both)
    return context
