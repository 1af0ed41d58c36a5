"""SIGINT, SIGTERM and SIGHUP, and a shell around the command."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.support import ECHO, LIMIT, dial, read_all, start, wait_until
from warm import PROGRAM


def _ignoring(*numbers: signal.Signals) -> Callable[[], None]:
    def ignore() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    return ignore


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_was_ignored_stays_ignored(variant: str, number: signal.Signals) -> None:
    with start(
        "run", ECHO, "stdio:", "--backend", variant, preexec_fn=_ignoring(number)
    ) as command:
        command.wait_for("Echo: connection made")
        command.send(number)
        command.stdin.write(b"still here")
        assert command.stdout.read(100) == b"still here"
        assert command.finish().status == 0


@pytest.mark.parametrize(
    "arguments", [["demo"], ["backends"], ["explore", "memory", "--seconds", "1"]]
)
def test_ignored_by_what_runs_nothing_of_its_own(arguments: list[str]) -> None:
    with start(*arguments, preexec_fn=_ignoring(signal.SIGINT)) as command:
        while command.process.poll() is None:
            command.send(signal.SIGINT)
            try:
                command.process.wait(0.02)
            except subprocess.TimeoutExpired:
                pass
        assert command.finish().status == 0


def test_a_hangup_ends_it(variant: str) -> None:
    with start("run", ECHO, "stdio:", "--backend", variant) as command:
        command.wait_for("Echo: connection made")
        command.send(signal.SIGHUP)
        assert command.end().status == -signal.SIGHUP


LOOPS = {
    "stdio": (f"run {ECHO} stdio:", "Echo: connection made"),
    "server": (f"run {ECHO} tcp:127.0.0.1:0", "listening on"),
    "listen": ("listen tcp:127.0.0.1:0", "listening on"),
    "connect": ("connect {endpoint} -v", "connected to"),
    "explore": ("explore memory --seconds 86400", None),
    "contract": ("contract anyio+trio twisted+epoll", None),
    "demo": ("demo", None),
}


@pytest.mark.parametrize("name", LOOPS)
def test_interrupt_ends_the_loop_of_a_shell_around(name: str, tmp_path: Path) -> None:
    """The shell goes by how its child died, not by the status."""
    arguments, said = LOOPS[name]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = arguments.format(endpoint=f"tcp:127.0.0.1:{listener.getsockname()[1]}")
        # A foreground job of an interactive user: a group of its own that gets the signal as one.
        shell = subprocess.Popen(
            ["bash", "-c", f'while :; do echo turn >> turns; "$0" {arguments}; done', PROGRAM],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            assert shell.stderr is not None
            if said is None:
                wait_until(lambda: _turned(shell.pid))
            else:
                while said not in shell.stderr.readline().decode():
                    pass
            os.killpg(shell.pid, signal.SIGINT)
            _, err = shell.communicate(timeout=LIMIT)
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
                shell.communicate()
    assert shell.returncode == -signal.SIGINT
    assert b"Traceback" not in err
    assert (tmp_path / "turns").read_text() == "turn\n"


def _turned(pid: int) -> bool:
    """Whether the child of *pid* runs the command's own code, or has done so."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for child in children:
        try:
            status = Path(f"/proc/{child}/status").read_text()
        except OSError:
            continue
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        # Both are handled once there is work that they would interrupt.
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return True
    return False


def test_a_server_that_is_idle_hears_every_signal(variant: str) -> None:
    """Also one that comes as it begins to wait, such as just after a line of its log."""
    for _ in range(3):
        with start(
            "run", "halfclose.examples:Daytime", "tcp:127.0.0.1:0", "--backend", variant
        ) as command:
            with dial(command.endpoint()) as peer:
                read_all(peer)
            command.wait_for("Daytime: connectionLost: ")
            command.send(signal.SIGTERM)
            assert command.finish().status == 0


def test_as_the_first_process_of_a_container() -> None:
    """There a signal at its default kills nobody, so the status says it."""
    done = subprocess.run(
        ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "sh", "-c", "exit 0"],
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no namespace for processes: {done.stderr.decode().strip()}")
    with subprocess.Popen(
        ["unshare", "--fork", "--pid", "--kill-child", PROGRAM, "run", ECHO, "stdio:"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as outer:
        assert outer.stderr is not None
        assert outer.stderr.readline() == b"Echo: connection made\n"
        (inner,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        os.kill(int(inner), signal.SIGTERM)
        outer.communicate(timeout=LIMIT)
    assert outer.returncode == 128 + signal.SIGTERM


def test_interrupted_while_the_protocol_is_imported(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import os, time\nos.write(1, b'.')\ntime.sleep(3600)\n")
    with start("run", "slow:Slow", "stdio:", cwd=tmp_path) as command:
        assert command.stdout.read(1) == b"."
        command.send(signal.SIGINT)
        assert command.end() == (-signal.SIGINT, b"", "")


def test_what_was_registered_for_the_end_is_done_before(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import atexit\nfrom halfclose.examples import Echo\natexit.register(print, 'done')\n"
    )
    with start("run", "mine:Echo", "stdio:", cwd=tmp_path) as command:
        command.wait_for("Echo: connection made")
        command.send(signal.SIGINT)
        result = command.finish()
    assert (result.status, result.err.count("connectionLost")) == (-signal.SIGINT, 1)


def test_by_a_program_it_only_returns() -> None:
    code = (
        "import os, signal, sys, threading\n"
        "from halfclose.cli import main\n"
        "before = signal.getsignal(signal.SIGINT)\n"
        "status = main(['run', 'halfclose.examples:Echo', 'stdio:'])\n"
        "print(status, signal.getsignal(signal.SIGINT) is before)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        assert program.stderr is not None
        assert program.stderr.readline() == b"Echo: connection made\n"
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=LIMIT)
    assert program.returncode == 0
