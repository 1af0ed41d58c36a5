"""Peers that people use at a terminal: they pass on their input, and print what comes."""

from __future__ import annotations

import subprocess
from concurrent.futures import Future

from .peer import Peer, program
from .setting import ANSWER, REQUEST, Setting
from .user import through_pipes

__all__ = ["HTTP_TOOLS", "TOOLS"]


def _piped(setting: Setting, *arguments: object) -> Future[int]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return through_pipes(setting, program(setting, *arguments, **pipes))


def _openssl(setting: Setting) -> Future[int]:
    files = setting.credentials
    if setting.side == "server":
        keys = ("-cert", files / "certificate.pem", "-key", files / "key.pem")
        once = ("-accept", f"127.0.0.1:{setting.port}", "-naccept", 1)
        # Otherwise it may wait for the next record, and not see the end of its input.
        behave = ("-quiet", "-no_ign_eof", "-nbio")
        return _piped(setting, "openssl", "s_server", *behave, *once, *keys)
    checks = ("-CAfile", files / "ca.pem", "-verify_return_error", "-servername", "localhost")
    where = ("-connect", f"127.0.0.1:{setting.port}")
    # Quiet means to go on at the end of the input too, where it can do nothing but wait.
    return _piped(setting, "openssl", "s_client", "-quiet", "-no_ign_eof", *where, *checks)


def _gnutls_cli(setting: Setting) -> Future[int]:
    checks = ("--x509cafile", setting.credentials / "ca.pem", "--verify-hostname", "localhost")
    where = ("--sni-hostname", "localhost", "-p", setting.port, "127.0.0.1")
    quiet = ("--logfile", setting.folder / "log")
    return _piped(setting, "gnutls-cli", *quiet, *checks, *where)


def _gnutls_serv(setting: Setting) -> Future[int]:
    files = setting.credentials
    keys = (
        *("--x509certfile", files / "certificate.pem", "--x509keyfile", files / "key.pem"),
        "--disable-client-cert",
    )
    program(setting, "gnutls-serv", "--echo", "--quiet", "-p", setting.port, *keys)
    # It has no user.
    theirs: Future[int] = Future()
    theirs.set_result(0)
    return theirs


_LINES = (b"x" * 99 + b"\n") * (len(ANSWER) // 100)
"""As many bytes as an answer has, for who sends back each line."""


def _ncat(setting: Setting) -> Future[int]:
    files = setting.credentials
    if setting.side == "server":
        keys = ("--ssl-cert", files / "certificate.pem", "--ssl-key", files / "key.pem")
        return _piped(setting, "ncat", "-l", "127.0.0.1", setting.port, "--ssl", *keys)
    checks = ("--ssl-verify", "--ssl-trustfile", files / "ca.pem", "--ssl-servername", "localhost")
    return _piped(setting, "ncat", "--ssl", *checks, "127.0.0.1", setting.port)


def _curl(setting: Setting) -> Future[int]:
    where = f"https://localhost:{setting.port}/"
    checks = ("--cacert", setting.credentials / "ca.pem", "--ipv4", "--noproxy", "*")
    process = program(
        setting, "curl", "--silent", "--show-error", *checks, where, stdout=subprocess.PIPE
    )

    def count() -> int:
        body, _ = process.communicate()
        assert process.returncode == 0, (setting.folder / "said").read_text()
        return len(body)

    return setting.pool.submit(count)


TOOLS = (
    Peer("openssl", ("openssl",), "openssl", _openssl, ("openssl", "version")),
    Peer(
        "gnutls-cli",
        ("gnutls-cli",),
        "gnutls-bin",
        _gnutls_cli,
        ("gnutls-cli", "--version"),
        does=(("client", "answers"), ("client", "asks")),
    ),
    Peer(
        "gnutls-serv",
        ("gnutls-serv",),
        "gnutls-bin",
        _gnutls_serv,
        ("gnutls-serv", "--version"),
        does=(("server", "answers"),),
        question=_LINES,
    ),
    Peer("ncat", ("ncat",), "ncat", _ncat, ("ncat", "--version")),
)

HTTP_TOOLS = (
    Peer(
        "curl",
        ("curl",),
        "curl",
        _curl,
        ("curl", "--version"),
        does=(("client", "asks"),),
        http=True,
        question=REQUEST,
    ),
)
