"""Endpoints of the scheme ``unix:``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ..reasons import EndpointError
from .endpoint import Endpoint

__all__ = ["UNIX", "UNIX_PATH_BYTES"]

UNIX_PATH_BYTES = 107
"""The longest path that a unix socket can have on Linux, in bytes. An abstract name can be as long,
without its ``@``."""

_ABSTRACT = "@"


@dataclass(frozen=True, slots=True)
class UNIX(Endpoint):
    """The path of a unix socket, or a name in Linux's abstract namespace.

    A path that begins with ``@`` is an abstract name. It is no file, so nothing has to be removed
    after use, and every process may connect to it. A file whose name begins with ``@`` is written
    ``./@name``. The system's abstract names are bytes; ``os.fsdecode`` makes the string of them.

    :param path: empty for the end of a connection that has no name.
    :raises EndpointError: the path is longer than 107 bytes (the ``@`` of an abstract name is not
        counted), the path of a file holds a NUL, or *path* is no string.
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
        """The endpoint that is written as ``unix:`` and *rest*.

        In *rest*, ``\\x`` and two hexadecimal digits stand for one byte.

        :param rest: what stands after the colon.
        :raises EndpointError: *rest* is no valid path. The message says why.
        """
        if not rest:
            raise EndpointError("the path is missing")
        try:
            return cls(_unescaped(rest))
        except UnicodeEncodeError:
            return cls(rest)

    @property
    def is_abstract(self) -> bool:
        """Whether this is a name in the abstract namespace, and no file."""
        return self.path.startswith(_ABSTRACT)

    def __str__(self) -> str:
        return f"unix:{_escaped(self.path)}"


_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})")


def _escaped(path: str) -> str:
    """*path* in printable characters, from which `_unescaped` makes the same path."""
    # A backslash that would look like one of our escapes has to be escaped itself.
    path = re.sub(r"\\(?=x[0-9A-Fa-f]{2})", r"\\x5c", path)
    if path.isprintable():
        return path
    return "".join(
        each if each.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(each))
        for each in path
    )


def _unescaped(text: str) -> str:
    """*text*, with each ``\\x`` and two hexadecimal digits replaced by that byte."""
    if "\\x" not in text:
        return text
    whole = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), os.fsencode(text))
    return os.fsdecode(whole)
