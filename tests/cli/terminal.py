"""A terminal, as far as a program can tell."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
from types import TracebackType

from cli.support import LIMIT

COLUMNS = 80


class Terminal:
    """A pseudo-terminal; `program` is the end to give to a program.

    :param columns: how wide it is.
    """

    def __init__(self, columns: int = COLUMNS) -> None:
        self._ours, self.program = pty.openpty()
        fcntl.ioctl(self.program, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self.raw = b""

    @property
    def text(self) -> str:
        """What was written so far, without what moves the cursor and gives colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw.decode(errors="replace"))

    def wait_for(self, pattern: str) -> None:
        """Read until something that matches *pattern* was written."""
        while not re.search(pattern, self.text):
            # A limit for each piece: what tells how far it is may have far to go.
            ready, _, _ = select.select([self._ours], [], [], LIMIT)
            assert ready, f"no {pattern!r}: {self.text}"
            self.raw += os.read(self._ours, 65536)

    def press(self, keys: bytes) -> None:
        """Press *keys*."""
        os.write(self._ours, keys)

    def rest(self) -> str:
        """Read until the program has ended, and give everything."""
        os.close(self.program)
        self.program = -1
        while select.select([self._ours], [], [], LIMIT)[0]:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # EIO: nobody else has it open
                break
            self.raw += data
        return self.text

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for end in (self._ours, self.program):
            if end >= 0:
                os.close(end)
