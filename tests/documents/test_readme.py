"""README.md's program does what its session shows, on any backend, and as a service."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli.support import dial, read_all, start
from documents.blocks import example

PROGRAM = example("README.md", "count")
SESSION = example("README.md", "count", "session")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "count.py"
    path.write_text(PROGRAM)
    return path


def test_it_has_as_many_lines_as_its_title_says() -> None:
    assert len([line for line in PROGRAM.splitlines() if line]) == 15


@pytest.mark.parametrize("backend", ["anyio+asyncio", "anyio+trio", "twisted+epoll"])
def test_the_session(program: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALFCLOSE_BACKEND", backend)
    command, printed = SESSION.splitlines()
    assert command == f"$ python {program.name}"
    result = subprocess.run(
        [sys.executable, program.name],
        cwd=program.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{printed}\n", "")


def test_the_class_as_a_service(program: Path) -> None:
    with start("run", f"{program}:Count", "tcp:127.0.0.1:0") as it:
        with dial(it.endpoint()) as peer:
            peer.sendall(b"hello")
            peer.shutdown(1)
            assert read_all(peer) == b"5 bytes came"
        it.send(signal.SIGTERM)
        assert it.finish().status == 0
