"""Certificates for tests, and the contexts of both sides made from them.

The texts were made once, and are valid until 2126, so that no test needs a library or a program
that makes certificates. The key of the authority is not among them: nobody can make another one.
"""

from __future__ import annotations

import ssl
import tempfile

__all__ = [
    "AUTHORITY",
    "CLIENT",
    "CLIENT_KEY",
    "NAME",
    "SERVER",
    "SERVER_KEY",
    "client_context",
    "server_context",
]

NAME = "halfclose.test"
"""The name that the server's certificate is for, besides the address 127.0.0.1."""

AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBojCCAUigAwIBAgIUQou0VEGFxkkrkenkgQBkPza1S9kwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRaGFsZmNsb3NlIHRlc3QgQ0EwIBcNMjYwMTAxMDAwMDAwWhgP
MjEyNjAxMDEwMDAwMDBaMBwxGjAYBgNVBAMMEWhhbGZjbG9zZSB0ZXN0IENBMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEs8ma7eWUN4kqcb5sPp2IiDgHE94GPSe2
JS47021xnn6DRyFTNEAubEZyElu+MV+6HrUKt6RwaRZzTVyy8WM5hKNmMGQwEgYD
VR0TAQH/BAgwBgEB/wIBADAdBgNVHQ4EFgQUVJ4oG0DhhVyxGdv1Av2q6coB86ww
HwYDVR0jBBgwFoAUVJ4oG0DhhVyxGdv1Av2q6coB86wwDgYDVR0PAQH/BAQDAgEG
MAoGCCqGSM49BAMCA0gAMEUCIHCD7X/r+6nGgagmJK32GHlDGaeIrOcSUmES1kMC
Qpp+AiEA2hvTEP2NIexMOnUCLJUYsbIQX1c5w+Ewfr51TGryN5U=
-----END CERTIFICATE-----
"""
"""The certificate of the authority that has signed the others."""

SERVER = """\
-----BEGIN CERTIFICATE-----
MIIB0TCCAXegAwIBAgIUOOf4FABkayNlSinuY3ivTgXMEV4wCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRaGFsZmNsb3NlIHRlc3QgQ0EwIBcNMjYwMTAxMDAwMDAwWhgP
MjEyNjAxMDEwMDAwMDBaMBkxFzAVBgNVBAMMDmhhbGZjbG9zZS50ZXN0MFkwEwYH
KoZIzj0CAQYIKoZIzj0DAQcDQgAED/R37JUBeDpYOEQOZcAklLELoEEXHYvp5M2r
kUJPIiATkWCv73N5QOVbdTeuXEd2A+rh6/uJIy9heCkWWZQuRKOBlzCBlDAMBgNV
HRMBAf8EAjAAMB0GA1UdDgQWBBTK2HfJ2Msc678jtugdYV7FX9rRHTAfBgNVHSME
GDAWgBRUnigbQOGFXLEZ2/UC/arpygHzrDAOBgNVHQ8BAf8EBAMCB4AwEwYDVR0l
BAwwCgYIKwYBBQUHAwEwHwYDVR0RBBgwFoIOaGFsZmNsb3NlLnRlc3SHBH8AAAEw
CgYIKoZIzj0EAwIDSAAwRQIhAJQlojG9Do4PhO4KaXQ7i/8l6/7T5dLjjLcMQoFP
gVSBAiAho8+Btem4Uu9FMXaWzF7E89M3T4sSoM5NXkK7nkyD+A==
-----END CERTIFICATE-----
"""
"""The certificate of the server."""

SERVER_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZUeMxD2a/SOJnIrM
JFgTxmUHuGBTJnLV0Pt5nOzhPeahRANCAAQP9HfslQF4Olg4RA5lwCSUsQugQRcd
i+nkzauRQk8iIBORYK/vc3lA5Vt1N65cR3YD6uHr+4kjL2F4KRZZlC5E
-----END PRIVATE KEY-----
"""
"""The key to `SERVER`."""

CLIENT = """\
-----BEGIN CERTIFICATE-----
MIIB2TCCAX+gAwIBAgIUXSkV2nKgS99JEpJElitYhqMv4mcwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRaGFsZmNsb3NlIHRlc3QgQ0EwIBcNMjYwMTAxMDAwMDAwWhgP
MjEyNjAxMDEwMDAwMDBaMCAxHjAcBgNVBAMMFWhhbGZjbG9zZSB0ZXN0IGNsaWVu
dDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABK0pBZUMhzb6DXFJQ1pJ2Y96iPRn
a4LygxlFC1KXdwxvT+xvlux++M5/kLc11RLi9Uk1E/B3kYysDozSPvrPNrmjgZgw
gZUwDAYDVR0TAQH/BAIwADAdBgNVHQ4EFgQUYXJukt6ByrrDwMRHKYbKne5fNBww
HwYDVR0jBBgwFoAUVJ4oG0DhhVyxGdv1Av2q6coB86wwDgYDVR0PAQH/BAQDAgeA
MBMGA1UdJQQMMAoGCCsGAQUFBwMCMCAGA1UdEQQZMBeCFWNsaWVudC5oYWxmY2xv
c2UudGVzdDAKBggqhkjOPQQDAgNIADBFAiBoZUmM3aET8q4tYByPYZm5minFwTKh
tlzU/AOOIBAk0wIhAKycgy7iFw8PE5pWNwDVZv/X4eDpZhpGHNcyiiPr1IG0
-----END CERTIFICATE-----
"""
"""The certificate of the client."""

CLIENT_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUeK3b3I3RaPbbcoH
E1kdOtl1SQI6J0ylqBylPWV6e0GhRANCAAStKQWVDIc2+g1xSUNaSdmPeoj0Z2uC
8oMZRQtSl3cMb0/sb5bsfvjOf5C3NdUS4vVJNRPwd5GMrA6M0j76zza5
-----END PRIVATE KEY-----
"""
"""The key to `CLIENT`."""


def server_context(*, demand_client: bool = False, tickets: int = 0) -> ssl.SSLContext:
    """A new context of a server that shows `SERVER`.

    :param demand_client: whether the client has to show a certificate of `AUTHORITY`.
    :param tickets: how many tickets the server sends after a handshake of TLS 1.3. None by default,
        so that a peer is sent nothing that the program has not written.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, SERVER, SERVER_KEY)
    context.num_tickets = tickets
    if demand_client:
        context.load_verify_locations(cadata=AUTHORITY)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(*, certificate: bool = False) -> ssl.SSLContext:
    """A new context of a client that trusts `AUTHORITY`.

    :param certificate: whether the client shows `CLIENT` if the server asks for a certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=AUTHORITY)
    if certificate:
        _load(context, CLIENT, CLIENT_KEY)
    return context


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    # The standard library reads a key from a file only.
    with tempfile.NamedTemporaryFile("w", prefix="hc", suffix=".pem") as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(file.name)
