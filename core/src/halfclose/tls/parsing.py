"""Reads what a certificate says, by the library ``cryptography``.

`ssl` tells that only of a certificate that it has checked, and of none in a file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["names_in", "parsed"]

_WORDS = {
    "2.5.4.3": "commonName",
    "2.5.4.4": "surname",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "countryName",
    "2.5.4.7": "localityName",
    "2.5.4.8": "stateOrProvinceName",
    "2.5.4.9": "streetAddress",
    "2.5.4.10": "organizationName",
    "2.5.4.11": "organizationalUnitName",
    "2.5.4.12": "title",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.42": "givenName",
    "2.5.4.97": "organizationIdentifier",
    "1.2.840.113549.1.9.1": "emailAddress",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionStateOrProvinceName",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionCountryName",
    "0.9.2342.19200300.100.1.1": "userId",
    "0.9.2342.19200300.100.1.25": "domainComponent",
}
"""OpenSSL's words for the parts of a name."""


def parsed(der: bytes) -> dict[str, Any] | None:
    """What `ssl.SSLSocket.getpeercert` would tell of a checked certificate.

    :param der: the certificate, which anybody may have made.
    :returns: None if it cannot be read, or ``cryptography`` is not installed.
    """
    try:
        from cryptography import x509
    except ImportError:
        return None
    try:
        with warnings.catch_warnings():
            # The library warns of what no authority may do. A peer may do anything.
            warnings.simplefilter("ignore")
            return _told(x509.load_der_x509_certificate(der))
    except Exception:
        # It has errors of many classes for what is malformed.
        return None


def names_in(pem: bytes) -> list[str]:
    """The host names for which the first certificate in *pem* is.

    :raises ImportError: ``cryptography`` is not installed.
    :raises ValueError: the certificate cannot be read.
    """
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pem)
    names = [value for kind, value in _alternatives(certificate) if kind == "DNS"]
    if names:
        return names
    common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return [str(each.value) for each in common]


def _told(certificate: x509.Certificate) -> dict[str, Any]:
    told: dict[str, Any] = {
        "subject": _name(certificate.subject),
        "issuer": _name(certificate.issuer),
        "version": certificate.version.value + 1,
        "serialNumber": _number(certificate.serial_number),
        "notBefore": _time(certificate.not_valid_before_utc),
        "notAfter": _time(certificate.not_valid_after_utc),
    }
    alternatives = tuple(_alternatives(certificate))
    if alternatives:
        told["subjectAltName"] = alternatives
    return told


def _name(name: x509.Name) -> tuple[tuple[tuple[str, str], ...], ...]:
    return tuple(
        tuple(
            (_WORDS.get(each.oid.dotted_string, each.oid.dotted_string), str(each.value))
            for each in part
        )
        for part in name.rdns
    )


def _number(serial: int) -> str:
    digits = f"{abs(serial):X}"
    return ("-" if serial < 0 else "") + "0" * (len(digits) % 2) + digits


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _time(when: datetime) -> str:
    """As OpenSSL writes it, in English whatever the locale."""
    return f"{_MONTHS[when.month - 1]} {when.day:2} {when:%H:%M:%S} {when.year} GMT"


def _alternatives(certificate: x509.Certificate) -> Iterator[tuple[str, Any]]:
    """The names in the extension, as pairs of the kind and the name."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return
    for each in found.value:
        if isinstance(each, x509.DNSName):
            yield "DNS", each.value
        elif isinstance(each, x509.IPAddress):
            yield "IP Address", _address(each)
        elif isinstance(each, x509.RFC822Name):
            yield "email", each.value
        elif isinstance(each, x509.UniformResourceIdentifier):
            yield "URI", each.value
        elif isinstance(each, x509.DirectoryName):
            yield "DirName", _name(each.value)
        elif isinstance(each, x509.RegisteredID):
            yield "Registered ID", each.value.dotted_string
        else:
            yield "othername", "<unsupported>"


def _address(address: x509.IPAddress) -> str:
    value = address.value
    if value.version == 4:
        return str(value)
    groups = value.exploded.split(":")
    return ":".join(f"{int(group, 16):X}" for group in groups)
