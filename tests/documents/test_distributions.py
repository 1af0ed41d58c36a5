"""The READMEs of the three distributions: the program that each shows echoes."""

from __future__ import annotations

import re

import pytest
from cli.support import ask, dial
from documents.blocks import example
from documents.programs import program_of

PROGRAMS = [
    ("core/README.md", "echo", "anyio+trio"),
    ("core/README.md", "echo", "twisted+epoll"),
    ("backends/anyio/README.md", "serve", ""),
    ("backends/twisted/README.md", "serve", ""),
]


@pytest.mark.parametrize(("page", "name", "backend"), PROGRAMS)
def test_the_program_echoes(page: str, name: str, backend: str) -> None:
    text = example(page, name)
    assert "8000" in text
    with program_of(text.replace("8000", "0"), env={"HALFCLOSE_BACKEND": backend}) as command:
        said = re.fullmatch(r"listening on (?:tcp:127.0.0.1:)?(\d+)", command.line())
        assert said is not None
        with dial(f"tcp:127.0.0.1:{said[1]}") as sock:
            assert ask(sock, b"hello") == b"hello"
