"""The `ssl.SSLContext` of a connection, and the `Engine` made from it."""

from __future__ import annotations

import functools
import ssl
import sys
import threading

from ..tls_options import TLSOptions
from .engine import Engine
from .key_pairs import FilePath, KeyPair, authorities, load_pair, warn_of_readers

__all__ = ["client_context", "client_engine", "server_context", "server_engine", "system_context"]


def client_context(
    ca: FilePath | None = None,
    certificate: KeyPair | None = None,
    insecure: bool = False,
) -> ssl.SSLContext:
    """A context of a client, for `TLSOptions`.

    :param ca: path of a file of PEM with the authorities that may vouch for servers, in the place
        of the system's.
    :param certificate: what the client shows to a server that asks for a certificate.
    :param insecure: accept every certificate, for any name. So anybody on the way can read and
        change everything. Only for a look at a server whose certificate is broken.
    :raises CertificateError: a file cannot be used. The message names it.
    :raises ValueError: *ca* is given, and *insecure*.
    """
    if insecure:
        if ca is not None:
            raise ValueError("with insecure, the authorities of ca would not be asked")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is None:
        context = system_context()
    else:
        with authorities(ca):
            context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        load_pair(context, certificate)
        warn_of_readers(certificate, set())
    return context


def system_context() -> ssl.SSLContext:
    """A context of a client that trusts the system's authorities.

    OpenSSL finds them by itself on most systems, and where the variables SSL_CERT_FILE and
    SSL_CERT_DIR say. ``truststore`` asks macOS itself, and knows where some Linux distributions
    have them. But elsewhere it reads all of them anew for each connection, which stops the loop for
    dozens of milliseconds. So it is used only where it is needed.
    """
    if sys.platform != "darwin":
        context = ssl.create_default_context()
        if context.cert_store_stats()["x509_ca"]:
            return context
    try:
        import truststore
    except ImportError:
        return ssl.create_default_context()
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


_default_context = functools.cache(system_context)
"""The context of all clients that name none. Made once, since it reads the authorities."""

_changing = threading.Lock()
"""Held while a context is changed for one connection. The loops of two threads may share it."""


def client_engine(tls: TLSOptions, host: str | None) -> Engine:
    """The engine of a client.

    :param host: the name in the endpoint, for which the certificate is checked unless *tls* names
        another one.
    :raises ValueError: the context is one of a server; it checks host names, and there is none, or
        no valid one; or the session is of another context.
    """
    context = tls.context or _default_context()
    if context.protocol == ssl.PROTOCOL_TLS_SERVER:
        raise ValueError("its context is for a server (PROTOCOL_TLS_SERVER)")
    name = tls.server_hostname or host
    if context.check_hostname and not name:
        raise ValueError(
            "TLSOptions.server_hostname is missing, the name for which the certificate is checked"
        )
    if name:
        # A link-local address has a zone, which is this machine's own; and a dot at the end of a
        # name is for the resolver alone (RFC 6066, 3).
        name = name.partition("%")[0].removesuffix(".")
    try:
        with _changing:
            if tls.context is None:
                # Nothing of a connection may stay on the context of all who name none.
                context.set_alpn_protocols(tls.alpn)
            else:
                _set_alpn(context, tls)
            return Engine(context, server_side=False, server_hostname=name, session=tls.session)
    except UnicodeError as error:
        raise ValueError(f"{name!r} is no name of a host: {error}") from error
    except ValueError as error:
        if tls.session is None:
            raise
        raise ValueError(
            "TLSOptions.session is of another context; a session is resumed with the context that "
            "it was made with"
        ) from error


def server_context(tls: TLSOptions) -> ssl.SSLContext:
    """The context of a server.

    :raises ValueError: there is none, or it is one of a client.
    """
    context = tls.context
    if context is None:
        raise ValueError(
            "a server of TLS needs a certificate; give it in ConnectionOptions(tls=TLSOptions("
            "halfclose.tls.Certificates(...).context))"
        )
    if context.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError("its context is for a client (PROTOCOL_TLS_CLIENT)")
    _set_alpn(context, tls)
    return context


def server_engine(tls: TLSOptions) -> Engine:
    """The engine of a server.

    :raises ValueError: see `server_context`.
    """
    with _changing:
        return Engine(server_context(tls), server_side=True)


def _set_alpn(context: ssl.SSLContext, tls: TLSOptions) -> None:
    if tls.alpn:
        context.set_alpn_protocols(tls.alpn)
