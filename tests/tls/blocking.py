"""A peer of `ssl` alone over a blocking socket, for a thread beside our loop."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from core.support import LIMIT
from halfclose import TLS
from halfclose.endpoints import Endpoint
from tls.support import NAME, client_context

__all__ = ["BlockingPeer", "dialed"]


def dialed(endpoint: Endpoint) -> socket.socket:
    """A socket connected to *endpoint*, which waits `LIMIT` seconds at most."""
    assert isinstance(endpoint, TLS)
    return socket.create_connection((endpoint.host, endpoint.port), timeout=LIMIT)


class BlockingPeer:
    """A client of *endpoint*, after its handshake."""

    def __init__(self, endpoint: Endpoint, version: ssl.TLSVersion | None = None) -> None:
        self.sock = dialed(endpoint)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = client_context(version).wrap_bio(
            self._incoming, self._outgoing, server_hostname=NAME
        )
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self._fetch()
        self.flush()

    def flush(self) -> None:
        self.sock.sendall(self._outgoing.read())

    def _fetch(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError("the other side has ended its stream")
        self._incoming.write(data)

    def send(self, data: bytes) -> None:
        self.tls.write(data)
        self.flush()

    def end_write(self) -> None:
        """Send close_notify."""
        with suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()

    def read(self) -> bytes:
        """The next data; ``b""`` at the other side's close_notify."""
        while True:
            try:
                return self.tls.read(1 << 16)
            except ssl.SSLWantReadError:
                self._fetch()
            except ssl.SSLZeroReturnError:
                return b""

    def read_all(self) -> bytes:
        """All data until the other side's close_notify."""
        data = bytearray()
        while piece := self.read():
            data += piece
        return bytes(data)

    def __enter__(self) -> BlockingPeer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()
