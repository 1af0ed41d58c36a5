"""The blocks of code in the documents, how each is checked, and by what.

Every block of Python, and every session of a shell, has a comment in the line above it that says
how the tests look at it:

- ``<!-- example: NAME -->``: a test runs it, and asks `example` for it;
- ``<!-- session: NAME -->``: a test does what it shows, and compares what it prints;
- ``<!-- from: PATH -->``: it quotes that file, word for word (`test_blocks`).

A test of a page is named after it, and has these tools. A page is named by its path from the root.

- `blocks`: the text of a block (`example`), every block, every page.
- `programs`: an example as a module (`module`) or a running program (`program`), and the backends
  on which examples run (`SOME`).
- `sessions`: a folder in which a reader saves programs, has a session played and its output
  compared (`Folder.play`), or a server in another terminal until ``^C`` (`Folder.serving`); it is
  the fixture ``folder``. For a session that has to be done by hand: `steps`, `comparable`.
- `tables`: the cells of a row, and a rule's marks in the scorecard.
- `cli.support`: any running program, with a time limit for each line (`Command`), and plain sockets
  as peers: `dial`, `ask`, `listening`, `serving`, `reset`, `read_to_end`.
- `deployment`, `containers`: the files for servers in docs/how-to/files, and a server as one runs
  in a container. `moving`: what the pages moving-from-*.md have in common.
- `links`: every link. `made`, `errors`, `options`, `helps`: the parts that are made from the code.
  `public`, `docstrings`: the reference. `site`, `pack`: the built site.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Block", "blocks", "example", "pages"]

ROOT = Path(__file__).parents[2]


class Block(NamedTuple):
    """A fenced block of a page.

    :param page: the page's path, from the root of the repository.
    :param line: the number of its first line of text.
    :param language: what stands behind the fence.
    :param mark: how it is checked, as ``example``; empty if nothing says so.
    :param name: what the mark names.
    :param text: its lines.
    """

    page: str
    line: int
    language: str
    mark: str
    name: str
    text: str


def pages() -> list[Path]:
    """Every page that a reader sees, the README of each distribution too."""
    return sorted(
        [*ROOT.glob("*.md"), *ROOT.glob("core/*.md"), *ROOT.glob("backends/*/*.md")]
        + [path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts]
    )


_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[a-z]+): (?P<name>[^\n]+?) -->\n)?^```(?P<language>[a-z{}-]*)[^\n]*\n"
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of *page*, in order."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        yield Block(
            str(page.relative_to(ROOT)),
            text.count("\n", 0, found.start("text")) + 1,
            found["language"],
            found["mark"] or "",
            found["name"] or "",
            found["text"],
        )


def example(page: str, name: str, mark: str = "example") -> str:
    """The text of the block *name* of *page*, a path from the root of the repository."""
    (found,) = (
        block.text for block in blocks(ROOT / page) if (block.mark, block.name) == (mark, name)
    )
    return found
