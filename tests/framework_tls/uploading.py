"""A client of TLS that uploads in a thread of its own, whatever the server does meanwhile."""

from __future__ import annotations

import select
import socket
import ssl
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import trustme

__all__ = ["NAME", "VERSIONS", "Contexts", "Found", "Uploader", "make_contexts"]

NAME = "localhost"

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

LIMIT = 20.0
"""Seconds that the client waits for anything."""

_PIECE = 64 * 1024


@dataclass(frozen=True)
class Contexts:
    """The two sides of one version of TLS, and the server's certificate in a file."""

    version: str
    server: ssl.SSLContext
    client: ssl.SSLContext
    pem: str


def make_contexts(version: str, pem: Path) -> Contexts:
    """Contexts for *version* alone. The server's key and certificate are written to *pem*."""
    authority = trustme.CA()
    issued = authority.issue_cert(NAME)
    issued.private_key_and_cert_chain_pem.write_to_path(str(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    for context in (server, client):
        context.minimum_version = context.maximum_version = VERSIONS[version]
        if hasattr(ssl, "OP_IGNORE_UNEXPECTED_EOF"):
            context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return Contexts(version, server, client, str(pem))


@dataclass
class Found:
    """What the client has seen until its end."""

    reply: bytearray
    uploaded: int = 0
    clean: bool = False
    """Whether the server's close_notify came."""
    end: BaseException | None = None
    """What ended the connection, if it was no end of stream."""


class Uploader(Thread):
    """Connects, asks, and uploads until it has read the server's close_notify.

    :param port: where the server listens on 127.0.0.1.
    :param context: that of a client.
    :param first: bytes that it uploads before it reads anything of the reply.
    :param goes_on: it uploads even after the server's close_notify, until the server resets it.
    """

    def __init__(
        self, port: int, context: ssl.SSLContext, *, first: int = 0, goes_on: bool = False
    ) -> None:
        super().__init__()
        self._port = port
        self._first = first
        self._goes_on = goes_on
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=NAME)
        self._found = Found(bytearray())
        self.found: Future[Found] = Future()
        """What it has seen, once it is over."""

    def run(self) -> None:
        try:
            with socket.create_connection(("127.0.0.1", self._port), LIMIT) as sock:
                self._shake_hands(sock)
                self._tls.write(b"?")
                sock.sendall(self._outgoing.read())
                sock.setblocking(False)
                try:
                    self._converse(sock)
                except OSError as error:
                    self._found.end = error
        except BaseException as error:
            self.found.set_exception(error)
        else:
            self.found.set_result(self._found)

    def _shake_hands(self, sock: socket.socket) -> None:
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(self._outgoing.read())
                self._incoming.write(sock.recv(_PIECE))
        sock.sendall(self._outgoing.read())

    def _converse(self, sock: socket.socket) -> None:
        found = self._found
        records = b""
        while True:
            reads = [sock] if found.uploaded >= self._first else []
            readable, writable, _ = select.select(reads, [sock], [], LIMIT)
            if not readable and not writable:
                raise TimeoutError("the server neither sends nor reads")
            if writable:
                if not records:
                    self._tls.write(b"u" * _PIECE)
                    records = self._outgoing.read()
                with suppress(BlockingIOError):
                    sent = sock.send(records, socket.MSG_NOSIGNAL)
                    records = records[sent:]
                    found.uploaded += sent
            if readable and not self._read(sock):
                return

    def _read(self, sock: socket.socket) -> bool:
        """Read once, and return whether to go on."""
        try:
            data = sock.recv(4 * _PIECE)
        except BlockingIOError:
            return True
        if not data:
            # Without a close_notify before it, the stream is truncated.
            return self._goes_on and self._found.clean
        self._incoming.write(data)
        try:
            while not self._found.clean:
                plain = self._tls.read(_PIECE)
                self._found.reply += plain
                self._found.clean = not plain
        except ssl.SSLWantReadError:
            return True
        except ssl.SSLZeroReturnError:
            self._found.clean = True
        return self._goes_on
