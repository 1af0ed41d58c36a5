"""A peer over TLS that uploads in a thread of its own, whatever the other end does meanwhile."""

from __future__ import annotations

import select
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import trustme

__all__ = ["NAME", "VERSIONS", "Contexts", "Uploader", "make_contexts"]

NAME = "localhost"

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

LIMIT = 20.0
"""Seconds that the client waits for anything."""

_PIECE = 64 * 1024


@dataclass(frozen=True)
class Contexts:
    """The two sides of one version of TLS; the server's key and certificate, and the authority's
    certificate, in files."""

    version: str
    server: ssl.SSLContext
    client: ssl.SSLContext
    pem: str
    authority: str


def make_contexts(version: str, folder: Path) -> Contexts:
    """Contexts for *version* alone, with files in *folder*."""
    authority = trustme.CA()
    issued = authority.issue_cert(NAME)
    pem, trusted = str(folder / "server.pem"), str(folder / "authority.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(pem)
    authority.cert_pem.write_to_path(trusted)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    for context in (server, client):
        context.minimum_version = context.maximum_version = VERSIONS[version]
        if hasattr(ssl, "OP_IGNORE_UNEXPECTED_EOF"):
            context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return Contexts(version, server, client, pem, trusted)


class Uploader(Thread):
    """Connects, asks, uploads, and reads until the other end's close_notify.

    :param where: the port on 127.0.0.1 where the other end listens; or, as a server, the socket
        that listens for it.
    :param context: that of a client or a server.
    :param uploads: whether it sends anything after the one byte with which it asks.
    :param first: bytes that it uploads before it reads anything of the reply.
    :param goes_on: it uploads even after the other end's end, until that one resets the connection.
    :param stays: keeps the connection open until this is set.
    :param end: what follows the question in the same segment: "close_notify", a "bare" end of the
        stream, or such an end "inside" a record. Then nothing is uploaded.
    """

    def __init__(
        self,
        where: int | socket.socket,
        context: ssl.SSLContext,
        *,
        uploads: bool = True,
        first: int = 0,
        goes_on: bool = False,
        stays: Event | None = None,
        end: str | None = None,
    ) -> None:
        super().__init__()
        self._where = where
        self._uploads = uploads and end is None
        self._first = first
        self._goes_on = goes_on
        self._stays = stays
        self._end = end
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        serves = isinstance(where, socket.socket)
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, serves, None if serves else NAME
        )
        self.over = Event()
        self.reply = bytearray()
        """What the other end has sent."""
        self.clean = False
        """Whether its close_notify came."""
        self.error: BaseException | None = None
        """What ended the connection, if that was no end of the stream."""
        self.uploaded = 0

    def run(self) -> None:
        try:
            with self._connect() as sock:
                self._shake_hands(sock)
                self._ask(sock)
                sock.setblocking(False)
                self._converse(sock)
                if self._stays is not None:
                    self._stays.wait(LIMIT)
        except BaseException as error:
            self.error = error
        finally:
            self.over.set()

    def _connect(self) -> socket.socket:
        if isinstance(self._where, int):
            return socket.create_connection(("127.0.0.1", self._where), LIMIT)
        sock, _ = self._where.accept()
        sock.settimeout(LIMIT)
        return sock

    def _shake_hands(self, sock: socket.socket) -> None:
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(self._outgoing.read())
                self._incoming.write(sock.recv(_PIECE))
        sock.sendall(self._outgoing.read())

    def _ask(self, sock: socket.socket) -> None:
        self._tls.write(b"?")
        records = self._outgoing.read()
        if self._end == "close_notify":
            with suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
            records += self._outgoing.read()
        elif self._end == "inside":
            self._tls.write(b"and more")
            records += self._outgoing.read()[:-1]
        sock.sendall(records)
        if self._end in ("bare", "inside"):
            sock.shutdown(socket.SHUT_WR)

    def _converse(self, sock: socket.socket) -> None:
        records = b""
        # The handshake may have brought more.
        goes_on = self._decrypt()
        while goes_on:
            reads = [sock] if self.uploaded >= self._first else []
            writes = [sock] if self._uploads else []
            readable, writable, _ = select.select(reads, writes, [], LIMIT)
            if not readable and not writable:
                raise TimeoutError("the other end neither sends nor reads")
            if writable:
                if not records:
                    self._tls.write(b"u" * _PIECE)
                    records = self._outgoing.read()
                with suppress(BlockingIOError):
                    sent = sock.send(records, socket.MSG_NOSIGNAL)
                    records = records[sent:]
                    self.uploaded += sent
            if readable:
                goes_on = self._read(sock)

    def _read(self, sock: socket.socket) -> bool:
        """Read once, and return whether to go on."""
        try:
            data = sock.recv(4 * _PIECE)
        except BlockingIOError:
            return True
        if not data:
            return self._goes_on
        self._incoming.write(data)
        return self._decrypt()

    def _decrypt(self) -> bool:
        try:
            while not self.clean:
                plain = self._tls.read(_PIECE)
                self.reply += plain
                self.clean = not plain
        except ssl.SSLWantReadError:
            return True
        except ssl.SSLZeroReturnError:
            self.clean = True
        return not self.clean or self._goes_on
