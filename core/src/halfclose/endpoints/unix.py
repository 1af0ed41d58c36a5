"""``unix:PATH``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ..reasons import EndpointError
from .endpoint import Endpoint

__all__ = ["UNIX", "UNIX_PATH_BYTES"]

UNIX_PATH_BYTES = 107
"""The longest path that a unix socket can have on Linux, in bytes; also the longest abstract name,
without its ``@``."""

_ABSTRACT = "@"


@dataclass(frozen=True, slots=True)
class UNIX(Endpoint):
    """The path of a unix socket; empty for the unnamed end of a connection.

    With an ``@`` at its beginning it is no file but a name in Linux's abstract namespace, which
    nothing has to remove and everybody may connect to; a file that is called so is ``./@name``.
    An abstract name is bytes, of which those that are no UTF-8 are in the string what
    `os.fsdecode` makes of them.

    :raises EndpointError: the path is longer than 107 bytes (an abstract name's ``@`` not
        counted), or one of a file holds a NUL.
    """

    scheme = "unix"

    path: str

    def __post_init__(self) -> None:
        if not isinstance(self.path, str):
            raise EndpointError(f"unix path {self.path!r}: not a string")
        if "\0" in self.path and not self.is_abstract:
            raise EndpointError(
                f"unix path {self.path!r}: holds a NUL character; an abstract name begins with @"
            )
        try:
            length = len(os.fsencode(self.path)) - self.is_abstract
        except UnicodeEncodeError as error:
            raise EndpointError(f"unix path {self.path!r}: {error.reason}") from None
        if length > UNIX_PATH_BYTES:
            raise EndpointError(
                f"unix path {self.path!r}: {length} bytes long, at most {UNIX_PATH_BYTES} fit"
            )

    @classmethod
    def parse(cls, rest: str) -> UNIX:
        """The endpoint that ``unix:`` and *rest* name.

        In *rest*, ``\\x`` and two hexadecimal digits stand for one byte.

        :raises EndpointError: they name none; says what is wrong.
        """
        if not rest:
            raise EndpointError("the path is missing")
        try:
            return cls(_unescaped(rest))
        except UnicodeEncodeError:
            return cls(rest)

    @property
    def is_abstract(self) -> bool:
        """Whether it is a name in the abstract namespace, and no file."""
        return self.path.startswith(_ABSTRACT)

    def __str__(self) -> str:
        return f"unix:{_escaped(self.path)}"


_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})")


def _escaped(path: str) -> str:
    """*path* in printable characters, of which `_unescaped` makes it again."""
    # A backslash is a character like others, unless it looks like one of our escapes.
    path = re.sub(r"\\(?=x[0-9A-Fa-f]{2})", r"\\x5c", path)
    if path.isprintable():
        return path
    return "".join(
        each if each.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(each))
        for each in path
    )


def _unescaped(text: str) -> str:
    if "\\x" not in text:
        return text
    whole = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), os.fsencode(text))
    return os.fsdecode(whole)
