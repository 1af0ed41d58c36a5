"""docs/explanation/guarantees.md: its links lead somewhere, and its warnings are true."""

from __future__ import annotations

import re

import pytest
from cli.support import LIMIT, accepted, listening, read_to_end
from documents.blocks import ROOT
from documents.programs import SOME, program_of
from documents.tables import marks
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
    assert {anchor.upper() for anchor in linked("scorecard.md")} == set(SEEN)
    for rule, seen in SEEN.items():
        row = marks(rule)
        assert list(row) == ["Rule", "About", "halfclose", *STOCK]
        assert row["halfclose"] == "✓"
        assert [row[name] for name in STOCK] == seen.split(" | "), rule


@pytest.mark.parametrize("backend", SOME)
def test_done_does_not_say_that_the_peer_has_read(backend: str) -> None:
    class Sender(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"unread")
            self.transport.loseConnection()

    async def main(opened: Backend, endpoint: str) -> BaseException:
        sender = await opened.connect(endpoint, Sender)
        reason = await sender.transport.whenClosed()
        peer, _ = server.accept()
        # It was never accepted before, and so nobody can have read anything.
        peer.close()
        return reason

    with listening() as (server, endpoint):
        assert type(run(main, endpoint, backend=backend)) is ConnectionDone


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
    with (
        listening() as (server, endpoint),
        program_of(KILLED, endpoint) as command,
        accepted(server) as peer,
    ):
        assert command.process.wait(LIMIT) == -9
        received, end = read_to_end(peer)
    assert end == "eof"
    assert 0 < len(received) < 64 << 20
