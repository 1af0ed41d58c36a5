"""docs/explanation/guarantees.md: its links lead somewhere, and its warnings are true."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from documents.blocks import ROOT
from halfclose import Backend, ConnectionDone, Protocol, run
from rule_map.contract import anchor, chapters, statements

PAGE = ROOT / "docs" / "explanation" / "guarantees.md"

STOCK = ("Twisted", "asyncio", "uvloop", "anyio, asyncio", "anyio, uvloop", "anyio, trio")

SEEN = {
    "END-01": "✗ | ✗ | ✗ | ✗ | ✗ | ✗",
    "END-03": "✗ | ✗ | ✗ | ✗ | ✗ | ✗",
    "ERR-03": "✗ tcp, unix | ✗ | ✗ | ✗ | ✗ | ✗",
    "ERR-06": "○ stdio | ✗ tcp | ✗ tcp | ✗ tcp | ✗ tcp | ✗ tcp",
    "ERR-18": "✗ | ✗ | ✗ | ✗ | ✗ | ✗",
    "EVT-04": "? stdio | ○ tcp, unix | ○ tcp, unix | ✓ | ✓ | ✓",
    "EVT-05": "✗ | ✗ tcp, unix | ✗ | ✓ | ✓ | ✓",
    "EVT-16": "✗ | ✗ | ✗ | ○ | ○ | ○",
    "FLU-09": "✗ tcp, unix | ✗ tcp, unix | ✗ tcp | ✗ tcp | ✗ tcp | ✗ tcp",
    "FLU-10": "✓ | ✓ | ✗ | ✗ tcp | ✗ tcp | ✓",
    "LOOP-03": "○ | ○ | ○ | ○ | ○ | ○",
    "PIP-02": "✗ | ✗ | ✗ | ○ | ○ | ○",
    "PIP-06": "✗ | ✗ | ✗ | ○ | ○ | ○",
    "PRD-02": "✗ | ○ | ○ | ○ | ○ | ○",
    "PRD-03": "✗ | ✗ stdio | ✗ stdio | ○ | ○ | ○",
    "PRD-07": "? | ○ | ○ | ○ | ○ | ○",
    "PRD-09": "? | ○ | ○ | ○ | ○ | ○",
    "VRB-05": "✗ | ✗ | ✗ | ✗ | ✗ | ✗",
}
"""The rows of the scorecard of which the page speaks, as they were when it was written. If one has
changed, read what the page says about that rule, and mend both."""


def linked(page: str) -> list[str]:
    """The anchors of that page to which the guarantees link."""
    return re.findall(rf"\(\.\./{re.escape(page)}#([^)]+)\)", PAGE.read_text())


def parts() -> dict[str, str]:
    """What stands below each heading."""
    found = re.split(r"^## (.+)\n", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def test_every_rule_exists_and_every_chapter_is_there() -> None:
    rules = [anchor.upper() for anchor in linked("contract.md")]
    assert set(rules) <= set(statements())
    assert {rule.partition("-")[0] for rule in rules} == {one.name for one in chapters()}
    for name, link in re.findall(r"\[([A-Z]+-\d\d)\]\(\S+#([^)]+)\)", PAGE.read_text()):
        assert name.lower() == link


def test_every_situation_is_listed_and_has_its_three_parts() -> None:
    first, *situations = parts()
    listed = re.findall(r"^- \[(.+)\]\(#(.+)\)$", PAGE.read_text(), re.MULTILINE)
    assert listed == [(title, anchor(title)) for title in (first, *situations)]
    for title in situations:
        leads = re.findall(r"^\*\*(.+):\*\* ", parts()[title], re.MULTILINE)
        assert leads == ["You may rely on", "Do yourself", "Elsewhere"], title
        rely, _, others = re.split(r"^\*\*", parts()[title], flags=re.MULTILINE)[1:]
        assert "contract.md#" in rely, title
        assert "scorecard.md#" in others, title


def test_what_is_said_of_the_frameworks_is_in_the_scorecard() -> None:
    text = (ROOT / "docs" / "scorecard.md").read_text()
    assert f"| Rule | About | halfclose | {' | '.join(STOCK)} |" in text
    assert {anchor.upper() for anchor in linked("scorecard.md")} == set(SEEN)
    for rule, marks in SEEN.items():
        row = re.search(rf"^\| \[{rule}\]\(\S+\) \| [^|]+ \| ✓ \| (.+) \|$", text, re.MULTILINE)
        assert row is not None
        assert row[1] == marks, rule


@contextmanager
def listening() -> Iterator[tuple[socket.socket, int]]:
    """A plain listening socket, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        yield server, server.getsockname()[1]


@pytest.mark.parametrize("backend", ["anyio+asyncio", "anyio+trio", "twisted+epoll"])
def test_done_does_not_say_that_the_peer_has_read(backend: str) -> None:
    class Sender(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"unread")
            self.transport.loseConnection()

    async def main(opened: Backend, port: int) -> BaseException:
        sender = await opened.connect(f"tcp:127.0.0.1:{port}", Sender)
        reason = await sender.transport.whenClosed()
        peer, _ = server.accept()
        # It was never accepted before, and so nobody can have read anything.
        peer.close()
        return reason

    with listening() as (server, port):
        assert type(run(main, port, backend=backend)) is ConnectionDone


KILLED = """
import halfclose, os, signal, sys

class Sender(halfclose.Protocol):
    def connectionMade(self):
        self.transport.write(b"x" * (64 << 20))
        self.transport.backend.call_later(0, os.kill, os.getpid(), signal.SIGKILL)

async def main(backend):
    sender = await backend.connect(sys.argv[1], Sender)
    await sender.transport.whenClosed()

halfclose.run(main, backend="anyio+asyncio")
"""


def test_a_killed_process_ends_its_stream() -> None:
    with listening() as (server, port):
        endpoint = f"tcp:127.0.0.1:{port}"
        with subprocess.Popen([sys.executable, "-c", KILLED, endpoint]) as process:
            peer, _ = server.accept()
            with peer:
                assert process.wait(30) == -9
                peer.settimeout(30)
                size = 0
                # A reset would raise ConnectionResetError.
                while data := peer.recv(1 << 20):
                    size += len(data)
    assert 0 < size < 64 << 20
