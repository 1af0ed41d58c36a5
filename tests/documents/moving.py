"""What the tests of the pages moving-from-*.md share: their tables, their programs, and a peer."""

from __future__ import annotations

import builtins
import inspect
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import halfclose
import halfclose.testing
from documents.blocks import ROOT, example
from halfclose import Backend, Connection, HalfCloseableProtocol, Listener
from halfclose_twisted.backend import TwistedBackend
from warm import POSSIBLE, Fork, fork

__all__ = ["Row", "Their", "check_differences", "check_programs", "check_rows", "rows", "sort"]

LIMIT = 30.0
"""Seconds that a program may take; nothing here comes near it unless it hangs."""


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
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[1:] == ["halfclose", "what is different"]:
            comparing = True
        elif comparing and not cells[0].startswith("---"):
            found.append(Row(*cells))
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
    scorecard = (ROOT / "docs" / "scorecard.md").read_text()
    named = {rule for row in rows(page) for rule in re.findall(r"[A-Z]{3,4}-\d\d", row.difference)}
    assert named
    for rule in named:
        found = re.search(rf"^\| \[{rule}\].*$", scorecard, re.MULTILINE)
        assert found is not None, rule
        head = next(
            line
            for line in reversed(scorecard[: found.start()].splitlines())
            if line.startswith("| Rule")
        )
        marks = dict(zip(_cells(head), _cells(found[0]), strict=True))
        assert any(marks[column][0] in "✗○?±" for column in columns), (rule, marks)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


# -- the programs ------------------------------------------------------------------------------


def check_programs(
    page: str,
    name: str,
    folder: Path,
    backend: str = "",
    ends: tuple[str, str] = ("ConnectionDone", "ConnectionLost"),
) -> None:
    """The program *name* of *page* sorts, and tells how each connection has ended.

    :param backend: the one that it uses, if it is one of ours.
    :param ends: what it calls a clean end, and a reset.
    """
    clean, broken = (f"lost: {end}" for end in ends)
    with _running(example(page, name), folder, backend) as (line, stop):
        port = int(re.split("[ :]", line())[-1])
        assert sort(port, b"b\nc\na\n") == b"a\nb\nc\n"
        assert line() == clean
        reset(port, b"b\n")
        assert line() == broken
        many = b"".join(b"%d\n" % number for number in reversed(range(100_000, 200_000)))
        assert sort(port, many) == b"".join(reversed(many.splitlines(keepends=True)))
        assert line() == clean
        stop()


def sort(port: int, text: bytes) -> bytes:
    """What the server answers to a client that sends *text* and ends its half."""
    with socket.create_connection(("127.0.0.1", port), LIMIT) as sock:
        sock.sendall(text)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def reset(port: int, text: bytes) -> None:
    """A client that sends *text* and resets the connection."""
    with socket.create_connection(("127.0.0.1", port), LIMIT) as sock:
        sock.sendall(text)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def _running(
    code: str, folder: Path, backend: str
) -> Iterator[tuple[Callable[[], str], Callable[[], None]]]:
    """A program: a function that reads its next line, and one that ends it as ^C does."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HALFCLOSE_")}
    if backend:
        environment["HALFCLOSE_BACKEND"] = backend
    source = f"import sys\nsys.path.insert(0, '')\n{code}"
    streams = (subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT)
    program: Fork | subprocess.Popen[bytes]
    if POSSIBLE:
        program = fork((), environment, str(folder), (*streams[:2], None), source)
    else:
        program = subprocess.Popen(
            [sys.executable, "-c", source],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
    limit = threading.Timer(LIMIT, program.kill)
    limit.start()
    try:
        with program:
            out: IO[bytes] | None = program.stdout
            assert out is not None

            def line() -> str:
                told = out.readline().decode()
                assert told, "the program has ended, or was ended"
                return told.rstrip("\n")

            def stop() -> None:
                program.send_signal(signal.SIGINT)
                program.wait(LIMIT)

            try:
                yield line, stop
            finally:
                program.kill()
    finally:
        limit.cancel()
        limit.join()
