"""TLS of Twisted's between a channel and a plain socket, which the channel ends by itself.

``loseConnection`` sends the end of TLS, and then Twisted waits for the peer's for as long as the
peer likes, and decrypts what comes meanwhile. Nothing tells when everything is with the kernel. So
once that end has been handed over, the transport below gets a protocol of the channel's own in
place of TLS, and the channel goes on as over any plain socket: it waits until the transport's
buffer is empty, sends the end of stream, and lingers (END-01, END-02, END-07).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from zope.interface import alsoProvides

__all__ = ["TLSLayer", "plain_socket"]


def plain_socket(transport: Any) -> socket.socket | None:
    """The socket of *transport*, if bytes may be sent on the socket itself; None otherwise.

    They may not if the transport changes them. A class with a ``write`` of its own does, and a
    subclass of ``socket.socket`` may. A wrapper does not count as a socket either, although it
    provides the interfaces of the transport that it wraps.
    """
    return None if getattr(transport, "TLS", False) else _socket_below(transport)


def _socket_below(transport: Any) -> socket.socket | None:
    """The socket of *transport*, whatever ``startTLS`` has put above it."""
    if not isinstance(transport, Connection) or type(transport).write is not Connection.write:
        return None
    # Not the transport's own, which `startTLS` replaces.
    handle = Connection.getHandle(transport)
    return handle if type(handle) is socket.socket else None


class TLSLayer:
    """TLS over the transport *below*.

    :param tls: Twisted's ``TLSMemoryBIOProtocol``.
    :param below: the transport of the socket.
    :param sock: the socket.
    """

    def __init__(self, tls: Any, below: Any, sock: socket.socket) -> None:
        self._tls = tls
        self.below = below
        self.sock = sock
        # TLS tells of its handshake only what it calls directly.
        self._tells_handshake = hasattr(tls.wrappedProtocol, "handshakeCompleted")
        if self._tells_handshake:
            # Not by the class: a wrapper of Twisted's client endpoints provides only the last one
            # of the interfaces that it finds, and would end both halves then.
            alsoProvides(tls.wrappedProtocol, IHandshakeListener)

    @classmethod
    def of(cls, transport: Any) -> TLSLayer | None:
        """The TLS that *transport* is, or that it has begun by ``startTLS``.

        :returns: None if there is none, or none that is over a plain socket.
        """
        # TLS is there only if somebody has imported it, which needs pyOpenSSL.
        if "twisted.protocols.tls" not in sys.modules:
            return None
        from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOProtocol

        has_begun = isinstance(transport, Connection)
        tls: Any = getattr(transport, "protocol", None) if has_begun else transport
        if type(tls) not in (BufferingTLSTransport, TLSMemoryBIOProtocol):
            # A subclass may do anything with the bytes.
            return None
        below = transport if has_begun else tls.transport
        sock = _socket_below(below)
        return None if sock is None else cls(tls, below, sock)

    @property
    def is_closing(self) -> bool:
        """Whether Twisted closes by itself, and drops whatever is written: TLS has failed, or the
        peer has ended it, which ends both halves."""
        return bool(self.below.disconnecting) or not self.below.connected

    @property
    def shakes_hands(self) -> bool:
        """Whether the handshake goes on, and the protocol will be told when it is over."""
        handle = self._tls.getHandle()
        return self._tells_handshake and handle is not None and handle.get_peer_finished() is None

    def write(self, data: bytes) -> None:
        """Encrypt *data*, and give it to the transport below.

        Not by the ``write`` of Twisted's subclass. That one keeps small pieces until the next turn
        of the global reactor, which may be another than ours, and drops them if the peer's end of
        TLS comes in this turn.
        """
        from twisted.protocols.tls import TLSMemoryBIOProtocol

        TLSMemoryBIOProtocol.write(self._tls, data)

    def end(self, replace: Callable[[Any], Protocol]) -> bool:
        """Send the end of TLS, and put another protocol in its place above the transport.

        No producer may be registered.

        :param replace: makes that protocol, of the one which the transport had before.
        :returns: whether that was done; if not, Twisted closes by itself.
        """
        tls, below = self._tls, self.below
        if self.is_closing:
            return False
        tls.loseConnection()
        handle = tls.getHandle()
        if self.is_closing or handle is None or not handle.get_shutdown():
            # The handshake is not over, and Twisted has reset the connection.
            return False
        # TLS may be delivering input at this moment, and would close the transport at its end.
        tls.transport = _Nowhere()
        below.TLS = False
        below.protocol = replace(below.protocol)
        return True


class _Nowhere:
    """A transport for TLS that has been replaced."""

    def write(self, data: bytes) -> None:
        """Does nothing."""

    def loseConnection(self) -> None:
        """Does nothing."""
