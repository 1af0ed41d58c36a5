"""``halfclose run``."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cli.support import (
    ECHO,
    LIMIT,
    dial,
    fill,
    fill_pipe,
    halfclose_,
    read_all,
    reset,
    start,
    wait_until,
)

ECHO_LOG = """\
Echo: connection made
Echo: readConnectionLost
Echo: connectionLost: ConnectionDone('the connection was closed cleanly')
"""

OWN = """\
import halfclose

class Shout(halfclose.HalfCloseableProtocol):
    def dataReceived(self, data):
        self.transport.write(data.upper())
    def readConnectionLost(self):
        self.transport.loseConnection()
    def writeConnectionLost(self):
        pass

def quietly():
    protocol = Shout()
    protocol.connectionMade = lambda: protocol.transport.write(b"(quietly) ")
    return protocol

def nothing():
    pass
"""


def test_echo_on_stdio(variant: str) -> None:
    result = halfclose_("run", ECHO, "stdio:", "--backend", variant, data=b"hello, world")
    assert result == (0, b"hello, world", ECHO_LOG)


def test_echo_on_stdio_of_more_than_a_pipe_holds() -> None:
    data = os.urandom(1 << 20)
    result = halfclose_("run", ECHO, "stdio:", data=data)
    assert result == (0, data, ECHO_LOG)


def test_echo_on_stdio_from_file_to_file(tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    (tmp_path / "in").write_bytes(data)
    with open(tmp_path / "in", "rb") as source, open(tmp_path / "out", "wb") as target:
        result = halfclose_("run", ECHO, "stdio:", stdin=source, stdout=target)
    assert result == (0, b"", ECHO_LOG)
    assert (tmp_path / "out").read_bytes() == data


def test_echo_on_a_terminal(variant: str) -> None:
    ours, theirs = pty.openpty()
    try:
        with start(
            "run", ECHO, "stdio:", "--backend", variant, stdin=theirs, stdout=theirs
        ) as command:
            command.wait_for("Echo: connection made")
            os.write(ours, b"hello\n\x04")
            assert command.finish().status == 0
            # Once from the terminal's own echo, and once from ours.
            seen = b""
            while seen.count(b"hello\r\n") < 2:
                assert select.select([ours], [], [], LIMIT)[0], seen
                seen += os.read(ours, 100)
    finally:
        os.close(ours)
        os.close(theirs)


def test_reader_of_stdout_goes_away(variant: str) -> None:
    with start("run", ECHO, "stdio:", "--backend", variant) as command:
        command.wait_for("Echo: connection made")
        command.stdout.close()
        command.wait_for("Echo: writeConnectionLost")
        command.process.stdout = None
        result = command.finish()
    assert result.status == 0
    assert "Traceback" not in result.err


def test_output_that_nobody_takes(variant: str) -> None:
    with start("run", ECHO, "stdio:", "--backend", variant) as command:
        command.wait_for("Echo: connection made")
        fill_pipe(command)
        command.stdout.close()
        command.process.stdout = None
        result = command.end()
    # As every filter dies.
    assert result.status == -signal.SIGPIPE
    assert result.err.splitlines()[-1].startswith("Echo: connectionLost: ConnectionLost(")


def test_output_that_cannot_be_written() -> None:
    with open("/dev/full", "wb") as full:
        result = halfclose_("run", ECHO, "stdio:", data=b"hi", stdout=full)
    assert result.status == 1
    assert result.err.splitlines()[-1] == (
        "halfclose: connection with stdio: lost: [Errno 28] No space left on device"
    )


def test_half_close_over_tcp(variant: str) -> None:
    with start("run", ECHO, "tcp:127.0.0.1:0", "--backend", variant) as command:
        with dial(command.endpoint()) as peer:
            peer.sendall(b"hello, world")
            peer.shutdown(socket.SHUT_WR)
            assert read_all(peer) == b"hello, world"
        command.wait_for("Echo: connectionLost: ConnectionDone(")
        command.send(signal.SIGTERM)
        assert command.finish().status == 0


def test_half_close_over_a_unix_socket(tmp_path: Path, variant: str) -> None:
    path = tmp_path / "echo.sock"
    with start("run", ECHO, f"unix:{path}", "--backend", variant) as command:
        assert command.endpoint() == f"unix:{path}"
        with dial(f"unix:{path}") as peer:
            peer.sendall(b"hello, world")
            peer.shutdown(socket.SHUT_WR)
            assert read_all(peer) == b"hello, world"
        command.send(signal.SIGTERM)
        assert command.finish().status == 0
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_an_idle_server(variant: str, number: signal.Signals) -> None:
    with start("run", ECHO, "tcp:127.0.0.1:0", "--backend", variant) as command:
        command.endpoint()
        command.send(number)
        result = command.finish()
    # SIGTERM asks a server to end; ^C is also meant for the shell's loop around it.
    assert result.status == (0 if number == signal.SIGTERM else -number)
    assert "Traceback" not in result.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_loses_nothing(variant: str, number: signal.Signals) -> None:
    with (
        start("run", ECHO, "tcp:127.0.0.1:0", "--backend", variant) as command,
        dial(command.endpoint()) as peer,
    ):
        # Unread, the echo waits in the server until after the signal.
        sent = fill(command, peer)
        command.send(number)
        command.wait_for("closing")
        command.wait_for("Echo: connection made")
        received = read_all(peer)
        assert 65536 < len(received) <= sent
        peer.close()
        result = command.finish()
    assert result.status == (0 if number == signal.SIGTERM else -number)
    assert "Echo: connectionLost: ConnectionDone(" in result.err


@pytest.mark.parametrize("mode", ["660", "0o606"])
def test_mode_of_a_unix_socket(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "echo.sock"
    with start("run", ECHO, f"unix:{path}", "--unix-mode", mode) as command:
        command.endpoint()
        assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)
        command.send(signal.SIGTERM)
        assert command.finish().status == 0


@pytest.mark.parametrize(
    ("first", "second"), [(signal.SIGINT, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)]
)
def test_second_signal_aborts_a_stalled_peer(
    variant: str, first: signal.Signals, second: signal.Signals
) -> None:
    with (
        start("run", ECHO, "tcp:127.0.0.1:0", "--backend", variant) as command,
        dial(command.endpoint()) as peer,
    ):
        fill(command, peer)
        command.send(first)
        command.wait_for("closing")
        command.send(second)
        result = command.finish()
        assert result.status == -second
        assert "Echo: connectionLost: ConnectionAborted(" in result.err
        assert "Traceback" not in result.err
        with pytest.raises(ConnectionResetError):
            read_all(peer)


def test_second_signal_ends_lingering(variant: str) -> None:
    with (
        start("run", "halfclose.examples:Sum", "tcp:127.0.0.1:0", "--backend", variant) as command,
        dial(command.endpoint()) as peer,
    ):
        command.wait_for("Sum: connection made")
        command.send(signal.SIGTERM)
        # Nothing was pending, so it is lost at once; the peer's end is still waited for.
        command.wait_for("Sum: connectionLost: ConnectionDone(")
        assert peer.recv(1) == b""
        command.send(signal.SIGTERM)
        assert command.finish().status == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_on_stdio(variant: str, number: signal.Signals) -> None:
    with start("run", ECHO, "stdio:", "--backend", variant) as command:
        command.wait_for("Echo: connection made")
        command.send(number)
        # Its input stays open: that it ends is the signal's doing.
        command.wait_for("Echo: connectionLost: ConnectionDone(")
        # Who reads its output must not take that for all of it.
        assert command.finish().status == -number


def test_second_signal_on_stalled_stdio(variant: str) -> None:
    with start("run", ECHO, "stdio:", "--backend", variant) as command:
        command.wait_for("Echo: connection made")
        # Nobody reads the answer, so a part of it waits in the command.
        fill_pipe(command)
        command.send(signal.SIGINT)
        command.send(signal.SIGTERM)
        assert command.process.wait(LIMIT) == -signal.SIGTERM


def test_no_descriptor_is_left_behind(variant: str) -> None:
    with start("run", ECHO, "tcp:127.0.0.1:0", "--backend", variant) as command:
        endpoint = command.endpoint()
        # What is made when it is first needed is there from then on.
        with dial(endpoint) as peer:
            peer.shutdown(socket.SHUT_WR)
            assert read_all(peer) == b""
        command.wait_for("Echo: connectionLost: ConnectionDone(")
        wait_until(command.is_asleep)
        before = command.descriptors()
        for round_ in range(10):
            with dial(endpoint) as peer:
                peer.sendall(b"x" * 1000)
                if round_ % 2:
                    reset(peer)
                else:
                    peer.shutdown(socket.SHUT_WR)
                    assert read_all(peer) == b"x" * 1000
        wait_until(lambda: command.descriptors() == before)
        command.send(signal.SIGTERM)
        assert command.finish().status == 0


def test_half_close_timeout() -> None:
    with start(
        "run", "halfclose.examples:Daytime", "tcp:127.0.0.1:0", "--half-close-timeout", "0.1"
    ) as command:
        with dial(command.endpoint()):
            command.wait_for("Daytime: connectionLost: HalfCloseTimeout(")
        command.send(signal.SIGTERM)
        assert command.finish().status == 0


def test_close_timeout() -> None:
    with (
        start("run", ECHO, "tcp:127.0.0.1:0", "--close-timeout", "0.1") as command,
        dial(command.endpoint()) as peer,
    ):
        fill(command, peer)
        command.send(signal.SIGTERM)
        command.wait_for("Echo: connectionLost: CloseTimeout(")
        assert command.finish().status == 0


def test_grace(variant: str) -> None:
    with (
        start("run", ECHO, "tcp:127.0.0.1:0", "--grace", "0.1", "--backend", variant) as command,
        dial(command.endpoint()) as peer,
    ):
        fill(command, peer)
        command.send(signal.SIGTERM)
        # What the peer has not taken by then is reset; the server has ended in order all the same.
        command.wait_for("Echo: connectionLost: ConnectionAborted(")
        assert command.finish().status == 0
        with pytest.raises(ConnectionResetError):
            read_all(peer)


def test_no_lingering() -> None:
    with (
        start("run", ECHO, "tcp:127.0.0.1:0", "--linger", "0") as command,
        dial(command.endpoint()),
    ):
        command.wait_for("Echo: connection made")
        command.send(signal.SIGTERM)
        # The peer's end stays open, and is not waited for.
        assert command.finish().status == 0


@pytest.mark.parametrize("target", ["./shout.py:Shout", "shout:Shout", "inner.shout:Shout"])
def test_module_in_the_current_directory(tmp_path: Path, target: str) -> None:
    (tmp_path / "shout.py").write_text(OWN)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "shout.py").write_text(OWN)
    result = halfclose_("run", target, "stdio:", data=b"hi", cwd=tmp_path)
    assert result == (0, b"HI", "")


def test_file_elsewhere_imports_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(OWN)
    # A name of the standard library's does no harm.
    (tmp_path / "json.py").write_text("from shout import Shout")
    result = halfclose_("run", f"{tmp_path}/json.py:Shout", "stdio:", data=b"hi")
    assert result == (0, b"HI", "")


def test_a_function_that_makes_the_protocol(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(OWN)
    result = halfclose_("run", "./shout.py:quietly", "stdio:", data=b"hi", cwd=tmp_path)
    assert result == (0, b"(quietly) HI", "")


def test_a_function_that_makes_none(tmp_path: Path) -> None:
    (tmp_path / "shout.py").write_text(OWN)
    result = halfclose_("run", "shout:nothing", "stdio:", cwd=tmp_path)
    assert result.status == 1
    assert result.problem.startswith("halfclose: the protocol failed: TypeError: the factory <func")
    assert "gave None, which is no halfclose.Protocol" in result.problem


def test_log_level() -> None:
    result = halfclose_("run", ECHO, "stdio:", "--log-level", "warning", data=b"hi")
    assert result == (0, b"hi", "")


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        result = halfclose_("run", ECHO, endpoint)
    assert result.status == 1
    assert endpoint in result.problem


RAISING = """\
import halfclose

class Init(halfclose.Protocol):
    def __init__(self):
        raise ValueError("no\\nway")

class Exit(halfclose.Protocol):
    def dataReceived(self, data):
        raise SystemExit(7)

class Interrupt(halfclose.Protocol):
    def dataReceived(self, data):
        raise KeyboardInterrupt

class Blocking(halfclose.Protocol):
    def dataReceived(self, data):
        import os
        os.write(1, b".")
        while True:
            pass

class Broken(halfclose.Protocol):
    def dataReceived(self, data):
        raise ValueError("broken")
"""


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("Init", "halfclose: the protocol failed: ValueError: no way"),
        ("Broken", "halfclose: connection with stdio: lost: broken"),
    ],
)
def test_protocol_that_raises(tmp_path: Path, name: str, last: str) -> None:
    (tmp_path / "raising.py").write_text(RAISING)
    result = halfclose_("run", f"raising:{name}", "stdio:", data=b"x", cwd=tmp_path)
    assert result.status == 1
    assert result.err.splitlines()[-1] == last
    # What a protocol does wrong in an event is logged as such; a wrong argument is not.
    assert ("Traceback" in result.err) == (name == "Broken")


@pytest.mark.parametrize(("name", "status"), [("Exit", 7), ("Interrupt", -signal.SIGINT)])
def test_protocol_that_exits(tmp_path: Path, variant: str, name: str, status: int) -> None:
    (tmp_path / "raising.py").write_text(RAISING)
    target = f"raising:{name}"
    result = halfclose_("run", target, "stdio:", "--backend", variant, data=b"x", cwd=tmp_path)
    assert result.status == status
    # click ends the line that a ^C on a terminal leaves unfinished.
    assert result.err.strip() == ""


def test_third_signal_ends_what_blocks_the_loop(tmp_path: Path, variant: str) -> None:
    (tmp_path / "raising.py").write_text(RAISING)
    with start("run", "raising:Blocking", "stdio:", "--backend", variant, cwd=tmp_path) as command:
        command.stdin.write(b"x")
        assert command.stdout.read(1) == b"."
        command.send(signal.SIGINT)
        command.send(signal.SIGTERM)
        wait_until(lambda: not command.handles_signals())
        command.send(signal.SIGINT)
        result = command.end()
    assert result.status == -signal.SIGINT
    assert "Traceback" not in result.err


@pytest.mark.parametrize("closed", [0, 1])
def test_closed_standard_descriptor(closed: int) -> None:
    result = halfclose_("run", ECHO, "stdio:", preexec_fn=lambda: os.close(closed))
    assert result.status == 1
    assert result.problem == f"halfclose: standard {('input', 'output')[closed]} is closed"


def test_backend_from_the_environment() -> None:
    result = halfclose_("run", ECHO, "stdio:", env={"HALFCLOSE_BACKEND": "bogus"})
    assert result.status == 2
    assert "'bogus'" in result.problem


@pytest.mark.parametrize("module", ["halfclose", "halfclose.cli"])
def test_as_a_module(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "run", ECHO, "stdio:"],
        input=b"hello, world",
        capture_output=True,
        timeout=LIMIT,
        check=True,
    )
    assert done.stdout == b"hello, world"
