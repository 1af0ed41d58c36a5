"""The passphrases of encrypted keys: from a file, or from the terminal."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable

from .report import Problem
from .stopping import stoppable

__all__ = ["Passphrases", "has_terminal"]

_MOST = 1 << 16
"""Bytes of a file that are read for its first line."""


class Passphrases:
    """Gives the passphrase of each key that needs one.

    :param file: the file whose first line is the passphrase of all; None: the terminal is asked,
        once for each key.
    """

    def __init__(self, file: str | None) -> None:
        self._file = file
        self._asked: dict[str, bytes] = {}
        self._may_ask = True

    def of(self, key: str) -> Callable[[], bytes]:
        """What gives the passphrase of the key in the file *key*. Called only if it needs one.

        It raises `Problem` or OSError if there is no passphrase.
        """
        return lambda: self._find(key)

    def ask_no_more(self) -> None:
        """From now on use what was typed, because a server that runs must not wait for a person."""
        self._may_ask = False

    def _find(self, key: str) -> bytes:
        if self._file is not None:
            return _first_line(self._file)
        if key not in self._asked:
            if not self._may_ask or not has_terminal():
                raise Problem("there is no terminal to ask at; give --passphrase-file FILE")
            # ^C must not leave the terminal without its echo.
            with stoppable():
                self._asked[key] = os.fsencode(getpass.getpass(f"Passphrase of {key}: "))
        return self._asked[key]


def has_terminal() -> bool:
    """Whether a terminal controls this process, to which a person can type."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _first_line(file: str) -> bytes:
    with open(file, "rb") as stream:
        return stream.readline(_MOST).rstrip(b"\r\n")
