"""``halfclose backends``: lists the installed backends, and whether each loads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from rich.console import Console
from rich.text import Text

from ..discovery import BackendInfo, available_backends, find_backend, load_backend, none_installed
from ..plugins import registry
from ..reasons import BackendError, BackendNotFound
from ..text import one_line, printable
from .screen import console

__all__ = ["Row", "installed", "list_backends", "load_error"]


@dataclass(frozen=True)
class Row:
    """One backend, with the keys of ``--json``."""

    name: str
    distribution: str
    version: str
    entry_point: str
    loads: bool
    error: str | None


def load_error(name: str) -> str | None:
    """Why the backend called *name* does not load, in one line; None: it does."""
    try:
        load_backend(name)
    except BackendError as error:
        return one_line(error)
    except (Exception, SystemExit) as error:
        return f"{type(error).__name__}: {one_line(error)}"
    return None


def installed(names: Sequence[str]) -> list[str]:
    """Check that all *names* are installed backends, and drop repeated ones.

    :raises BackendNotFound: a backend is not installed.
    """
    for name in names:
        try:
            find_backend(name)
        except BackendNotFound:
            raise
        except (Exception, SystemExit):
            pass  # It is installed; `load_error` says what is wrong with it.
    return list(dict.fromkeys(names))


def _row(info: BackendInfo) -> Row:
    error = load_error(info.name)
    return Row(info.name, info.distribution, info.version, info.entry_point, error is None, error)


def list_backends(*, as_json: bool) -> int:
    """Print every installed backend and variant, and why each other plugin fails that does.

    :returns: the exit status.
    """
    rows = [_row(info) for info in available_backends().values()]
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    if rows:
        _print_table(rows)
    else:
        print(none_installed())
    # With soft_wrap rich cuts no line, and leaves each reason on one line in a pipe.
    reasons = [row.error for row in rows if row.error is not None]
    for reason in (*reasons, *map(one_line, registry.broken_plugins())):
        console().print(f"\n{reason}", soft_wrap=True)
    return 0


def _print_table(rows: list[Row]) -> None:
    out = console()
    rows = [_printable(row) for row in rows]
    headings = ("Backend", "Version", "From", "Entry point", "Loads")
    cells = [
        (row.name, row.version, row.distribution, row.entry_point, "yes" if row.loads else "no")
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) <= out.width:
        _print_columns(out, headings, cells, widths)
    else:
        _print_paragraphs(out, rows)


def _printable(row: Row) -> Row:
    """*row* as a terminal can show it: the words are those of whoever has made the distribution."""
    return replace(
        row,
        name=printable(row.name),
        distribution=printable(row.distribution),
        version=printable(row.version),
        entry_point=printable(row.entry_point),
    )


def _print_columns(
    out: Console, headings: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int]
) -> None:
    """A line for each backend."""
    for number, line in enumerate([headings, *cells]):
        texts = [each.ljust(width + 2) for each, width in zip(line, widths, strict=True)]
        loads = line[-1]
        style = "bold" if not number else "green" if loads == "yes" else "bold red"
        text = Text("".join(texts[:-1]), "" if number else "bold")
        text.append(loads, style)
        out.print(text, soft_wrap=True)


def _print_paragraphs(out: Console, rows: Sequence[Row]) -> None:
    """On a screen too narrow for the table: a few lines for each, so that no name is broken."""
    for row in rows:
        text = Text(f"{row.name}  ")
        text.append(*(("loads", "green") if row.loads else ("does not load", "bold red")))
        text.append(f"\n  {row.distribution} {row.version}\n  {row.entry_point}", "dim")
        out.print(text, soft_wrap=True)
