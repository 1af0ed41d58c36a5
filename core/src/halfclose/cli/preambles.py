"""What a client says without TLS to have a server begin TLS, in each protocol of ``--starttls``.

A `Preamble` is a dialogue, and the way to find the end of one reply. The dialogue is a generator:
it yields what to send next, and is sent the next reply. It knows no connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import NamedTuple, TypeAlias

from ..text import printable

__all__ = ["PREAMBLES", "Dialogue", "Preamble", "Refused"]

Dialogue: TypeAlias = Generator[bytes, bytes, None]


class Preamble(NamedTuple):
    """How TLS is begun in one protocol.

    :param talk: begins the dialogue, given our name and the server's.
    :param measure: the length of the first reply in what has come; 0 if it is not whole.
    """

    talk: Callable[[str, str], Dialogue]
    measure: Callable[[bytes], int]


class Refused(Exception):
    """The server does not begin TLS, or does not speak the protocol. The message says which."""


_QUOTED = 120
"""Bytes of a reply that a message quotes."""


def _said(reply: bytes) -> Refused:
    text = printable(reply[:_QUOTED].decode("utf-8", "replace").strip())
    return Refused(f"the server answered {text!r}")


def _expect(reply: bytes, start: bytes) -> None:
    """Make sure that the last line of *reply* begins with *start*, in any case of letters.

    :raises Refused: it does not.
    """
    last = reply.rstrip().rpartition(b"\n")[2]
    if not last.upper().startswith(start):
        raise _said(last)


# -- protocols of lines ------------------------------------------------------------------------


def _line(data: bytes) -> int:
    """Measure a reply of one line."""
    return data.find(b"\n") + 1


def _coded(data: bytes) -> int:
    """Measure a reply with a code of three digits, after which a hyphen says: more lines follow."""
    end = _line(data)
    if re.match(rb"\d{3}-", data):
        last = re.compile(rb"%s(?:[ \r][^\n]*)?\n" % data[:3])
        while end:
            found = last.match(data, end)
            if found is not None:
                return found.end()
            end = data.find(b"\n", end) + 1
    return end


def _smtp(we: str, they: str) -> Dialogue:
    _expect((yield b""), b"220")
    offered = yield f"EHLO {we}\r\n".encode()
    _expect(offered, b"250")
    if not re.search(rb"(?im)^250[- ]STARTTLS\s*$", offered):
        raise Refused("the server does not offer STARTTLS")
    _expect((yield b"STARTTLS\r\n"), b"220")


def _imap(we: str, they: str) -> Dialogue:
    _expect((yield b""), b"* OK")
    reply = yield b"a STARTTLS\r\n"
    while reply.startswith(b"* "):
        reply = yield b""
    _expect(reply, b"A OK")


def _pop3(we: str, they: str) -> Dialogue:
    _expect((yield b""), b"+OK")
    _expect((yield b"STLS\r\n"), b"+OK")


def _ftp(we: str, they: str) -> Dialogue:
    _expect((yield b""), b"220")
    _expect((yield b"AUTH TLS\r\n"), b"234")


# -- PostgreSQL --------------------------------------------------------------------------------


def _byte(data: bytes) -> int:
    """Measure a reply of one byte."""
    return len(data[:1])


def _postgres(we: str, they: str) -> Dialogue:
    # The length of the message, and the code of a request for TLS.
    answer = yield (8).to_bytes(4) + (80877103).to_bytes(4)
    if answer == b"N":
        raise Refused("the server does not offer TLS")
    if answer != b"S":
        raise _said(answer)


# -- LDAP --------------------------------------------------------------------------------------


def _not_ldap() -> Refused:
    return Refused("the server does not speak LDAP")


def _value(data: bytes) -> tuple[int, bytes, bytes] | None:
    """The tag and the content of the first value in BER, and what follows; None: it is not whole.

    :raises Refused: its length is not plausible.
    """
    start, size = 2, data[1] if len(data) > 1 else 0
    if size >= 0x80:
        start += size - 0x80
        if start > 6:
            raise _not_ldap()
        size = int.from_bytes(data[2:start])
    end = start + size
    return (data[0], data[start:end], data[end:]) if len(data) >= end else None


def _message(data: bytes) -> int:
    """Measure a message of LDAP."""
    if data[:1] not in (b"", b"\x30"):
        raise _not_ldap()
    found = _value(data)
    return 0 if found is None else len(data) - len(found[2])


def _ldap(we: str, they: str) -> Dialogue:
    # An extended request: the number of the message is 1, and the name says: begin TLS.
    name = b"1.3.6.1.4.1.1466.20037"
    request = bytes((0x77, len(name) + 2, 0x80, len(name))) + name
    reply = yield bytes((0x30, len(request) + 3, 2, 1, 1)) + request
    message = _value(reply)
    number = message and _value(message[1])
    response = number and _value(number[2])
    result = response and _value(response[1])
    if not result or not response or response[0] != 0x78 or result[0] != 0x0A:
        raise _not_ldap()
    if any(result[1]):
        raise Refused(f"the server answered with the LDAP result {result[1][-1]}")


# -- XMPP --------------------------------------------------------------------------------------

_NAMESPACE = b"urn:ietf:params:xml:ns:xmpp-tls"


def _tag(data: bytes) -> int:
    """Measure an XML tag, and the text before it."""
    return data.find(b">") + 1


def _xmpp(we: str, they: str) -> Dialogue:
    they = they.replace("&", "&amp;").replace("<", "&lt;").replace("'", "&apos;")
    offered = yield (
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
        f"xmlns:stream='http://etherx.jabber.org/streams' to='{they}' version='1.0'>"
    ).encode()
    while not re.search(rb"<stream:features\s*/>|</stream:features\s*>", offered):
        if not re.match(rb"\s*<(\?xml|stream:stream)\b", offered) or b"<stream:error" in offered:
            raise _said(offered)
        offered += yield b""
    if _NAMESPACE not in offered:
        raise Refused("the server does not offer STARTTLS")
    answer = yield b"<starttls xmlns='%s'/>" % _NAMESPACE
    if not re.match(rb"\s*<proceed\b", answer):
        raise _said(answer)
    if not answer.endswith(b"/>"):
        yield b""


PREAMBLES = {
    "smtp": Preamble(_smtp, _coded),
    "imap": Preamble(_imap, _line),
    "pop3": Preamble(_pop3, _line),
    "ftp": Preamble(_ftp, _coded),
    "ldap": Preamble(_ldap, _message),
    "postgres": Preamble(_postgres, _byte),
    "xmpp": Preamble(_xmpp, _tag),
}
"""Each protocol by its name."""
