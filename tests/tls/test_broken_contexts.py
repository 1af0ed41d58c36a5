"""A server's context that fails at each handshake: one line each, and the listener goes on."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from typing import NoReturn

import pytest
from halfclose import ConnectionOptions, TLSOptions
from halfclose.testing import network
from memory.support import drive
from tls.conversations import logged
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


def test_a_name_that_is_no_text() -> None:
    """A client may send any bytes as the name it asks for."""
    own = ConnectionOptions(tls=TLSOptions(with_callback(lambda *args: None)))

    def spoil(data: bytes) -> bytes:
        return data.replace(b"localhost", b"\xff\n\x1b[2J\x80\xfe!")

    async def main() -> None:
        with logged() as lines:
            async with network() as net:
                await net.backend.listen("memory:us", Told, own)
                with await net.raw("us") as end, pytest.raises(ssl.SSLError):
                    await Peer(end, server_side=False, spoil=spoil).shake_hands()
                with await net.raw("us") as end:
                    peer = Peer(end, server_side=False, context=client_context())
                    await peer.shake_hands()
                    await peer.end_write()
                    assert await peer.read_all() == GREETING + ANSWER
        [line] = lines
        assert line.getMessage().endswith("the client asks for a name that is not ASCII")

    drive(main())
