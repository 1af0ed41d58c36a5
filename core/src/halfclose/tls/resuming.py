"""Whether a resumed session was made with a server of the name that a client asks for now.

A handshake that resumes a session shows no certificate, so OpenSSL checks none. Whoever runs a
server with which the session was made could pass for any other server of which the client resumes
it (RFC 8446, 4.6.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

__all__ = ["is_for"]


def is_for(certificate: Mapping[str, Any], name: str) -> bool:
    """Whether a certificate is for *name*.

    :param certificate: that of the server with which the session was made, which was checked then,
        as `ssl.SSLSocket.getpeercert` gives it.
    :param name: of a host, in ASCII, or an IP address.
    """
    try:
        address = ip_address(name)
    except ValueError:
        wanted = name.lower()
        any_host = f"*.{wanted.partition('.')[2]}"
        return any(each.lower() in (wanted, any_host) for each in _hosts(certificate))
    return address in _addresses(certificate)


def _addresses(certificate: Mapping[str, Any]) -> Iterator[IPv4Address | IPv6Address]:
    """The IP addresses in a certificate."""
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "IP Address":
            # One that cannot be read is none.
            with suppress(ValueError):
                yield ip_address(value.strip())


def _hosts(certificate: Mapping[str, Any]) -> Iterator[str]:
    """The names of hosts in a certificate: the common name only if there is no other."""
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    if names:
        yield from names
        return
    for part in certificate.get("subject", ()):
        yield from (value for key, value in part if key == "commonName")
