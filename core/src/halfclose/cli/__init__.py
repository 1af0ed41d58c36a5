"""The ``halfclose`` command. It needs click and rich, the extra ``cli``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from ..io.standard import spare_stderr
from .standing import fill_standard_descriptors

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    :param arguments: those of the command line, without the program's name. By default
        ``sys.argv``'s; then this process is the command's, and if a signal ends the command the
        process dies by it. With arguments, 128 and the signal's number is returned instead.
    """
    fill_standard_descriptors()
    words = sys.argv[1:] if arguments is None else arguments
    if {"connect", "listen"} & set(words[:1]) or "stdio:" in words:
        # What we say is not for the peer: inetd gives its socket as standard error too.
        spare_stderr()
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        from ..install_hints import install_command

        command = install_command("halfclose[cli]")
        print(f"halfclose: the command needs {' and '.join(missing)}: {command}", file=sys.stderr)
        return 2
    from .stopping import Stopped, dies_by_signals

    if arguments is None:
        with dies_by_signals():
            from .commands import run_command

            return run_command()
    try:
        from .commands import run_command

        return run_command(arguments)
    except Stopped as stopped:
        return stopped.status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
