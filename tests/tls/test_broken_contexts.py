"""A server's context that fails at each handshake: one line each, and the listener goes on."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from typing import NoReturn

import pytest
from halfclose import ConnectionOptions, TLSOptions
from halfclose.memory import End
from halfclose.testing import network
from halfclose.testing.networks import OpenNetwork
from memory.support import drive
from tls.conversations import logged, record
from tls.forging import HANDSHAKE
from tls.peers import Peer
from tls.support import ANSWER, GREETING, Told, client_context, new_server_context


def raising(*args: object) -> NoReturn:
    raise ValueError("no such name")


def with_callback(callback: Callable[..., object]) -> ssl.SSLContext:
    context = new_server_context()
    context.sni_callback = callback  # type: ignore[assignment]
    return context


BROKEN: dict[str, Callable[[], ssl.SSLContext]] = {
    "has no certificate": lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
    "callback raises": lambda: with_callback(raising),
    "callback returns a text": lambda: with_callback(lambda *args: "what is it"),
    "callback refuses": lambda: with_callback(
        lambda *args: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_one_line_for_each_handshake(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Python itself tells of what a callback has raised.
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: None)
    own = ConnectionOptions(tls=TLSOptions(BROKEN[kind]()))

    async def main() -> None:
        with logged() as lines:
            async with network() as net:
                listener = await net.backend.listen("memory:us", Told, own)
                for number in range(1, 4):
                    with await net.raw("us") as end:
                        with pytest.raises(ssl.SSLError):
                            await Peer(end, server_side=False).shake_hands()
                        await net.advance(0)
                    assert len(lines) == number
                    assert lines[-1].exc_info is None
                listener.close()
        assert net.open_ends() == []

    drive(main())


WHOLE = (1 << 14,)
HALVES = (60, 1 << 14)
HEADS = (1, 2, 1, 1 << 14)
EMPTY = (0, 1 << 14)
"""Bytes of a client's first message in each of its records."""


async def in_pieces(net: OpenNetwork, end: End, data: bytes, sizes: tuple[int, ...]) -> None:
    """Send the message of the record *data* in records of these *sizes*, one after another."""
    message = data[5:]
    for size in sizes:
        await end.send_all(record(HANDSHAKE, message[:size]))
        await net.advance(0)
        message = message[size:]
    assert not message


def test_a_name_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client may send any bytes as the name it asks for."""
    printed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    own = ConnectionOptions(tls=TLSOptions(with_callback(lambda *args: None)))

    def spoil(data: bytes) -> bytes:
        return data.replace(b"localhost", b"\xff\n\x1b[2J\x80\xfe!")

    async def main() -> None:
        with logged() as lines:
            async with network() as net:
                await net.backend.listen("memory:us", Told, own)
                for sizes in WHOLE, HALVES, HEADS, EMPTY:
                    with await net.raw("us") as end:
                        peer = Peer(end, server_side=False, spoil=spoil)
                        with pytest.raises(ssl.SSLWantReadError):
                            peer.tls.do_handshake()
                        await in_pieces(net, end, spoil(peer.outgoing.read()), sizes)
                        with pytest.raises(ssl.SSLError):
                            await peer.shake_hands()
                with await net.raw("us") as end:
                    peer = Peer(end, server_side=False, context=client_context())
                    await peer.shake_hands()
                    await peer.end_write()
                    assert await peer.read_all() == GREETING + ANSWER
        assert len(lines) == 4
        for line in lines:
            assert line.getMessage().endswith("the client asks for a name that is not ASCII")

    drive(main())
    assert not printed


def test_a_client_that_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """In TLS 1.3, a server that wants another group asks for another first message.

    The name in that one is what counts, since OpenSSL chooses the certificate by it.
    """
    printed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    asked: list[object] = []
    context = with_callback(lambda _, name, __: asked.append(name))
    context.set_ecdh_curve("secp384r1")
    own = ConnectionOptions(tls=TLSOptions(context))
    names = iter([b"localhost", b"localhosu", b"localhost", b"localhos\xff"])

    def spoil(data: bytes) -> bytes:
        return data.replace(b"localhost", next(names)) if b"localhost" in data else data

    async def main() -> None:
        with logged() as lines:
            async with network() as net:
                await net.backend.listen("memory:us", Told, own)
                for _ in range(2):
                    with await net.raw("us") as end:
                        # To the server, what the client has sent is not what it says it has sent.
                        with pytest.raises(ssl.SSLError):
                            await Peer(end, server_side=False, spoil=spoil).shake_hands()
                        await net.advance(0)
        assert asked == ["localhost", "localhosu", "localhost"]
        assert len(lines) == 2
        assert lines[1].getMessage().endswith("the client asks for a name that is not ASCII")

    drive(main())
    assert not printed
