"""Peers whose programs are in the folder ``programs``, one for each library."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from environment import environment

from .peer import Peer, program
from .setting import Part, Setting, Side

__all__ = ["FRAMEWORKS", "OWN_PROGRAMS"]

_SOURCES = Path(__file__).parent / "programs"
_COMPILED = Path(__file__).parents[2] / ".pytest_cache" / "tls_peers"


def _compiled(source: str, *compiler: str) -> Path:
    """The folder with what *compiler* has made of *source* once, whoever asks first.

    :param compiler: the command, without the file, which puts its result into the current folder.
    """
    text = (_SOURCES / source).read_bytes()
    folder = _COMPILED / f"{source}-{hashlib.sha256(text).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            command = [*compiler, str(_SOURCES / source)]
            subprocess.run(command, cwd=folder, env=environment(), check=True)
            (folder / "made").touch()
    return folder


def _start(setting: Setting, *command: str) -> Future[int]:
    arguments = (setting.side, setting.part, setting.port, setting.credentials)
    process = program(setting, *command, *arguments, stdout=subprocess.PIPE)

    def count() -> int:
        told, _ = process.communicate()
        assert told, (setting.folder / "said").read_text()
        return int(told.split()[0])

    return setting.pool.submit(count)


def _go(setting: Setting) -> Future[int]:
    return _start(setting, str(_compiled("peer.go", "go", "build", "-o", "peer") / "peer"))


def _java(setting: Setting) -> Future[int]:
    classes = _compiled("Peer.java", "javac", "-d", ".")
    # What pays only if it runs for long is left out.
    return _start(setting, "java", "-XX:TieredStopAtLevel=1", "-cp", str(classes), "Peer")


def _node(mode: str, setting: Setting) -> Future[int]:
    return _start(setting, "node", str(_SOURCES / "peer.js"), mode)


def _gnutls(setting: Setting) -> Future[int]:
    return _start(setting, sys.executable, str(_SOURCES / "gnutls.py"))


def _framework(name: str, setting: Setting) -> Future[int]:
    return _start(setting, sys.executable, str(_SOURCES / "frameworks.py"), name)


def _twisted(setting: Setting) -> Future[int]:
    return _start(setting, sys.executable, str(_SOURCES / "with_twisted.py"))


def _telling(distribution: str) -> tuple[str, ...]:
    """The command that prints the version of a distribution."""
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    return (sys.executable, "-c", code)


OWN_PROGRAMS = (
    Peer("Go", ("go",), "golang-go", _go, ("go", "version")),
    Peer(
        "GnuTLS",
        (sys.executable, "gnutls-cli"),
        "gnutls-bin",
        _gnutls,
        ("gnutls-cli", "--version"),
    ),
    Peer("Java", ("java", "javac"), "default-jdk-headless", _java, ("java", "-version")),
    Peer(
        "Node, allowHalfOpen",
        ("node",),
        "nodejs",
        partial(_node, "half-open"),
        ("node", "--version"),
    ),
    Peer("Node, by default", ("node",), "nodejs", partial(_node, "default"), ("node", "--version")),
)


_ONLY_ANSWERS: tuple[tuple[Side, Part], ...] = (("server", "answers"), ("client", "answers"))

FRAMEWORKS = (
    Peer(
        "asyncio",
        (sys.executable,),
        "python3",
        partial(_framework, "asyncio"),
        (sys.executable, "--version"),
        _ONLY_ANSWERS,
    ),
    *(
        Peer(
            name,
            (sys.executable,),
            f"python3-{name}",
            partial(_framework, name),
            _telling(name),
            _ONLY_ANSWERS,
        )
        for name in ("uvloop", "anyio", "trio")
    ),
    Peer("Twisted", (sys.executable,), "python3-twisted", _twisted, _telling("twisted")),
)
"""Other frameworks of Python. Only Twisted has a call to end one half of TLS."""
