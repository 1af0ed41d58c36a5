"""A progress bar on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

__all__ = ["Advance", "progress"]

_WIDE = 72
"""How many columns a screen has at least that shows the bar itself, the time, and colours."""


class Advance(Protocol):
    """Moves the bar on."""

    def __call__(self, doing: str, came: str = "", by: float = 1.0) -> None:
        """Move the bar on.

        :param doing: what is done at the moment.
        :param came: what has gone wrong so far; empty: nothing.
        :param by: how far to move.
        """


def _nothing(doing: str, came: str = "", by: float = 1.0) -> None:
    pass


@contextmanager
def progress(total: float, unit: str = "") -> Iterator[Advance]:
    """Show a progress bar on stderr during the block; none if stderr is no terminal.

    :param total: the value at which the bar is full.
    :param unit: text that is shown after the values.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield _nothing
        return
    out = Console(stderr=True)
    far = f"{{task.completed:.0f}}/{{task.total:.0f}}{unit}"
    came, doing = "{task.fields[came]}", "{task.description}"
    columns: list[ProgressColumn] = [
        BarColumn(),
        TextColumn(far, "green", markup=False),
        TimeElapsedColumn(),
        TextColumn(came, "red", markup=False),
        TextColumn(doing, markup=False),
    ]
    if out.width < _WIDE:
        # rich would cut each column a little. So it is one, which is cut at its end.
        columns = [TextColumn(f"{far} {came} {doing}", markup=False)]
    bar = Progress(
        *columns,
        console=out,
        # Else rich would draw in a thread, whose locks a forked process could find taken.
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
