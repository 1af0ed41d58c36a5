"""TLS of one connection as bytes in and bytes out, over the standard library's `ssl`.

The engine does no input or output. It is given what came from the network, and gives what is to be
sent. It knows the traps of OpenSSL and of Python's `ssl`, so that nothing above has to:

- *Our end is one alert.* ``unwrap`` sends close_notify, and then tries to read the peer's. A record
  that waits to be read makes that fail for good. So what waits is taken out of the BIO for a
  moment (TLS-06), and "want read" means success.
- *The BIO for input is never told of the end of the connection.* OpenSSL counts a bare end as a
  fatal error, after which nothing can be written. Who feeds the engine knows of the end anyway.
- *The options of the context matter.* ``OP_IGNORE_UNEXPECTED_EOF``, which Python sets, makes
  OpenSSL forget that close_notify was sent. Without ``OP_NO_RENEGOTIATION`` a write may have to
  wait for the peer.
- *A BIO never shrinks.* So both get and give no more than `PIECE` bytes at a time.
- *After our close_notify nothing more may be sent*, although OpenSSL would answer some messages
  (TLS-07).
"""

from __future__ import annotations

import ssl

from ..tls_options import Certificate, TLSInfo
from .errors import clarify
from .hello import UNREADABLE, Hellos
from .parsing import parsed
from .resuming import is_for

__all__ = ["PIECE", "Engine"]

PIECE = 20 * 1024
"""Bytes that a BIO holds at most. It takes a third more for them, and keeps that (TLS-21)."""

_READ = 64 * 1024
"""Bytes that a read asks for. With more than a record holds, nothing stays inside OpenSSL."""


class Engine(TLSInfo):
    """One side of TLS.

    :param context: certificates, versions and ciphers.
    :param server_side: whether this is the server.
    :param server_hostname: the name that a client asks for, and for which it checks the
        certificate.
    :param session: a session that a client resumes.
    :raises ValueError: the context checks host names, and there is none.
    """

    __slots__ = (
        "_asked_for",
        "_checks_name",
        "_hellos",
        "_muted",
        "_object",
        "_read",
        "_server_side",
        "_write",
        "incoming",
        "outgoing",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        # Whether they are empty is looked at for each message, for which a method costs too much.
        self.incoming: ssl.MemoryBIO = ssl.MemoryBIO()
        """What came from the network, to be written up to `PIECE` bytes at a time."""
        self.outgoing: ssl.MemoryBIO = ssl.MemoryBIO()
        """What is to be sent; only looked at, since `produced` takes it."""
        self._server_side = server_side
        self._muted = False
        # What a client sends until the handshake is over, with the name that it asks for.
        self._hellos: Hellos | None = Hellos() if server_side else None
        self._asked_for: str | None = None
        self._checks_name = not server_side and context.check_hostname
        before = context.options
        context.options = (before | ssl.OP_NO_RENEGOTIATION) & ~_IGNORE_UNEXPECTED_EOF
        try:
            self._object = context.wrap_bio(
                self.incoming, self.outgoing, server_side, server_hostname, session
            )
        finally:
            # The context may serve other libraries too.
            context.options = before
        self._read = self._object.read
        self._write = self._object.write

    # -- input ---------------------------------------------------------------------------------

    def note_hello(self, data: bytes) -> None:
        """Note what came before the handshake was over, in which a client names the server."""
        if self._hellos is not None:
            self._hellos.passed(data)

    def handshake(self) -> bool:
        """Go on with the handshake, and return whether it is over.

        :raises ssl.SSLError: it failed. `produced` may give an alert for the peer.
        """
        try:
            self._refuse_unreadable_name()
            self._object.do_handshake()
            self._refuse_session_of_another()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            clarify(error)
            raise
        hellos, self._hellos = self._hellos, None
        if hellos is not None:
            self._asked_for = hellos.name
        return True

    def _refuse_unreadable_name(self) -> None:
        """Refuse a client that asks for a name that is not ASCII.

        If the context has a callback for the name, Python cannot call it, and prints a traceback.

        :raises ssl.SSLError: there is such a name.
        """
        if self._hellos is not None and UNREADABLE in (self._hellos.name or ""):
            self.outgoing.write(_UNRECOGNIZED_NAME)
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the client asks for a name that is not ASCII")

    def _refuse_session_of_another(self) -> None:
        """Refuse a server that has resumed a session which was made with a server of another name.

        :raises ssl.SSLError: it is so.
        """
        name = self._object.server_hostname
        if not self._checks_name or name is None or not self._object.session_reused:
            return
        if not is_for(self._object.getpeercert() or {}, name):
            # Else this server would be told that the handshake is over.
            self.outgoing.read()
            raise ssl.SSLError(
                ssl.SSL_ERROR_SSL,
                f"TLSOptions.session was made with a server that is not {name}",
            )

    def decrypt(self) -> bytes | None:
        """The data of the next record; ``b""`` at the peer's close_notify; None: there is none yet.

        :raises ssl.SSLError: the connection is broken. `produced` may give an alert for the peer.
        """
        try:
            return self._read(_READ)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            # The peer's close_notify comes so once ours was sent.
            return b""
        except ssl.SSLError as error:
            clarify(error)
            raise

    # -- output --------------------------------------------------------------------------------

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """The records to send for *data*, up to `PIECE` bytes.

        :raises ssl.SSLError: the connection is broken.
        """
        try:
            self._write(data)
        except ssl.SSLError as error:
            clarify(error)
            raise
        return self.outgoing.read()

    def end(self) -> bytes:
        """The close_notify to send. Called once, after the handshake. Nothing follows it."""
        kept = self.incoming.read()
        try:
            self._object.unwrap()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            clarify(error)
            raise
        finally:
            self.incoming.write(kept)
        alert = self.outgoing.read()
        self._muted = True
        return alert

    def produced(self) -> bytes:
        """What the engine has to say of itself: answers, tickets, alerts; ``b""`` if nothing."""
        if not self.outgoing.pending:
            return b""
        said = self.outgoing.read()
        return b"" if self._muted else said

    # -- what is known -------------------------------------------------------------------------

    @property
    def version(self) -> str:
        return self._object.version() or ""

    @property
    def cipher(self) -> str:
        found = self._object.cipher()
        return found[0] if found else ""

    @property
    def alpn(self) -> str | None:
        return self._object.selected_alpn_protocol()

    @property
    def server_hostname(self) -> str | None:
        return self._asked_for if self._server_side else self._object.server_hostname

    @property
    def certificate(self) -> Certificate | None:
        der = self._object.getpeercert(True)
        if der is None:
            return None
        # It tells nothing of a certificate that it has not checked.
        return Certificate(der, self._object.getpeercert() or parsed(der))

    @property
    def session(self) -> ssl.SSLSession | None:
        return None if self._server_side else self._object.session

    @property
    def resumed(self) -> bool:
        return bool(self._object.session_reused)


_IGNORE_UNEXPECTED_EOF = getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", ssl.Options(0))

_UNRECOGNIZED_NAME = b"\x15\x03\x03\0\x02\x02\x70"
"""The record of the fatal alert of that name."""
