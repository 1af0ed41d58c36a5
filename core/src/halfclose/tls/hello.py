"""`Hellos`: reads the server's name in a client's first messages, which `ssl` does not tell."""

from __future__ import annotations

__all__ = ["UNREADABLE", "Hellos"]

UNREADABLE = "\ufffd"
"""Stands in a name for each byte that is not ASCII."""

_LONGEST = 132 * 1024
"""Bytes of one message that are kept: OpenSSL takes no longer one of a client."""

_RECORD = 5
"""Bytes before the content of a record; the last two are the length of the content."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = b"\0\0"


class Hellos:
    """Follows what a client sends first, which may be cut into records anyhow.

    It may be two messages: if a server of TLS 1.3 asks for another one, that replaces the first.
    """

    __slots__ = ("_message", "_over", "_records", "name")

    def __init__(self) -> None:
        self.name: str | None = None
        """The name in the last message that has come whole; None if there is none (TLS-18)."""
        self._records = bytearray()
        self._message = bytearray()
        self._over = False

    def passed(self, data: bytes) -> None:
        """Follow the stream over its next bytes, which may be anything."""
        if self._over:
            return
        self._records += data
        while not self._over and len(self._records) >= _RECORD:
            end = _RECORD + int.from_bytes(self._records[3:_RECORD], "big")
            if len(self._records) < end:
                break
            if self._records[0] == _HANDSHAKE:
                # OpenSSL ignores some others, which say nothing of the name.
                self._take(self._records[_RECORD:end])
            del self._records[:end]
        if self._over or len(self._records) + len(self._message) > _LONGEST:
            self._over = True
            self._records.clear()
            self._message.clear()

    def _take(self, content: bytearray) -> None:
        """Take the content of the next record, which may be empty."""
        self._message += content
        if self._message and self._message[0] != _CLIENT_HELLO:
            self._over = True
            return
        end = 4 + int.from_bytes(self._message[1:4], "big")
        if len(self._message) >= max(4, end):
            self.name = _name_in(bytes(self._message[4:end]))
            del self._message[:end]


def _name_in(hello: bytes) -> str | None:
    """The name for which a client asks; None if it asks for none."""
    # Behind the version and the random bytes come the session, the ciphers and the compressions.
    rest = hello[34:]
    for width in (1, 2, 1):
        _, rest = _vector(rest, width)
    extensions, _ = _vector(rest, 2)
    while extensions:
        kind = extensions[:2]
        content, extensions = _vector(extensions[2:], 2)
        if kind == _SERVER_NAME:
            names, _ = _vector(content, 2)
            name, _ = _vector(names[1:], 2)
            return name.decode("ascii", "replace") or None
    return None


def _vector(data: bytes, width: int) -> tuple[bytes, bytes]:
    """What stands in *data* behind its length of *width* bytes, and the rest."""
    end = width + int.from_bytes(data[:width], "big")
    return data[width:end], data[end:]
