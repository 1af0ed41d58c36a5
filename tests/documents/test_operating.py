"""docs/how-to/operating.md: every session, and what its tables say of signals and checks."""

from __future__ import annotations

import re
import resource
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli.support import Command, ask, dial, read_all, reset, start, wait_until
from documents.blocks import ROOT, blocks, example
from documents.deployment import FILES
from documents.programs import SOME, program_of
from documents.sessions import Folder, steps

PAGE = "docs/how-to/operating.md"

PAGES = [
    f"docs/how-to/{name}.md"
    for name in ("operating", "systemd", "inetd", "docker", "kubernetes", "pipes")
]


def test_every_file_is_quoted_whole() -> None:
    quoted = {
        block.name: block.text
        for page in PAGES
        for block in blocks(ROOT / page)
        if block.mark == "from"
    }
    there = {
        str(path.relative_to(ROOT)): path.read_text() for path in FILES.iterdir() if path.is_file()
    }
    assert quoted == there


@pytest.mark.parametrize("name", ["stop", "health", "late"])
def test_session(name: str, folder: Folder) -> None:
    """Those of "operating.md" in which nothing has to come at a certain time."""
    for file in FILES.glob("*.py"):
        shutil.copy(file, folder.path)
    folder.play(PAGE, name, any_order=True)


def shown(name: str) -> list[str]:
    """What the page's session prints, with no peer's port."""
    return [without_peer(line) for _, lines in steps(PAGE, name) for line in lines]


def without_peer(line: str) -> str:
    return re.sub(r"tcp:127\.0\.0\.1:\d+", "PEER", line)


def test_a_stop_cuts_off_an_upload() -> None:
    """The session "cut": a clean end without an answer."""
    with (
        start("run", "./sums.py:Sum", "tcp:127.0.0.1:0", cwd=FILES) as command,
        dial(command.endpoint()) as peer,
    ):
        peer.sendall(b"hel\n")
        wait_until(command.is_asleep)
        command.send(signal.SIGTERM)
        assert read_all(peer) == b""
        peer.close()
        result = command.finish()
    said = without_peer(result.err).splitlines()
    assert (result.status, said[1:]) == (0, shown("cut")[1:])


def test_a_stop_tells_whom_it_has_reset(tmp_path: Path) -> None:
    """The session "reset"."""
    (tmp_path / "big.py").write_text(example(PAGE, "big"))
    with (
        start("run", "--grace", "0.2", "./big.py:Big", "tcp:127.0.0.1:0", cwd=tmp_path) as command,
        dial(command.endpoint()) as peer,
    ):
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b"\0"
        command.send(signal.SIGTERM)
        result = command.finish()
        with pytest.raises(ConnectionResetError):
            read_all(peer)
    said = re.sub(r"tcp:127\.0\.0\.1:\d+", "PEER", result.err).replace("0.2 s", "1 s").splitlines()
    assert [*said[1:], str(result.status)] == shown("reset")[1:]


@contextmanager
def draining(backend: str, seconds: str) -> Iterator[tuple[Command, str, socket.socket]]:
    """``draining.py``, where it listens, and the peer of a conversation that has begun."""
    source = (FILES / "draining.py").read_text()
    chosen = {"HALFCLOSE_BACKEND": backend}
    with program_of(source, "tcp:127.0.0.1:0", seconds, env=chosen, cwd=FILES) as server:
        endpoint = server.endpoint()
        with dial(endpoint) as peer:
            peer.sendall(b"hel\n")
            # The server counts it once it has been accepted, which a later connection shows.
            with dial(endpoint) as other:
                ask(other, b"")
            yield server, endpoint, peer


@pytest.mark.parametrize("backend", SOME)
def test_a_conversation_is_finished_first(backend: str) -> None:
    """The session "draining"."""
    printed = shown("draining")
    with draining(backend, "600") as (server, endpoint, peer):
        server.send(signal.SIGTERM)
        server.wait_for(printed[1])
        with pytest.raises(ConnectionRefusedError):
            dial(endpoint)
        assert ask(peer, b"lo\n").decode() == printed[3] + "\n"
        result = server.end()
    said = without_peer(result.err).splitlines()
    assert (said[1:], result.status) == ([printed[1], printed[4]], int(printed[5]))


@pytest.mark.parametrize("backend", SOME)
def test_a_conversation_that_does_not_end_is_reset(backend: str) -> None:
    with draining(backend, "0.1") as (server, _, peer):
        server.send(signal.SIGTERM)
        with pytest.raises(ConnectionResetError):
            read_all(peer)
        result = server.end()
    said = without_peer(result.err).splitlines()
    assert said[-1] == "PEER: 4 bytes, not answered: aborted by abortConnection"
    assert result.status == 0


@pytest.mark.parametrize("backend", SOME)
def test_an_interrupt_resets_and_shows_no_traceback(backend: str) -> None:
    with draining(backend, "30") as (server, _, peer):
        server.send(signal.SIGINT)
        with pytest.raises(ConnectionResetError):
            read_all(peer)
        result = server.end()
    assert result.status == 0
    assert "Traceback" not in result.err


def test_a_check_is_no_failure() -> None:
    """However it closes, nothing is logged about it."""
    with start("run", "./sums.py:Sum", "tcp:127.0.0.1:0", cwd=FILES) as command:
        endpoint = command.endpoint()
        dial(endpoint).close()
        reset(dial(endpoint))
        with dial(endpoint) as peer:
            ask(peer, b"")
        command.send(signal.SIGTERM)
        result = command.finish()
    assert result.status == 0
    assert result.err.splitlines()[1:] == ["closing; a second signal aborts"]


@pytest.mark.parametrize(
    ("protocol", "close", "reason"),
    [
        ("Echo", socket.socket.close, "ConnectionDone("),
        ("Daytime", socket.socket.close, "ConnectionLost("),
        ("Echo", reset, "ConnectionLost("),
    ],
)
def test_what_a_protocol_hears_of_a_check(protocol: str, close: object, reason: str) -> None:
    assert callable(close)
    with start("run", f"halfclose.examples:{protocol}", "tcp:127.0.0.1:0") as command:
        peer = dial(command.endpoint())
        command.wait_for(f"{protocol}: connection made")
        close(peer)
        command.wait_for(f"{protocol}: connectionLost: {reason}")
        command.send(signal.SIGTERM)
        assert command.finish().status == 0


def test_no_descriptor_is_left() -> None:
    """It says so in the page's words, and serves all of them in the end."""
    text = (ROOT / PAGE).read_text()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))

    with start("run", "./sums.py:Sum", "tcp:127.0.0.1:0", cwd=FILES, preexec_fn=limit) as command:
        endpoint = command.endpoint()
        peers = [dial(endpoint) for _ in range(30)]
        line = f"accepting on {endpoint} waits: [Errno 24] Too many open files"
        command.wait_for(line)
        assert line.replace(endpoint, "tcp:127.0.0.1:8000") + "\n" in text
        for peer in peers:
            with peer:
                assert len(ask(peer, b"hello\n")) == 65
        command.send(signal.SIGTERM)
        assert command.finish().status == 0


STATUSES = {
    "no_such_file.py:Sum tcp:127.0.0.1:0": 2,
    "sums.py:Nothing tcp:127.0.0.1:0": 2,
    "sums.py:Sum tcp:127.0.0.1:0 --backend bogus": 2,
    "sums.py:Sum unix:no/such/folder/sock": 1,
}


@pytest.mark.parametrize("arguments", STATUSES)
def test_status(arguments: str) -> None:
    with start("run", *arguments.split(), cwd=FILES) as command:
        assert command.finish().status == STATUSES[arguments]
