"""``halfclose connect --starttls``."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.issuing import Files, issue, server_context
from cli.support import halfclose_, read_all, refusing, running, serving

SMTP = (
    (b"", b"220 mail.example.org\r\n"),
    (b"EHLO [127.0.0.1]\r\n", b"250-mail.example.org\r\n250 STARTTLS\r\n"),
    (b"STARTTLS\r\n", b"220 begin\r\n"),
)
POSTGRES = ((b"\0\0\0\x08\x04\xd2\x16/", b"S"),)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return issue(tmp_path)


def exact(sock: socket.socket, size: int) -> bytes:
    """Read that many bytes, or up to the end of stream."""
    return sock.recv(size, socket.MSG_WAITALL)


def talk(sock: socket.socket, script: tuple[tuple[bytes, bytes], ...]) -> None:
    """Say what *script* says: each time what is asked, and what is answered."""
    for asked, answer in script:
        assert exact(sock, len(asked)) == asked
        sock.sendall(answer)


def answering(
    files: Files, script: tuple[tuple[bytes, bytes], ...]
) -> Callable[[socket.socket], object]:
    """A server that begins TLS after *script*, and answers one line over it."""

    def behave(sock: socket.socket) -> None:
        talk(sock, script)
        with server_context(files).wrap_socket(sock, server_side=True) as secure:
            assert secure.recv(100) == b"question"
            # The end of stream of TLS, while its connection goes on.
            assert secure.recv(100) == b""
            secure.sendall(b"answer")
            secure.unwrap()

    return behave


@pytest.mark.parametrize("script", [SMTP, POSTGRES], ids=["smtp", "postgres"])
def test_tls_begins_after_the_preamble(
    script: tuple[tuple[bytes, bytes], ...], files: Files
) -> None:
    name = "smtp" if script is SMTP else "postgres"
    with serving(answering(files, script)) as endpoint:
        result = halfclose_(
            *("connect", endpoint, "--starttls", name, "--ca", files.ca, "-v"), data=b"question"
        )
    assert (result.status, result.out) == (0, b"answer"), result.err
    assert "certificate for DNS:localhost" in result.err


@pytest.mark.thorough
def test_on_every_loop(variant: str, files: Files) -> None:
    with serving(answering(files, SMTP)) as endpoint:
        result = halfclose_(
            *("connect", endpoint, "--starttls", "smtp", "--ca", files.ca, "--backend", variant),
            data=b"question",
        )
    assert result == (0, b"answer", "")


def fails(behave: Callable[[socket.socket], object], *options: str) -> str:
    """The message of a client whose server does *behave*; no input has left it."""

    def watched(sock: socket.socket) -> None:
        behave(sock)
        try:
            assert b"secret" not in read_all(sock)
        except ConnectionResetError:
            pass

    with serving(watched) as endpoint:
        result = halfclose_(*("connect", endpoint, "--starttls", "smtp", *options), data=b"secret")
    assert (result.status, result.out) == (1, b"")
    start = f"halfclose: cannot connect to {endpoint}: "
    assert result.problem.startswith(start)
    return result.problem.removeprefix(start)


def test_a_server_that_refuses() -> None:
    def behave(sock: socket.socket) -> None:
        talk(sock, (*SMTP[:2], (b"STARTTLS\r\n", b"454 not now\r\n")))

    assert fails(behave) == "the server answered '454 not now'"


def test_a_server_that_ends() -> None:
    def behave(sock: socket.socket) -> None:
        talk(sock, SMTP[:1])
        sock.shutdown(socket.SHUT_WR)

    assert fails(behave) == "the server ended the connection before TLS"


def test_a_server_that_says_nothing() -> None:
    assert fails(lambda sock: None, "--timeout", "0.3") == "TLS had not begun after 0.3 s"


def test_a_server_that_says_too_much() -> None:
    def behave(sock: socket.socket) -> None:
        sock.sendall(b"220-" + b"x" * 70_000)

    assert fails(behave) == "the server says too much before TLS"


def test_what_is_injected_does_not_count_as_encrypted() -> None:
    def behave(sock: socket.socket) -> None:
        talk(sock, (*SMTP[:2], (b"STARTTLS\r\n", b"220 begin\r\n250 injected\r\n")))

    assert fails(behave) == "the server said something between its answer and TLS"


def test_a_certificate_that_is_not_trusted(files: Files) -> None:
    def behave(sock: socket.socket) -> None:
        talk(sock, SMTP)
        with (
            pytest.raises(ssl.SSLError),
            server_context(files).wrap_socket(sock.dup(), server_side=True),
        ):
            pass

    assert "unable to get local issuer certificate" in fails(behave)


def test_nobody_listens() -> None:
    with refusing() as endpoint:
        result = halfclose_("connect", endpoint, "--starttls", "imap")
    assert result.status == 1
    assert "refused" in result.problem


TWISTED = """
import sys
from twisted.internet import protocol, reactor, ssl
from twisted.mail import imap4, smtp

kind, certificate, key = sys.argv[1:]
context = ssl.DefaultOpenSSLContextFactory(key, certificate)


class Factory(protocol.ServerFactory):
    def buildProtocol(self, address):
        made = {"smtp": smtp.ESMTP, "imap": imap4.IMAP4Server}[kind](contextFactory=context)
        made.factory, made.host = self, b"localhost"
        return made


print(reactor.listenTCP(0, Factory(), interface="127.0.0.1").getHost().port, flush=True)
reactor.run()
"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "asked", "answered"),
    [
        ("smtp", b"EHLO x\r\nQUIT\r\n", b"250 localhost Hello 127.0.0.1"),
        ("imap", b"a CAPABILITY\r\nb LOGOUT\r\n", b"a OK CAPABILITY completed"),
    ],
)
def test_servers_of_twisted(kind: str, asked: bytes, answered: bytes, files: Files) -> None:
    pytest.importorskip("twisted.mail.smtp")
    process = subprocess.Popen(
        [sys.executable, "-c", TWISTED, kind, files.cert, files.key],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with running(process) as server:
        endpoint = f"tcp:127.0.0.1:{server.line()}"
        result = halfclose_(
            *("connect", endpoint, "--starttls", kind, "--ca", files.ca), data=asked
        )
    assert (result.status, result.err) == (0, "")
    assert answered in result.out
