"""``--starttls``: connects without TLS, asks the server to begin TLS, and begins it."""

from __future__ import annotations

from dataclasses import dataclass

from ..backend import Backend
from ..endpoints import TCP, Endpoint
from ..interfaces import HalfCloseableProtocol
from ..options import ConnectionOptions
from ..text import one_line
from ..tls_options import TLSOptions
from .preambles import Dialogue, Preamble, Refused
from .report import Problem

__all__ = ["StartTLS", "connect_and_start_tls"]

_MOST = 1 << 16
"""Bytes that a server may say before TLS."""


@dataclass(frozen=True)
class StartTLS:
    """How TLS is begun on a connection.

    :param preamble: what is said before.
    :param tls: the options of TLS, with the name of the server.
    """

    preamble: Preamble
    tls: TLSOptions


async def connect_and_start_tls(
    backend: Backend,
    endpoint: Endpoint,
    protocol: HalfCloseableProtocol,
    timeout: float,
    options: ConnectionOptions,
    starttls: StartTLS,
) -> None:
    """Connect, begin TLS, and give the connection to *protocol*. Until then nothing else is said.

    :param timeout: seconds for everything.
    :param options: of the connection.
    :param starttls: how TLS is begun.
    :raises ConnectError: the connection was not made.
    :raises Problem: the server did not begin TLS, or the handshake has failed.
    """
    end = backend.time() + timeout
    asking = _Asking(starttls, protocol, backend)
    await backend.connect(endpoint, lambda: asking, timeout, options)
    late = f"TLS had not begun after {timeout:g} s"
    timer = backend.call_later(max(0.0, end - backend.time()), asking.fail, late)
    await asking.over.wait()
    timer.cancel()
    if asking.failure is not None:
        raise Problem(f"cannot connect to {endpoint}: {asking.failure}")


class _Asking(HalfCloseableProtocol):
    """Holds the dialogue before TLS. After the handshake every event goes on to *inner*."""

    def __init__(self, starttls: StartTLS, inner: HalfCloseableProtocol, backend: Backend) -> None:
        self.over = backend.create_event()
        self.failure: str | None = None
        self._starttls = starttls
        self._inner = inner
        self._dialogue: Dialogue | None = None
        self._secured = False
        self._received = b""
        self._left = _MOST

    def connectionMade(self) -> None:
        host = self.transport.getHost()
        we = "localhost"
        if isinstance(host, TCP):
            address = f"IPv6:{host.host}" if ":" in host.host else host.host
            we = f"[{address.partition('%')[0]}]"
        they = self._starttls.tls.server_hostname or "localhost"
        self._dialogue = self._starttls.preamble.talk(we, they)
        self.transport.write(next(self._dialogue))

    def dataReceived(self, data: bytes) -> None:
        if self._secured:
            self._inner.dataReceived(data)
            return
        self._received += data
        self._left -= len(data)
        try:
            self._answer()
        except Refused as refused:
            self.fail(str(refused))
        else:
            if self._left < 0:
                self.fail("the server says too much before TLS")

    def _answer(self) -> None:
        """Answer each reply that is whole, and begin TLS after the last.

        :raises Refused: the server does not begin TLS.
        """
        while self._dialogue is not None:
            size = self._starttls.preamble.measure(self._received)
            if not size:
                return
            reply, self._received = self._received[:size], self._received[size:]
            try:
                said = self._dialogue.send(reply)
            except StopIteration:
                self._dialogue = None
                self._begin()
                return
            self.transport.write(said)

    def _begin(self) -> None:
        """Begin TLS.

        :raises Refused: the server has said more than its answer, or the options do not fit.
        """
        if self._received:
            # It has no reason to, and somebody in between would like it to count as encrypted.
            raise Refused("the server said something between its answer and TLS")
        try:
            self.transport.startTLS(self._starttls.tls)
        except ValueError as error:
            raise Refused(one_line(error)) from error

    def handshakeCompleted(self) -> None:
        self._secured = True
        self._inner.makeConnection(self.transport)
        self.over.set()

    def fail(self, why: str) -> None:
        """Give up, unless it is over."""
        if not self.over.is_set():
            self.failure = why
            self.over.set()
            self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        if self._secured:
            self._inner.readConnectionLost()
        else:
            self.fail("the server ended the connection before TLS")

    def writeConnectionLost(self) -> None:
        if self._secured:
            self._inner.writeConnectionLost()

    def connectionLost(self, reason: BaseException) -> None:
        if self._secured:
            self._inner.connectionLost(reason)
        else:
            self.fail(one_line(reason))
