"""``halfclose listen``."""

from __future__ import annotations

import os
import signal
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cli.support import dial, halfclose_, read_all, reset, start


def test_both_halves(variant: str) -> None:
    with (
        start("listen", "tcp:127.0.0.1:0", "-v", "--backend", variant) as command,
        dial(command.endpoint()) as peer,
    ):
        host, port = peer.getsockname()
        assert command.wait_for("connection from ").startswith(f"tcp:{host}:{port} to tcp:")
        peer.sendall(b"question")
        peer.shutdown(socket.SHUT_WR)
        assert command.stdout.read(100) == b"question"
        command.wait_for("the peer has ended its half, 8 bytes received")
        command.stdin.write(b"ans")
        assert peer.recv(100) == b"ans"
        result = command.finish(b"wer")
        assert read_all(peer) == b"wer"
    assert (result.status, result.out) == (0, b"")


def test_counterpart_of_connect(variant: str) -> None:
    there, back = os.urandom(1 << 20), os.urandom(1 << 20)
    with (
        start("listen", "tcp:127.0.0.1:0", "--backend", variant) as command,
        start("connect", command.endpoint(), "--backend", variant) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        answered = pool.submit(other.finish, there)
        result = command.finish(back)
        assert answered.result() == (0, back, "")
    assert (result.status, result.out) == (0, there)


def test_one_connection_only(variant: str) -> None:
    with start("listen", "tcp:127.0.0.1:0", "-v", "--backend", variant) as command:
        endpoint = command.endpoint()
        with dial(endpoint) as peer:
            command.wait_for("connection from ")
            with pytest.raises(ConnectionError):
                dial(endpoint)
            peer.shutdown(socket.SHUT_WR)
            assert command.finish().status == 0


def test_nobody_comes(variant: str) -> None:
    result = halfclose_("listen", "tcp:127.0.0.1:0", "--timeout", "0.1", "--backend", variant)
    assert result.status == 1
    bound, problem = result.err.splitlines()
    assert problem == (
        f"halfclose: nobody connected to {bound.removeprefix('listening on ')} within 0.1 s"
    )


def test_mode_and_end_of_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "here.sock"
    with start("listen", f"unix:{path}", "--unix-mode", "660") as command:
        endpoint = command.endpoint()
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with dial(endpoint) as peer:
            peer.shutdown(socket.SHUT_WR)
            assert command.finish() == (0, b"", f"listening on {endpoint}\n")
    assert not path.exists()


def test_lost(variant: str) -> None:
    with start("listen", "tcp:127.0.0.1:0", "-v", "--backend", variant) as command:
        endpoint = command.endpoint()
        peer = dial(endpoint)
        command.wait_for("connection from ")
        reset(peer)
        result = command.end()
    assert result.status == 1
    assert f"\nhalfclose: connection on {endpoint} lost: " in result.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_before_anybody_comes(tmp_path: Path, variant: str, number: signal.Signals) -> None:
    path = tmp_path / "here.sock"
    with start("listen", f"unix:{path}", "--backend", variant) as command:
        command.endpoint()
        command.send(number)
        assert command.end().status == -number
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_aborts(variant: str, number: signal.Signals) -> None:
    with (
        start("listen", "tcp:127.0.0.1:0", "-v", "--backend", variant) as command,
        dial(command.endpoint()) as peer,
    ):
        command.wait_for("connection from ")
        command.send(number)
        assert command.end().status == -number
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


def test_name_of_a_peer_that_would_forge_lines(tmp_path: Path) -> None:
    path = tmp_path / "here.sock"
    with (
        start("listen", f"unix:{path}", "-v") as command,
        socket.socket(socket.AF_UNIX) as peer,
    ):
        endpoint = command.endpoint()
        peer.bind(str(tmp_path / "a\x1b[2Jb"))
        peer.connect(str(path))
        said = command.wait_for("connection from ")
        assert said == f"unix:{tmp_path}/a\\x1b[2Jb to {endpoint}"
        peer.shutdown(socket.SHUT_WR)
        assert command.finish().status == 0
