"""``halfclose backends``: lists the installed backends, and whether each loads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from ..discovery import BackendInfo, available_backends, find_backend, load_backend, none_installed
from ..plugins import registry
from ..reasons import BackendError, BackendNotFound
from .report import one_line
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
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("Backend", "Version", "From", "Entry point", "Loads"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        loads = Text("yes", "green") if row.loads else Text("no", "bold red")
        table.add_row(row.name, row.version, row.distribution, row.entry_point, loads)
    console().print(table)
