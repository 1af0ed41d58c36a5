"""The examples, as the programs that they are."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
from datetime import UTC, datetime

import pytest
from cli.support import dial, halfclose_, read_all, start


def test_upper() -> None:
    result = halfclose_("run", "halfclose.examples:Upper", "stdio:", data=b"hello, world")
    assert (result.status, result.out) == (0, b"HELLO, WORLD")
    assert "Upper: connection made\n" in result.err


def test_sum() -> None:
    data = os.urandom(1 << 20)
    result = halfclose_("run", "halfclose.examples:Sum", "stdio:", data=data)
    assert (result.status, result.out) == (0, hashlib.sha256(data).hexdigest().encode() + b"\n")


def test_discard() -> None:
    with start("run", "halfclose.examples:Discard", "tcp:127.0.0.1:0") as it:
        with dial(it.endpoint()) as peer:
            assert read_all(peer) == b""
            peer.sendall(b"x" * 1_000_000)
            it.wait_for("Discard: writeConnectionLost")
            peer.shutdown(socket.SHUT_WR)
            it.wait_for("Discard: readConnectionLost")
            it.wait_for("Discard: connectionLost: ConnectionDone(")
        it.send(signal.SIGTERM)
        assert it.finish().status == 0


def test_daytime() -> None:
    with start("run", "halfclose.examples:Daytime", "tcp:127.0.0.1:0") as it:
        with dial(it.endpoint()) as peer:
            peer.sendall(b"what time is it?")
            answer = read_all(peer)
            assert answer.endswith(b"\r\n")
            told = datetime.fromisoformat(answer.decode().strip())
            assert abs((datetime.now(UTC) - told).total_seconds()) < 60
            it.wait_for("Daytime: writeConnectionLost")
            peer.shutdown(socket.SHUT_WR)
            it.wait_for("Daytime: connectionLost: ConnectionDone(")
        it.send(signal.SIGTERM)
        assert it.finish().status == 0


@pytest.mark.parametrize("name", ["Discard", "Daytime", "Ask"])
def test_on_stdio(name: str) -> None:
    result = halfclose_("run", f"halfclose.examples:{name}", "stdio:", data=b"?")
    assert result.status == 0
    assert f"{name}: writeConnectionLost\n" in result.err
    assert f"{name}: connectionLost: ConnectionDone(" in result.err
