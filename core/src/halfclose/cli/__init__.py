"""The ``halfclose`` command. It needs click and rich: ``pip install 'halfclose[cli]'``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from .standing import fill_standard_descriptors

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    :param arguments: those of the command line, without the program's name; by default
        ``sys.argv``'s.
    """
    fill_standard_descriptors()
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        print(
            f"halfclose: the command needs {' and '.join(missing)}: pip install 'halfclose[cli]'",
            file=sys.stderr,
        )
        return 2
    try:
        from .commands import run_command

        return run_command(arguments)
    except KeyboardInterrupt:
        return 130
