"""The options of TLS, and what is known of a connection's TLS.

Neither imports `ssl`, which costs memory and time that a program without TLS does not owe.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .checking import seconds

if TYPE_CHECKING:
    import ssl
    from datetime import datetime

__all__ = ["HANDSHAKE_TIMEOUT", "Certificate", "TLSInfo", "TLSOptions"]

HANDSHAKE_TIMEOUT = 30.0
"""Seconds that a handshake may take."""


@dataclass(frozen=True)
class TLSOptions:
    """How TLS is spoken, for `ConnectionOptions.tls` and `Transport.startTLS`.

    :param context: certificates, versions and ciphers, as for every library that uses `ssl`. For a
        client, by default one that checks the server's certificate by the system's authorities,
        which on macOS needs the library ``truststore`` of the extra ``halfclose[tls]``;
        `halfclose.tls.client_context` makes others. A server needs one with a certificate, as
        `halfclose.tls.Certificates` has it.
    :param server_hostname: the name for which a client checks the certificate, and which it sends
        to the server; by default the host of the endpoint.
    :param alpn: the protocols of the application that we speak, such as ``("h2", "http/1.1")``, the
        best first. If it is not empty, it replaces those of *context*, for good. So two servers
        that speak different ones need two contexts.
    :param session: a client's `TLSInfo.session` of an earlier connection with the same context, to
        be resumed. If the context checks names, the handshake fails unless the certificate of that
        connection is for this one's name too.
    :param truncation: what an end of stream of the connection below, without a close_notify before
        it, means: ``"error"``: the connection is lost, with a `TruncatedError` as the cause,
        because an attacker can end a connection so; ``"eof"``: at the end of a record it counts as
        the peer's end, for protocols that say themselves where their messages end.
    :param handshake_timeout: seconds that the handshake may take. ``connect`` has its own timeout
        besides.
    :raises TypeError: *context* is no `ssl.SSLContext`, *server_hostname* or a name of *alpn* is no
        string, *alpn* is one, *session* is no `ssl.SSLSession`, or the timeout is no number.
    :raises ValueError: *server_hostname* can be no name of a host, a name of *alpn* is not of 1 to
        255 ASCII characters, *truncation* is another word, or the timeout is negative.
    """

    context: ssl.SSLContext | None = None
    server_hostname: str | None = None
    alpn: tuple[str, ...] = ()
    # A session has no hash.
    session: ssl.SSLSession | None = field(default=None, hash=False)
    truncation: Literal["error", "eof"] = "error"
    handshake_timeout: float = HANDSHAKE_TIMEOUT

    def __post_init__(self) -> None:
        if self.context is not None:
            _check_context(self.context)
        if self.server_hostname is not None:
            _check_name(self.server_hostname)
        if isinstance(self.alpn, (str, bytes)):
            raise TypeError(f"alpn is a tuple of names, not {self.alpn!r}")
        object.__setattr__(self, "alpn", tuple(self.alpn))
        for name in self.alpn:
            if not isinstance(name, str):
                raise TypeError(f"a name of alpn is a string, not {name!r}")
            if not name.isascii() or not 0 < len(name) < 256:
                raise ValueError(f"a name of alpn has 1 to 255 ASCII characters, unlike {name!r}")
        if self.session is not None:
            _check_session(self.session)
        if self.truncation not in ("error", "eof"):
            raise ValueError(f"truncation is 'error' or 'eof', not {self.truncation!r}")
        seconds("handshake_timeout", self.handshake_timeout)


_OF_PYOPENSSL = ("set_info_callback", "getContext", "clientConnectionForTLS")
"""Methods by which a context of pyOpenSSL is known, and the options that make one."""


def _check_context(context: object) -> None:
    import ssl

    if isinstance(context, ssl.SSLContext):
        return
    hint = ""
    if any(hasattr(context, name) for name in _OF_PYOPENSSL):
        hint = "; the contexts and options of pyOpenSSL cannot be used here"
    raise TypeError(f"context is an ssl.SSLContext, not {context!r}{hint}")


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"server_hostname is a string, not {name!r}")
    if not name or name.startswith(".") or not name.isprintable() or " " in name:
        raise ValueError(f"server_hostname {name!r} is no name of a host")


def _check_session(session: object) -> None:
    import ssl

    if not isinstance(session, ssl.SSLSession):
        raise TypeError(f"session is what TLSInfo.session gives, not {session!r}")


@dataclass(frozen=True)
class Certificate:
    """A certificate of the peer.

    :param der: the certificate itself, in DER.
    :param parsed: what it says, as `ssl.SSLSocket.getpeercert` gives it; None if the certificate
        was not checked, and the library ``cryptography``, which can parse it, is not installed.
    """

    der: bytes
    parsed: Mapping[str, Any] | None

    @property
    def expires(self) -> datetime | None:
        """Until when the certificate is valid, with its time zone; None if `parsed` is None."""
        if self.parsed is None:
            return None
        import ssl
        from datetime import UTC, datetime

        return datetime.fromtimestamp(ssl.cert_time_to_seconds(self.parsed["notAfter"]), UTC)


class TLSInfo(ABC):
    """What is known of the TLS of a connection, after its handshake."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<TLSInfo {self.version} {self.cipher} alpn={self.alpn!r} resumed={self.resumed}>"

    @property
    @abstractmethod
    def version(self) -> str:
        """The version, such as ``"TLSv1.3"``."""

    @property
    @abstractmethod
    def cipher(self) -> str:
        """The cipher suite, by OpenSSL's name."""

    @property
    @abstractmethod
    def alpn(self) -> str | None:
        """The protocol of the application that both sides chose; None if they chose none."""

    @property
    @abstractmethod
    def server_hostname(self) -> str | None:
        """The name that the client asked for; None if it asked for none."""

    @property
    @abstractmethod
    def certificate(self) -> Certificate | None:
        """The peer's certificate; None if it showed none."""

    @property
    @abstractmethod
    def session(self) -> ssl.SSLSession | None:
        """What `TLSOptions.session` takes to resume this session; None for a server.

        In TLS 1.3 it can be resumed only once the first data of the server was received (TLS-19).
        """

    @property
    @abstractmethod
    def resumed(self) -> bool:
        """Whether an earlier session was resumed."""
