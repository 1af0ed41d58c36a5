"""What the tests of the pages moving-from-*.md share: their tables, and their programs."""

from __future__ import annotations

import builtins
import inspect
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import halfclose
import halfclose.testing
from cli.support import ask, dial, read_to_end, reset
from documents.blocks import ROOT
from documents.programs import program
from documents.tables import cells, marks
from halfclose import Backend, Connection, HalfCloseableProtocol, Listener
from halfclose_twisted.backend import TwistedBackend

__all__ = ["Row", "Their", "check_differences", "check_programs", "check_rows", "rows"]


# -- the tables --------------------------------------------------------------------------------


class Row(NamedTuple):
    """A row of a table that has a column named halfclose.

    :param theirs: the first cell.
    :param ours: the second.
    :param difference: the third.
    """

    theirs: str
    ours: str
    difference: str


def rows(page: str) -> list[Row]:
    """The rows of every table of *page* that compares with halfclose."""
    found: list[Row] = []
    comparing = False
    for line in (ROOT / page).read_text().splitlines():
        if not line.startswith("|"):
            comparing = False
            continue
        row = cells(line)
        if row[1:] == ["halfclose", "what is different"]:
            comparing = True
        elif comparing and not row[0].startswith("---"):
            found.append(Row(*row))
    return found


Their = Mapping[str, Sequence[object]]
"""Where to look for what stands behind a word such as ``transport``; under ``""``, for a name that
stands alone."""


def check_rows(page: str, theirs: Their) -> None:
    """Each name in the tables of *page* exists: theirs in the framework, ours in halfclose."""
    there = rows(page)
    assert there
    for row in there:
        assert row.theirs, row
        for span in _spans(row.theirs):
            assert _exists(span, theirs), f"{span} of {row}"
        for span in _spans(row.ours):
            assert _exists(span, OURS), f"{span} of {row}"


OURS: Their = {
    "transport": (Connection,),
    "transport.backend": (TwistedBackend("twisted"),),
    "backend": (Backend,),
    "listener": (Listener,),
    "halfclose": (halfclose,),
    "halfclose.testing": (halfclose.testing,),
    "": (HalfCloseableProtocol, builtins),
}


def _spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _exists(span: str, where: Their) -> bool:
    """Whether the names in *span* are there, and each endpoint in it is one.

    Of what begins with no word that *where* knows, only the first name is looked for: the others
    are arguments.
    """
    for endpoint in re.findall(r'backend\.\w+\("([^"]+)"', span):
        halfclose.parse_endpoint(endpoint)
    code = re.sub(r"^(await|async with|async for) ", "", re.sub(r'"[^"]*"', "", span))
    chains = [chain.split(".") for chain in re.findall(r"(?<![\w.])[A-Za-z_][\w.]*", code)]
    return all(
        _resolves(chain, where)
        for number, chain in enumerate(chains)
        if number == 0 or (len(chain) > 1 and chain[0] in where)
    )


def _resolves(chain: list[str], where: Their) -> bool:
    """Whether the first name of *chain* behind the longest prefix that *where* knows is there."""
    for length in range(len(chain) - 1, -1, -1):
        prefix = ".".join(chain[:length])
        if prefix in where:
            return any(_has(owner, chain[length]) for owner in where[prefix])
    return False


def _has(owner: object, name: str) -> bool:
    if hasattr(owner, name):
        return True
    # An attribute that only an instance has.
    return inspect.isclass(owner) and any(
        f"self.{name} = " in inspect.getsource(cls)
        for cls in owner.__mro__
        if cls.__module__.startswith("twisted.")
    )


def check_differences(page: str, *columns: str) -> None:
    """Each rule that a table of *page* names as a difference is one that the scorecard has seen.

    :param columns: of the scorecard; it has to be seen in one of them.
    """
    named = {rule for row in rows(page) for rule in re.findall(r"[A-Z]{3,4}-\d\d", row.difference)}
    assert named
    for rule in named:
        row = marks(rule)
        assert any(row[column][0] in "✗○?±" for column in columns), (rule, row)


# -- the programs ------------------------------------------------------------------------------


def check_programs(
    page: str,
    name: str,
    folder: Path,
    backend: str = "",
    ends: tuple[str, str] = ("ConnectionDone", "ConnectionLost"),
    until_a_signal: bool = False,
) -> None:
    """The program *name* of *page* sorts, and tells how each connection has ended.

    :param backend: the one that it uses, if it is one of ours.
    :param ends: what it calls a clean end, and a reset.
    :param until_a_signal: whether ``^C`` and SIGTERM end it in order.
    """
    clean, broken = (f"lost: {end}" for end in ends)
    chosen = {"HALFCLOSE_BACKEND": backend} if backend else {}
    with program(page, name, env=chosen, cwd=folder) as command:
        endpoint = f"tcp:127.0.0.1:{re.split('[ :]', command.line())[-1]}"
        with dial(endpoint) as peer:
            assert ask(peer, b"b\nc\na\n") == b"a\nb\nc\n"
        assert command.line() == clean
        peer = dial(endpoint)
        peer.sendall(b"b\n")
        reset(peer)
        assert command.line() == broken
        many = b"".join(b"%d\n" % number for number in reversed(range(100_000, 200_000)))
        with dial(endpoint) as peer:
            assert ask(peer, many) == b"".join(reversed(many.splitlines(keepends=True)))
        assert command.line() == clean
        if not until_a_signal:
            command.send(signal.SIGINT)
            command.end()
            return
        with dial(endpoint) as peer:
            peer.sendall(b"b\n")
            with dial(endpoint) as later:
                assert ask(later, b"a\n") == b"a\n"
            # That one was accepted after the first, which is open.
            assert command.line() == clean
            command.send(signal.SIGINT if backend else signal.SIGTERM)
            assert read_to_end(peer) == (b"", "eof")
        assert command.line() == clean
        assert command.end() == (0, b"", "")
