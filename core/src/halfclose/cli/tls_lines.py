"""What ``--verbose`` tells of the TLS of a connection."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

from ..tls_options import Certificate, TLSInfo

__all__ = ["tls_lines"]

_DAY = 86400
_SOON = 14
"""Days before the end of a certificate from which on that is a warning."""

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
}


def tls_lines(known: TLSInfo) -> Iterator[str]:
    """What is known of a connection by its TLS, a line for each thing.

    :param known: after the handshake.
    """
    agreed = "no protocol agreed" if known.alpn is None else f"protocol {known.alpn}"
    resumed = ", resumed" if known.resumed else ""
    yield f"{known.version}, {known.cipher}, {agreed}{resumed}"
    if known.certificate is None:
        yield "the peer showed no certificate"
    else:
        yield from _certificate_lines(known.certificate)


def _certificate_lines(certificate: Certificate) -> Iterator[str]:
    parsed = certificate.parsed
    if parsed is None:
        yield f"certificate: SHA-256 {hashlib.sha256(certificate.der).hexdigest()}"
        return
    yield f"certificate of {_name(parsed.get('subject', ()))}"
    names = [f"{kind}:{name}" for kind, name in parsed.get("subjectAltName", ())]
    if names:
        yield f"certificate for {', '.join(names)}"
    yield f"certificate by {_name(parsed.get('issuer', ()))}"
    yield _expiry(parsed["notAfter"])


def _name(parts: Any) -> str:
    """The name of a subject or an issuer, as people write it."""
    words = [f"{_SHORT.get(kind, kind)}={value}" for part in parts for kind, value in part]
    return ", ".join(words) or "nobody"


def _expiry(end: str) -> str:
    import ssl

    try:
        left = ssl.cert_time_to_seconds(end) - time.time()
    except ValueError:
        # The peer has made it, and with --insecure nobody has checked it.
        return f"certificate expires {end}"
    if left < 0:
        return f"WARNING: certificate expired {end}"
    warning = "WARNING: " if left < _SOON * _DAY else ""
    return f"{warning}certificate expires {end}, in {left // _DAY:.0f} days"
