"""The READMEs of the three distributions: the program that each shows echoes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from documents.blocks import example

PROGRAMS = [
    ("core/README.md", "echo", "anyio+trio"),
    ("core/README.md", "echo", "twisted+epoll"),
    ("backends/anyio/README.md", "serve", ""),
    ("backends/twisted/README.md", "serve", ""),
]


@pytest.mark.parametrize(("page", "name", "backend"), PROGRAMS)
def test_the_program_echoes(page: str, name: str, backend: str, tmp_path: Path) -> None:
    text = example(page, name)
    assert "8000" in text
    program = tmp_path / "program.py"
    program.write_text(text.replace("8000", "0"))
    process = subprocess.Popen(
        [sys.executable, program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HALFCLOSE_BACKEND": backend},
    )
    with process:
        try:
            assert process.stdout is not None
            said = re.fullmatch(
                r"listening on (?:tcp:127.0.0.1:)?(\d+)\n", process.stdout.readline()
            )
            assert said is not None
            with socket.create_connection(("127.0.0.1", int(said[1])), 10) as sock:
                sock.settimeout(10)
                sock.sendall(b"hello")
                sock.shutdown(socket.SHUT_WR)
                assert sock.makefile("rb").read() == b"hello"
        finally:
            process.kill()
