"""Reads the name of the server in the first message of a client, which `ssl` does not tell."""

from __future__ import annotations

__all__ = ["LONGEST_HELLO", "UNREADABLE", "has_record", "server_name"]

LONGEST_HELLO = 32 * 1024
"""Bytes of a client's first records in which the name is looked for."""

UNREADABLE = "\ufffd"
"""Stands in a name for each byte that is not ASCII."""

_HANDSHAKE = b"\x16"
_SERVER_NAME = b"\0\0"


def server_name(records: bytes) -> str | None:
    """The name of the server that a client asks for (TLS-18); None if it asks for none.

    :param records: the first records of a client, or what has come of them. What is missing or no
        TLS counts as no name.
    """
    messages = b""
    while records[:1] == _HANDSHAKE:
        content, records = _vector(records[3:], 2)
        messages += content
    hello, _ = _vector(messages[1:], 3)
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


def has_record(data: bytes) -> bool:
    """Whether *data* begins with a whole record."""
    return len(data) >= 5 + int.from_bytes(data[3:5], "big")


def _vector(data: bytes, width: int) -> tuple[bytes, bytes]:
    """What stands in *data* behind its length of *width* bytes, and the rest."""
    end = width + int.from_bytes(data[:width], "big")
    return data[width:end], data[end:]
