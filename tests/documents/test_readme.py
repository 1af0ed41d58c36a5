"""README.md's program does what its session shows, on any backend, and as a service."""

from __future__ import annotations

import signal

import pytest
from cli.support import ask, dial, start
from documents.blocks import example
from documents.programs import SOME
from documents.sessions import Folder

PROGRAM = example("README.md", "count")


def test_it_has_as_many_lines_as_its_title_says() -> None:
    assert len([line for line in PROGRAM.splitlines() if line]) == 15


@pytest.mark.parametrize("backend", SOME)
def test_the_session(folder: Folder, backend: str) -> None:
    folder.save("count.py", PROGRAM)
    folder.environment["HALFCLOSE_BACKEND"] = backend
    folder.play("README.md", "count")


def test_the_class_as_a_service(folder: Folder) -> None:
    folder.save("count.py", PROGRAM)
    with start("run", "./count.py:Count", "tcp:127.0.0.1:0", cwd=folder.path) as it:
        with dial(it.endpoint()) as peer:
            assert ask(peer, b"hello") == b"5 bytes came"
        it.send(signal.SIGTERM)
        assert it.finish().status == 0
