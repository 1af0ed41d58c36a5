"""The ``halfclose`` command. It needs click and rich, which the extra ``cli`` installs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from ..io.standard import spare_stderr
from .standard_descriptors import fill_standard_descriptors

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    If a signal ends the command, the process dies by that signal when there are no *arguments*.
    With *arguments* the caller's process lives on, and 128 plus the signal's number is returned.

    :param arguments: the words of the command line after the program's name; by default those of
        ``sys.argv``.
    """
    fill_standard_descriptors()
    words = sys.argv[1:] if arguments is None else arguments
    if {"connect", "listen"} & set(words[:1]) or "stdio:" in words:
        # inetd gives the peer's socket as standard error too, and our messages are not for the
        # peer.
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
