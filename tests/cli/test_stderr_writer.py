"""What is said on stderr, and who waits for whoever reads it."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.support import ECHO, LIMIT, dial, read_all, start
from cli.terminal import Terminal
from halfclose.cli import stderr_writer
from halfclose.cli.stderr_writer import Voice


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads may be kept waiting by other work of the machine's."""
    monkeypatch.setattr(stderr_writer, "_PATIENCE", LIMIT)
    monkeypatch.setattr(stderr_writer, "_LONGEST", LIMIT)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that holds one page."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    os.close(reading)


class Reader(threading.Thread):
    """Reads *fd* to its end."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self.data = b""

    def run(self) -> None:
        while piece := os.read(self._fd, 65536):
            self.data += piece


def test_every_line_in_order(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    reader = Reader(reading)
    reader.start()
    said = Voice(writing)
    lines = [f"{number} \N{SNOWMAN}\udc80" for number in range(20_000)]
    for line in lines:
        said.say(line)
    said.close()
    os.close(writing)
    reader.join()
    assert reader.data.decode().splitlines() == [line[:-1] + "\\udc80" for line in lines]


def test_what_nobody_reads_is_dropped_and_counted(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stderr_writer, "_MOST", 20_000)
    reading, writing = pipe
    said = Voice(writing)
    total = 10_000
    for number in range(total):
        said.say(f"{number}")
    reader = Reader(reading)
    reader.start()
    said.close()
    said.say("again")
    said.close()
    os.close(writing)
    reader.join()
    *kept, note, last = reader.data.decode().splitlines()
    assert kept == [str(number) for number in range(len(kept))]
    assert 1000 < len(kept) < total
    missing = total - len(kept)
    assert note == f"halfclose: {missing} lines are missing here, which stderr did not take in time"
    assert last == "again"


def test_close_does_not_wait_for_who_reads_nothing(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stderr_writer, "_PATIENCE", 0.05)
    reading, writing = pipe
    said = Voice(writing)
    for _ in range(10_000):
        said.say("x")
    said.close()
    # It is in the way of nothing that it still waits.
    reader = Reader(reading)
    reader.start()
    monkeypatch.setattr(stderr_writer, "_PATIENCE", LIMIT)
    said.close()
    os.close(writing)
    reader.join()
    assert reader.data == b"x\n" * 10_000


def test_a_full_disk_that_has_room_again(tmp_path: Path) -> None:
    """Simulated by a limit on the size of files."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        said = Voice(fd)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        for line in ("first", "second", "third"):
            said.say(line)
            said.close()
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        said.say("fourth")
        said.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
        os.close(fd)
    assert path.read_text() == (
        "first\nseco\n"
        "halfclose: 2 lines are missing here, which stderr did not take in time\n"
        "fourth\n"
    )


def test_a_description_that_somebody_made_non_blocking(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    said = Voice(writing)
    for number in range(2000):
        said.say(f"{number}")
    reader = Reader(reading)
    reader.start()
    said.close()
    os.close(writing)
    reader.join()
    assert reader.data.decode().split() == [str(number) for number in range(2000)]


def test_a_child_that_was_forked_speaks_too(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    said = Voice(writing)
    said.say("parent")
    said.close()
    child = os.fork()
    if child == 0:
        said.say("child")
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    assert os.read(reading, 100) == b"parent\nchild\n"


def test_a_server_whose_log_nobody_reads(variant: str) -> None:
    with start("run", ECHO, "tcp:127.0.0.1:0", "--backend", variant) as command:
        stderr = command.process.stderr
        assert stderr is not None
        fcntl.fcntl(stderr, fcntl.F_SETPIPE_SZ, 4096)
        endpoint = command.endpoint()
        # Three lines each, of 80 bytes or so: more than what the pipe holds.
        for _ in range(200):
            with dial(endpoint) as peer:
                peer.sendall(b"x")
                peer.shutdown(socket.SHUT_WR)
                assert read_all(peer) == b"x"
        # The description is also that of others.
        assert not fcntl.fcntl(stderr, fcntl.F_GETFL) & os.O_NONBLOCK
        command.send(signal.SIGTERM)
        result = command.finish()
    assert result.status == 0
    assert result.err.count("Echo: connection made\n") == 200
    assert result.err.endswith("\nclosing; a second signal aborts\n")


def test_a_server_whose_terminal_is_stopped() -> None:
    with (
        Terminal() as terminal,
        start("run", ECHO, "tcp:127.0.0.1:0", stderr=terminal.program) as command,
    ):
        terminal.wait_for(r"listening on \S+\r")
        endpoint = terminal.text.split()[2]
        terminal.press(b"\x13")
        for _ in range(500):
            with dial(endpoint) as peer:
                peer.shutdown(socket.SHUT_WR)
                assert read_all(peer) == b""
        terminal.press(b"\x11")
        command.send(signal.SIGTERM)
        said = terminal.rest()
        assert command.process.wait(LIMIT) == 0
    assert said.count("Echo: connection made") == 500
    assert said.splitlines()[-1] == "closing; a second signal aborts"
