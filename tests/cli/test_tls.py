"""``run``, ``listen`` and ``connect`` over TLS."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli.issuing import Files, issue, server_context
from cli.support import (
    ECHO,
    LIMIT,
    Command,
    halfclose_,
    read_all,
    read_to_end,
    refusing,
    running,
    serving,
    start,
)
from cli.terminal import Terminal
from cryptography import x509
from tls.issuing import Office
from warm import PROGRAM

SUM = "halfclose.examples:Sum"
MIB = 1 << 20


@contextmanager
def server(*options: str, protocol: str = SUM, endpoint: str = "tls:127.0.0.1:0") -> Iterator[str]:
    """``halfclose run``; the endpoint of a client."""
    with start("run", protocol, endpoint, *options) as command:
        yield command.endpoint()
        command.send(signal.SIGTERM)
        assert command.finish().status == 0


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return issue(tmp_path)


def secured(endpoint: str) -> str:
    """The endpoint of TLS where a plain listener is."""
    return endpoint.replace("tcp:", "tls:")


@pytest.mark.thorough
def test_half_closes_in_both_directions(variant: str, files: Files) -> None:
    data = os.urandom(MIB)
    with server("--cert", files.both, "--backend", variant) as endpoint:
        result = halfclose_("connect", endpoint, "--ca", files.ca, "--backend", variant, data=data)
    assert result == (0, hashlib.sha256(data).hexdigest().encode() + b"\n", "")


def test_over_a_unix_socket(tmp_path: Path, files: Files) -> None:
    with server(
        *("--cert", files.cert, "--key", files.key, "--unix-mode", "600"),
        endpoint=f"tls+unix:{tmp_path}/s",
    ) as endpoint:
        result = halfclose_(
            *("connect", endpoint, "--ca", files.ca, "--server-name", "localhost"), data=b"x"
        )
    assert result == (0, hashlib.sha256(b"x").hexdigest().encode() + b"\n", "")


def test_listen_and_connect(files: Files) -> None:
    with (
        start("listen", "tls:127.0.0.1:0", "--cert", files.both) as listener,
        start("connect", listener.endpoint(), "--ca", files.ca) as client,
    ):
        client.stdin.write(b"question")
        client.stdin.close()
        client.process.stdin = None
        assert listener.stdout.read(100) == b"question"
        assert listener.stdout.read(1) == b""
        assert listener.finish(b"answer").status == 0
        assert client.finish() == (0, b"answer", "")


def test_verbose_tells_what_was_negotiated(files: Files) -> None:
    with server("--cert", files.both, "--alpn", "h2", "--alpn", "x") as endpoint:
        result = halfclose_(
            *("connect", endpoint, "--ca", files.ca, "-v", "--alpn", "y", "--alpn", "x")
        )
    lines = result.err.splitlines()
    assert result.status == 0
    assert lines[1].startswith("TLSv1.3, TLS_")
    assert lines[1].endswith(", protocol x")
    assert lines[2].startswith("certificate of O=trustme")
    assert lines[3] == "certificate for DNS:localhost, IP Address:127.0.0.1"
    assert lines[4].startswith("certificate by O=trustme")
    assert re.fullmatch(r"certificate expires .* GMT, in \d+ days", lines[5])


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def test_a_certificate_that_expires_soon_is_a_warning(tmp_path: Path) -> None:
    files = issue(tmp_path, until=in_days(5.5))
    with server("--cert", files.both) as endpoint:
        result = halfclose_(
            "connect", endpoint, "--ca", files.ca, "-v", "--server-name", "localhost"
        )
    assert result.status == 0
    assert re.search(r"^WARNING: certificate expires .* GMT, in 5 days$", result.err, re.MULTILINE)


def test_insecure_is_loud_each_time(files: Files) -> None:
    with server("--cert", files.both) as endpoint:
        result = halfclose_("connect", endpoint, "--insecure", data=b"x")
    assert result.status == 0
    assert result.out == hashlib.sha256(b"x").hexdigest().encode() + b"\n"
    assert result.problem.startswith(
        f"halfclose: WARNING: --insecure: nobody knows who answers at {endpoint}"
    )


# -- who is not trusted ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("unknown", "certificate was not accepted: unable to get local issuer certificate"),
        ("other", "Hostname mismatch, certificate is not valid for 'localhost'"),
        ("expired", "certificate was not accepted: certificate has expired"),
    ],
)
def test_a_bad_certificate(kind: str, said: str, tmp_path: Path) -> None:
    files = issue(
        tmp_path,
        *(("example.org",) if kind == "other" else ()),
        until=in_days(-1) if kind == "expired" else None,
    )
    if kind == "unknown":
        # Another authority comes into the place of its own.
        Office(tmp_path)

    def behave(sock: socket.socket) -> None:
        with pytest.raises(ssl.SSLError):
            server_context(files).wrap_socket(sock, server_side=True)

    with serving(behave) as endpoint:
        where = secured(endpoint).replace("127.0.0.1", "localhost")
        result = halfclose_("connect", where, "--ca", files.ca, data=b"secret")
    assert (result.status, result.out) == (1, b"")
    assert result.problem.startswith(f"halfclose: cannot connect to {where}: ")
    assert said in result.problem


def test_a_server_without_tls() -> None:
    def behave(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        assert b"secret" not in read_all(sock)

    with serving(behave) as endpoint:
        where = secured(endpoint)
        result = halfclose_("connect", where, "--insecure", data=b"secret")
    lines = result.err.splitlines()
    assert (result.status, result.out, len(lines)) == (1, b"", 2)
    assert lines[1].startswith(f"halfclose: cannot connect to {where}: ")


def test_nobody_listens() -> None:
    with refusing() as endpoint:
        result = halfclose_("connect", secured(endpoint))
    assert result.status == 1
    assert "refused" in result.problem


def test_a_client_without_tls_does_not_end_the_wait(files: Files) -> None:
    with start(
        "listen", "tls:127.0.0.1:0", "--cert", files.both, stdin=subprocess.DEVNULL
    ) as listener:
        endpoint = listener.endpoint()
        host, port = endpoint.split(":")[1:]
        with socket.create_connection((host, int(port)), timeout=LIMIT) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            read_all(plain)
        listener.wait_for("the TLS handshake with tcp:127.0.0.1:")
        assert halfclose_("connect", endpoint, "--ca", files.ca, data=b"x").status == 0
        result = listener.finish()
        assert (result.status, result.out) == (0, b"x")


# -- certificates of clients, passphrases ------------------------------------------------------


def test_certificates_of_clients(tmp_path: Path, files: Files) -> None:
    with server("--cert", files.both, "--client-ca", files.ca) as endpoint:
        with_one = halfclose_(
            *("connect", endpoint, "--ca", files.ca, "--cert", files.cert, "--key", files.key),
            data=b"x",
        )
        without = halfclose_("connect", endpoint, "--ca", files.ca, data=b"x")
    assert with_one == (0, hashlib.sha256(b"x").hexdigest().encode() + b"\n", "")
    assert (without.status, without.out) == (1, b"")
    assert f"{endpoint} lost: " in without.problem
    assert "certificate required" in without.problem


@pytest.fixture
def encrypted(tmp_path: Path) -> Files:
    """The key needs a passphrase."""
    return issue(tmp_path, password=b"sesame")


def test_a_passphrase_in_a_file(tmp_path: Path, encrypted: Files) -> None:
    (tmp_path / "phrase").write_text("sesame\nanother line\n")
    own = ("--cert", encrypted.cert, "--key", encrypted.key)
    with server(*own, "--passphrase-file", str(tmp_path / "phrase")) as endpoint:
        assert halfclose_("connect", endpoint, "--ca", encrypted.ca).status == 0
    (tmp_path / "phrase").write_text("wrong\n")
    listen = ("listen", "tls:127.0.0.1:0", *own, "--passphrase-file")
    wrong = halfclose_(*listen, str(tmp_path / "phrase"))
    missing = halfclose_(*listen, str(tmp_path / "none"))
    nobody = halfclose_(*listen[:-1], start_new_session=True)
    assert [each.status for each in (wrong, missing, nobody)] == [2, 2, 2]
    assert encrypted.key in wrong.problem
    assert str(tmp_path / "none") in missing.problem
    assert encrypted.key in nobody.problem
    assert "--passphrase-file FILE" in nobody.problem


def at_a_terminal(*arguments: str) -> tuple[str, ...]:
    """The words that run ``halfclose`` in a session whose terminal is its standard output."""
    become = "import fcntl, os, sys, termios; fcntl.ioctl(1, termios.TIOCSCTTY, 0); "
    return (
        sys.executable,
        "-c",
        f"{become}os.execv(sys.argv[1], sys.argv[1:])",
        PROGRAM,
        *arguments,
    )


@contextmanager
def at_the_prompt(terminal: Terminal, files: Files) -> Iterator[Command]:
    """A server that asks at *terminal* for the passphrase of its key."""
    words = ("listen", "tls:127.0.0.1:0", "--cert", files.cert, "--key", files.key)
    process = subprocess.Popen(
        at_a_terminal(*words),
        stdin=subprocess.DEVNULL,
        stdout=terminal.program,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with running(process) as command:
        terminal.wait_for(f"Passphrase of {files.key}: ")
        yield command


@pytest.mark.thorough
def test_a_passphrase_is_asked_for_at_the_terminal(encrypted: Files) -> None:
    with Terminal() as terminal:
        with at_the_prompt(terminal, encrypted) as command:
            terminal.press(b"sesame\n")
            endpoint = command.endpoint()
            assert halfclose_("connect", endpoint, "--ca", encrypted.ca).status == 0
            assert command.finish().status == 0
        assert "sesame" not in terminal.rest()


@pytest.mark.thorough
def test_an_interrupt_at_the_prompt_leaves_the_terminal_as_it_was(encrypted: Files) -> None:
    with Terminal() as terminal:
        before = termios.tcgetattr(terminal.program)
        with at_the_prompt(terminal, encrypted) as command:
            assert termios.tcgetattr(terminal.program) != before
            terminal.press(b"\x03")
            result = command.end()
        assert termios.tcgetattr(terminal.program) == before
    assert (result.status, result.err) == (-signal.SIGINT, "")


# -- certificates that are reloaded ------------------------------------------------------------


def subject_of(endpoint: str) -> str:
    """For whom the certificate is that a server shows now."""
    host, port = endpoint.split(":")[1:]
    pem = ssl.get_server_certificate((host, int(port)), timeout=LIMIT)
    names = x509.load_pem_x509_certificate(pem.encode()).extensions
    found = names.get_extension_for_class(x509.SubjectAlternativeName).value
    return ", ".join(found.get_values_for_type(x509.DNSName))


@pytest.mark.thorough
def test_a_hangup_reloads_the_certificates_of_a_server(
    variant: str, tmp_path: Path, files: Files
) -> None:
    with start(
        "run", SUM, "tls:127.0.0.1:0", "--cert", files.both, "--backend", variant
    ) as command:
        endpoint = command.endpoint()
        assert subject_of(endpoint) == "localhost"
        issue(tmp_path, "new.example.org")
        command.send(signal.SIGHUP)
        command.wait_for("certificates reloaded")
        assert subject_of(endpoint) == "new.example.org"
        Path(files.both).write_text("nothing")
        command.send(signal.SIGHUP)
        said = command.wait_for("certificates not reloaded, the old ones stay: ")
        assert files.both in said
        assert subject_of(endpoint) == "new.example.org"
        command.send(signal.SIGTERM)
        assert command.finish().status == 0


def test_a_hangup_reloads_the_certificates_of_listen(tmp_path: Path, files: Files) -> None:
    with start(
        "listen", "tls:127.0.0.1:0", "--cert", files.both, stdin=subprocess.DEVNULL
    ) as command:
        endpoint = command.endpoint()
        issue(tmp_path, "new.example.org")
        command.send(signal.SIGHUP)
        command.wait_for("certificates reloaded")
        name = ("--server-name", "new.example.org")
        assert halfclose_("connect", endpoint, "--ca", files.ca, *name).status == 0
        assert command.finish().status == 0


def ignore_hangups() -> None:
    """What ``nohup`` does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@pytest.mark.thorough
@pytest.mark.parametrize("before", [None, ignore_hangups], ids=["", "nohup"])
def test_a_closed_terminal_ends_a_server_without_nohup(
    before: Callable[[], None] | None, files: Files
) -> None:
    with Terminal() as terminal:
        process = subprocess.Popen(
            at_a_terminal("run", SUM, "tls:127.0.0.1:0", "--cert", files.both),
            stderr=subprocess.PIPE,
            stdout=terminal.program,
            start_new_session=True,
            preexec_fn=before,
        )
        with running(process) as command:
            endpoint = command.endpoint()
            terminal.close()
            if before is None:
                assert process.wait(LIMIT) == -signal.SIGHUP
            else:
                command.wait_for("certificates reloaded")
                assert halfclose_("connect", endpoint, "--ca", files.ca).status == 0
                command.send(signal.SIGTERM)
                assert process.wait(LIMIT) == 0


# -- truncation --------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["error", "eof"])
def test_an_end_without_the_end_of_tls(option: str, files: Files) -> None:
    def behave(sock: socket.socket) -> None:
        with server_context(files).wrap_socket(sock, server_side=True) as secure:
            secure.sendall(b"all of it?")
            plain = socket.socket(fileno=secure.detach())
        with plain:
            plain.settimeout(LIMIT)
            plain.shutdown(socket.SHUT_WR)
            read_to_end(plain)

    with serving(behave) as endpoint:
        result = halfclose_(
            *("connect", secured(endpoint), "--ca", files.ca, "--truncation", option)
        )
    assert result.out == b"all of it?"
    if option == "eof":
        assert (result.status, result.err) == (0, "")
    else:
        assert result.status == 1
        assert "without close_notify, the end of its TLS" in result.problem


# -- openssl -----------------------------------------------------------------------------------


@contextmanager
def openssl(*words: str) -> Iterator[Command]:
    """The program openssl, gone at the end of the block."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(["openssl", *words], bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe)
    with running(process) as command:
        yield command


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.mark.thorough
@needs_openssl
@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_page_of_openssl_s_server(version: str, files: Files) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    words = f"s_server -accept 127.0.0.1:{port} -www -{version} -alpn http/1.0"
    with openssl(*words.split(), "-cert", files.cert, "-key", files.key) as command:
        # It prints ACCEPT when it listens.
        while command.line() != "ACCEPT":
            pass
        result = halfclose_(
            *("connect", f"tls:localhost:{port}", "--ca", files.ca, "-v", "--alpn", "http/1.0"),
            data=b"GET / HTTP/1.0\r\n\r\n",
        )
    assert result.status == 0, result.err
    assert b"HTTP/1.0 200 ok" in result.out
    assert b"</HTML>" in result.out.upper()
    assert "protocol http/1.0" in result.err


@pytest.mark.thorough
@needs_openssl
@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_answer_to_openssl_s_client(version: str, files: Files) -> None:
    with server("--cert", files.both, protocol=ECHO) as endpoint:
        address = endpoint.removeprefix("tls:")
        words = f"s_client -connect {address} -{version} -quiet -verify_return_error"
        named = ("-CAfile", files.ca, "-servername", "localhost")
        with openssl(*words.split(), *named) as command:
            command.stdin.write(b"there and back\n")
            assert command.line() == "there and back"
