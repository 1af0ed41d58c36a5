"""A bar for those who wait at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Advance", "progress"]


class Advance(Protocol):
    """Moves the bar on."""

    def __call__(self, doing: str, came: str = "", by: float = 1.0) -> None:
        """:param doing: what is being done. :param came: of what was done, if it is bad."""


def _nothing(doing: str, came: str = "", by: float = 1.0) -> None:
    pass


@contextmanager
def progress(total: float, unit: str = "") -> Iterator[Advance]:
    """A bar on stderr, gone at the end of the block; nothing where stderr is no terminal.

    :param total: how far it goes, in *unit*.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield _nothing
        return
    bar = Progress(
        BarColumn(),
        TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}}{unit}", "green", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[came]}", "red", markup=False),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        # A thread that drew it would be no friend of the processes that are forked meanwhile.
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bar:
        task = bar.add_task("", total=total, came="")
        bar.refresh()

        def advance(doing: str, came: str = "", by: float = 1.0) -> None:
            bar.update(task, advance=by, description=doing, came=came, refresh=True)

        yield advance
