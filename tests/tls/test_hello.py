"""The name that a client asks for is read from its first records, however they came."""

from __future__ import annotations

import ssl
from contextlib import suppress

import pytest
from halfclose.tls.hello import Hellos


def server_name(records: bytes) -> str | None:
    hellos = Hellos()
    hellos.passed(records)
    return hellos.name


def hello(name: str | None) -> bytes:
    """The first record of a client that asks for *name*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def in_records(record: bytes, size: int) -> bytes:
    """The message of one *record*, in records of up to *size* bytes."""
    message = record[5:]
    return b"".join(
        record[:3] + len(piece).to_bytes(2, "big") + piece
        for piece in (message[at : at + size] for at in range(0, len(message), size))
    )


@pytest.mark.parametrize("name", ["halfclose.test", "a.example", None])
@pytest.mark.parametrize("size", [1, 7, 100, 1 << 15])
def test_the_name(name: str | None, size: int) -> None:
    assert server_name(in_records(hello(name), size)) == name


def test_an_address_is_no_name() -> None:
    assert server_name(hello("127.0.0.1")) is None


def test_what_follows_the_hello_is_not_looked_at() -> None:
    change_of_cipher = b"\x14\x03\x03\x00\x01\x01"
    assert server_name(hello("a.example") + change_of_cipher + b"\x17\x03\x03") == "a.example"


def test_a_hello_that_was_cut_off_has_no_name() -> None:
    whole = hello("a.example")
    assert {server_name(whole[:size]) for size in range(len(whole))} == {None}


def test_a_hello_that_comes_byte_by_byte() -> None:
    hellos = Hellos()
    for byte in hello("a.example"):
        hellos.passed(bytes([byte]))
    assert hellos.name == "a.example"
