"""The `ssl.SSLContext` of a connection, and the `Engine` made from it."""

from __future__ import annotations

import functools
import ssl

from ..tls_options import TLSOptions
from .engine import Engine

__all__ = ["client_engine", "server_context", "server_engine"]


@functools.cache
def _default_context() -> ssl.SSLContext:
    """The context of clients that name none. Made once, since it reads the system's authorities."""
    try:
        import truststore
    except ImportError:
        return ssl.create_default_context()
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


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
    if tls.context is None:
        # It is everybody's who names none, so nothing of another connection may stay on it.
        context.set_alpn_protocols(tls.alpn)
    else:
        _set_alpn(context, tls)
    if name:
        # A link-local address has a zone, which is this machine's own; and a dot at the end of a
        # name is for the resolver alone (RFC 6066, 3).
        name = name.partition("%")[0].removesuffix(".")
    try:
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
            "a server of TLS needs a certificate; give its context in "
            "ConnectionOptions(tls=TLSOptions(context))"
        )
    if context.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError("its context is for a client (PROTOCOL_TLS_CLIENT)")
    _set_alpn(context, tls)
    return context


def server_engine(tls: TLSOptions) -> Engine:
    """The engine of a server.

    :raises ValueError: see `server_context`.
    """
    return Engine(server_context(tls), server_side=True)


def _set_alpn(context: ssl.SSLContext, tls: TLSOptions) -> None:
    if tls.alpn:
        context.set_alpn_protocols(tls.alpn)
