"""``halfclose connect``."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import signal
import socket
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from select import select

import pytest
from cli.support import (
    ECHO,
    LIMIT,
    PEAK_MIB,
    accepted,
    fill,
    fill_pipe,
    halfclose_,
    listening,
    read_all,
    refusing,
    reset,
    start,
    wait_until,
)

MIB = 1 << 20


def _round_trip(target: int, source: int, data: bytes, times: int) -> tuple[str, str]:
    """Write *data* so many *times* to *target*, read as much from *source*; both SHA-256s."""
    written, read = hashlib.sha256(), hashlib.sha256()
    left_to_write = [memoryview(data)] * times
    left_to_read = times * len(data)
    os.set_blocking(target, False)
    while left_to_read:
        readable, writable, _ = select([source], [target] if left_to_write else [], [], LIMIT)
        assert readable or writable
        if writable:
            piece = left_to_write.pop()
            count = os.write(target, piece)
            written.update(piece[:count])
            if count < len(piece):
                left_to_write.append(piece[count:])
        if readable:
            received = os.read(source, 65536)
            assert received, f"{left_to_read} bytes are missing"
            read.update(received)
            left_to_read -= len(received)
    return written.hexdigest(), read.hexdigest()


def test_round_trip_in_bounded_memory(variant: str) -> None:
    with (
        start("run", ECHO, "tcp:127.0.0.1:0", "--backend", variant) as server,
        start("connect", server.endpoint(), "--backend", variant) as client,
    ):
        written, read = _round_trip(
            client.stdin.fileno(), client.stdout.fileno(), os.urandom(MIB), 8
        )
        assert written == read
        assert client.peak_mib() < PEAK_MIB
        assert server.peak_mib() < PEAK_MIB
        # Everything came back; only now is the end of stdin seen, and answered with another.
        assert client.finish() == (0, b"", "")
        server.wait_for("Echo: connectionLost: ConnectionDone(")
        server.send(signal.SIGTERM)
        assert server.finish().status == 0


def test_answer_to_the_end_of_input(variant: str) -> None:
    data = os.urandom(MIB)
    with start("run", "halfclose.examples:Sum", "tcp:127.0.0.1:0", "--backend", variant) as server:
        result = halfclose_("connect", server.endpoint(), "--backend", variant, data=data)
        server.send(signal.SIGTERM)
        assert server.finish().status == 0
    assert result == (0, hashlib.sha256(data).hexdigest().encode() + b"\n", "")


def test_end_of_input_is_a_half_close(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        command.stdin.write(b"question")
        command.stdin.close()
        command.process.stdin = None
        assert read_all(peer) == b"question"
        peer.sendall(b"answer")
        assert command.stdout.read(6) == b"answer"
        peer.shutdown(socket.SHUT_WR)
        assert command.finish() == (0, b"", "")


def test_half_close_of_the_peer_ends_the_output(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        peer.sendall(b"banner")
        peer.shutdown(socket.SHUT_WR)
        assert command.stdout.read(100) == b"banner"
        assert command.stdout.read(1) == b""
        command.stdin.write(b"still talking")
        assert peer.recv(100) == b"still talking"
        assert command.finish(b", and done") == (0, b"", "")
        assert read_all(peer) == b", and done"


def test_from_file_to_file(tmp_path: Path) -> None:
    data = os.urandom(MIB)
    (tmp_path / "in").write_bytes(data)
    with (
        start("run", ECHO, f"unix:{tmp_path}/echo") as server,
        open(tmp_path / "in", "rb") as source,
        open(tmp_path / "out", "wb") as target,
    ):
        endpoint = server.endpoint()
        result = halfclose_("connect", endpoint, stdin=source, stdout=target)
        assert result == (0, b"", "")
        server.send(signal.SIGTERM)
        assert server.finish().status == 0
    assert (tmp_path / "out").read_bytes() == data


def test_nothing_to_say_and_nothing_to_hear() -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint) as command,
        accepted(listener) as peer,
    ):
        peer.shutdown(socket.SHUT_WR)
        assert command.finish() == (0, b"", "")


def test_slow_reader_slows_the_peer(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        sent = fill(command, peer)
        assert sent < 32 * MIB
        assert command.peak_mib() < PEAK_MIB
        peer.shutdown(socket.SHUT_WR)
        result = command.finish()
    assert result == (0, b"x" * sent, "")


def test_slow_peer_slows_the_input(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        sent = fill_pipe(command)
        assert sent < 32 * MIB
        assert command.peak_mib() < PEAK_MIB
        command.stdin.close()
        command.process.stdin = None
        assert read_all(peer) == b"x" * sent
        peer.shutdown(socket.SHUT_WR)
        assert command.finish() == (0, b"", "")


def test_refused(variant: str) -> None:
    with refusing() as endpoint:
        result = halfclose_("connect", endpoint, "--backend", variant)
    assert result.status == 1
    assert endpoint in result.problem
    assert "refused" in result.problem


def test_nobody_at_the_path(tmp_path: Path) -> None:
    result = halfclose_("connect", f"unix:{tmp_path}/nobody")
    assert result.status == 1
    assert f"unix:{tmp_path}/nobody" in result.problem


def test_refused_leaves_the_input_alone() -> None:
    ours, theirs = os.pipe()
    try:
        os.write(theirs, b"for the next program")
        with refusing() as endpoint:
            assert halfclose_("connect", endpoint, stdin=ours).status == 1
        assert os.read(ours, 100) == b"for the next program"
    finally:
        os.close(ours)
        os.close(theirs)


def test_reset(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        peer.sendall(b"half an ans")
        assert command.stdout.read(5) == b"half "
        reset(peer)
        result = command.end()
    assert result.status == 1
    assert result.out == b"an ans"
    assert result.problem.startswith(f"halfclose: connection to {endpoint} lost: ")


def test_reset_after_the_end_of_input(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        command.stdin.close()
        command.process.stdin = None
        assert read_all(peer) == b""
        reset(peer)
        result = command.finish()
    assert result.status == 1
    assert result.problem.startswith(f"halfclose: connection to {endpoint} lost: ")


def _unread(fd: int) -> int:
    """Bytes that wait in a pipe."""
    packed = fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(packed, sys.byteorder)


def test_reader_of_the_output_goes_away(variant: str) -> None:
    """What the peer says then is lost, and only then is anything wrong."""
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "-v", "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        peer.sendall(b"x" * 30_000)
        # All that it says before is with the reader, who leaves the most of it unread.
        wait_until(lambda: _unread(command.stdout.fileno()) == 30_000)
        assert command.stdout.read(10) == b"x" * 10
        command.stdout.close()
        command.process.stdout = None
        command.wait_for("nobody reads the output any more")
        command.stdin.write(b"the other half goes on")
        assert peer.recv(100) == b"the other half goes on"
        peer.sendall(b"y")
        result = command.end()
        with pytest.raises(ConnectionResetError):
            read_all(peer)
    assert result.status == 1
    assert result.err.endswith("\nhalfclose: stdio lost: nobody reads the output any more\n")


@pytest.mark.parametrize("exit_on_close", [False, True])
def test_upload_goes_on_without_a_reader_of_the_output(variant: str, exit_on_close: bool) -> None:
    data = os.urandom(4 * MIB)
    options = ["--exit-on-close"] if exit_on_close else []
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, *options, "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        command.stdout.close()
        command.process.stdout = None
        received = hashlib.sha256()
        with ThreadPoolExecutor(2) as pool:
            ended = pool.submit(command.finish, data)
            while piece := peer.recv(65536):
                received.update(piece)
            peer.shutdown(socket.SHUT_WR)
            assert ended.result() == (0, b"", "")
    assert received.digest() == hashlib.sha256(data).digest()


def test_reset_without_a_reader_of_the_output(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "-v", "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        command.stdout.close()
        command.process.stdout = None
        command.wait_for("nobody reads the output any more")
        reset(peer)
        result = command.end()
    assert result.status == 1
    assert f"halfclose: connection to {endpoint} lost: " in result.err


def test_reader_of_the_output_leaves_some_unread(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        fill(command, peer)
        peer.shutdown(socket.SHUT_WR)
        command.stdout.close()
        command.process.stdout = None
        result = command.end()
    assert result.status == 1
    assert result.problem == "halfclose: stdio lost: nobody reads the output any more"


def test_output_that_cannot_be_written() -> None:
    with (
        open("/dev/full", "wb") as full,
        listening() as (listener, endpoint),
        start("connect", endpoint, stdout=full) as command,
        accepted(listener) as peer,
    ):
        peer.sendall(b"answer")
        result = command.finish()
    assert result.status == 1
    assert result.problem == "halfclose: stdio lost: [Errno 28] No space left on device"


def test_half_close_timeout() -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--half-close-timeout", "0.1") as command,
        accepted(listener),
    ):
        result = command.finish(b"anyone?")
    assert result.status == 1
    assert result.problem.startswith(f"halfclose: connection to {endpoint} lost: half-closed")
    assert result.problem.endswith("--idle-timeout)")


def test_idle_timeout_is_no_loss(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--idle-timeout", "1.5", "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        peer.sendall(b"a complete answer")
        # Its input stays open, and so does the peer's half.
        assert command.end() == (0, b"a complete answer", "")
        assert read_all(peer) == b""


@pytest.mark.parametrize("amount", [1 << 7, 1 << 14])
def test_idle_timeout_waits_for_a_slow_reader(amount: int) -> None:
    """Also for one that takes so little that a pipe, page by page, has no room for more."""
    limit, size = 2.0, 64 * MIB
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--idle-timeout", str(limit)) as command,
        accepted(listener) as peer,
        ThreadPoolExecutor(2) as pool,
    ):
        sending = pool.submit(peer.sendall, bytes(size))
        out = b""
        begun = time.monotonic()
        while time.monotonic() - begun < 1.5 * limit:
            out += os.read(command.stdout.fileno(), amount)
            time.sleep(0.1)
        assert not sending.done()
        # The rest is read at once, so that sending comes to its end.
        command.process.stdin.close()  # type: ignore[union-attr]
        command.process.stdin = None
        rest = pool.submit(command.finish)
        sending.result()
        peer.shutdown(socket.SHUT_WR)
        result = rest.result()
    assert (result.status, result.err) == (0, "")
    assert out + result.out == bytes(size)


def test_idle_timeout_does_not_wait_for_who_reads_nothing(variant: str) -> None:
    """What is left is not passed over in silence: the status tells."""
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--idle-timeout", "1.5", "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            peer.sendall(bytes(64 << 20))
        result = command.end()
    assert result.status == 1
    assert result.problem == "halfclose: stdio lost: nothing was taken for 1.5 s of what waits"


def test_idle_timeout_does_not_wait_for_a_peer_that_reads_nothing(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--idle-timeout", "1.5", "--backend", variant) as command,
        accepted(listener),
    ):
        with open("/dev/zero", "rb") as endless, suppress(BrokenPipeError):
            while True:
                command.stdin.write(endless.read(1 << 16))
        result = command.end()
    assert result.status == 1
    assert result.problem == (
        f"halfclose: connection to {endpoint} lost: nothing was taken for 1.5 s of what waits"
    )


def test_exit_on_close(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--exit-on-close", "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        command.stdin.write(b"question")
        assert peer.recv(100) == b"question"
        peer.sendall(b"answer")
        peer.close()
        # Its input stays open.
        assert command.end() == (0, b"answer", "")


def test_verbose(variant: str) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "-v", "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        host, port = peer.getpeername()
        assert command.wait_for("connected to ") == f"{endpoint} from tcp:{host}:{port}"
        command.stdin.write(b"question")
        command.stdin.close()
        command.process.stdin = None
        assert read_all(peer) == b"question"
        command.wait_for("our half has ended, 8 bytes sent")
        peer.sendall(b"answer")
        peer.shutdown(socket.SHUT_WR)
        command.wait_for("the peer has ended its half, 6 bytes received")
        result = command.finish()
    assert (result.status, result.out) == (0, b"answer")
    assert re.fullmatch(
        r"over: 8 bytes sent, 6 received, \d+\.\d{3} s", result.err.splitlines()[-1]
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_aborts(variant: str, number: signal.Signals) -> None:
    with (
        listening() as (listener, endpoint),
        start("connect", endpoint, "--backend", variant) as command,
        accepted(listener) as peer,
    ):
        command.stdin.write(b"begun")
        assert peer.recv(5) == b"begun"
        command.send(number)
        result = command.end()
        # What was cut off does not look complete.
        with pytest.raises(ConnectionResetError):
            peer.recv(1)
    assert result == (-number, b"", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_connecting(tmp_path: Path, variant: str, number: signal.Signals) -> None:
    path = str(tmp_path / "full")
    # A unix listener whose queue is full lets nobody connect, and says nothing.
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(path)
        listener.listen(0)
        waiting.connect(path)
        with start("connect", f"unix:{path}", "--backend", variant) as command:
            wait_until(lambda: command.handles_signals())
            command.send(number)
            assert command.finish() == (-number, b"", "")


def test_connecting_takes_too_long(tmp_path: Path) -> None:
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(path)
        listener.listen(0)
        waiting.connect(path)
        result = halfclose_("connect", f"unix:{path}", "--timeout", "0.1")
    assert result.status == 1
    assert result.problem.startswith(f"halfclose: cannot connect to unix:{path}: no answer")


def test_stdio_is_no_other_end() -> None:
    result = halfclose_("connect", "stdio:")
    assert result.status == 2
    assert "stdio:" in result.problem
