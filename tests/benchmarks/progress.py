"""A bar for those who wait at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .measuring import Advance

__all__ = ["progress"]


@contextmanager
def progress(total: int) -> Iterator[Advance]:
    """A bar on stderr, gone at the end of the block; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda what, steps: None
        return
    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        # A thread that drew it would take time from the generator.
        auto_refresh=False,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=total)

        def advance(what: str, steps: int) -> None:
            bar.update(task, advance=steps, description=what, refresh=True)

        yield advance
