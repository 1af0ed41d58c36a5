"""The ``halfclose`` command. It needs click and rich: ``pip install 'halfclose[cli]'``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from ..io.standard import spare_stderr
from .standing import fill_standard_descriptors

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    :param arguments: those of the command line, without the program's name; by default
        ``sys.argv``'s.
    """
    fill_standard_descriptors()
    words = sys.argv[1:] if arguments is None else arguments
    if "connect" in words[:1] or "stdio:" in words:
        # What we say is not for the peer: inetd gives its socket as standard error too.
        spare_stderr()
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
