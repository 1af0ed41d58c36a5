"""docs/how-to/inetd.md: the program that inetd starts, by an inetd that is a few lines here."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli.support import LIMIT, Command, ask, dial, read_all, running, wait_until
from documents.deployment import FILES, here
from documents.sessions import steps
from environment import environment

PAGE = "docs/how-to/inetd.md"

LINE = re.compile(r"^(\S+):(\d+)\s+stream\s+tcp\s+nowait\s+(\S+)\s+(\S+)\s+(.+)$", re.MULTILINE)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """``serve-one``, with the places of this machine, and its log in *tmp_path*."""
    (text,) = here([(FILES / "serve-one").read_text()], {"/var/log/sums/log": f"{tmp_path}/log"})
    path = tmp_path / "serve-one"
    path.write_text(text)
    path.chmod(0o755)
    return path


@contextmanager
def served(program: Path) -> Iterator[tuple[socket.socket, Command]]:
    """A connection, and the program that inetd has started for it: ``nowait``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = dial(f"tcp:127.0.0.1:{listener.getsockname()[1]}")
        accepted, _ = listener.accept()
    with peer:
        process = subprocess.Popen(
            [program.name],
            executable=str(program),
            stdin=accepted.fileno(),
            stdout=accepted.fileno(),
            stderr=accepted.fileno(),
            env=environment(),
        )
        accepted.close()
        with running(process) as command:
            yield peer, command


def test_session(program: Path) -> None:
    """That of "inetd.md": "inetd". The second connection finds all as the first one did."""
    (_, answer), (_, logged) = steps(PAGE, "inetd")
    for _ in range(2):
        with served(program) as (peer, command):
            assert ask(peer, b"hello\n").decode().splitlines() == answer
            assert command.process.wait(LIMIT) == 0
    assert (program.parent / "log").read_text().splitlines() == logged * 2


def test_a_signal_in_the_middle(program: Path) -> None:
    """What the page says: an end without an answer, and it dies by the signal."""
    with served(program) as (peer, command):
        peer.sendall(b"part")
        wait_until(command.handles_signals)
        wait_until(lambda: _has_taken(peer))
        command.send(signal.SIGTERM)
        assert read_all(peer) == b""
        peer.close()
        assert command.process.wait(LIMIT) == -signal.SIGTERM
    assert "4 bytes, not answered: " in (program.parent / "log").read_text()


def _has_taken(peer: socket.socket) -> bool:
    """Whether the other end has nothing unread: asked of the kernel, by the addresses."""
    ours = "{:08X}:{:04X}".format(
        int.from_bytes(socket.inet_aton("127.0.0.1"), "little"), peer.getsockname()[1]
    )
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, _, queues, *_ = line.split()
        if remote == ours:
            return queues.endswith(":00000000")
    return False


def test_a_check_that_connects_and_closes(program: Path) -> None:
    """Its log says nothing of it; whether it dies by SIGPIPE is a matter of time."""
    with served(program) as (peer, command):
        peer.close()
        assert command.process.wait(LIMIT) in (0, -signal.SIGPIPE)
    assert (program.parent / "log").read_text() == ""


def test_the_line_for_inetd() -> None:
    (found,) = LINE.findall((FILES / "inetd.conf").read_text())
    address, _, _, server, arguments = found
    assert address == "127.0.0.1"
    assert os.path.basename(server) == arguments
    assert (FILES / arguments).stat().st_mode & 0o111


def test_the_same_for_xinetd() -> None:
    text = (FILES / "sums.xinetd").read_text()
    settings = dict(re.findall(r"^    (\w+)\s+= (.+)$", text, re.MULTILINE))
    (found,) = LINE.findall((FILES / "inetd.conf").read_text())
    assert (settings["bind"], settings["port"], settings["user"], settings["server"]) == found[:4]
    assert settings["wait"] == "no"
