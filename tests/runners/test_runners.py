"""Other people's runners, for real: each opens a backend in its fixture, and leaves it there.

Each runs in a process of its own, on an example that a page docs/how-to/inside-*.md shows.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from cli.support import ask, dial, listening, read_all, reset, wait_until
from environment import environment

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"
LAUNCH = str(HERE / "launch.py")

LIMIT = 60.0
"""Seconds that any of them may take; nothing here comes near it unless it hangs."""

PYTEST = ("pytest", "-v", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error", "--rootdir=.")
ALONE = ("-p", "no:asyncio", "-p", "no:trio", "-p", "no:twisted")
"""Without the plugins that an example does not use; each of them takes what is a coroutine."""

RIGHT, WRONG = 'b"HELLO, WORLD"', 'b"planted"'


DIGEST = hashlib.pbkdf2_hmac("sha256", b"hello, world", b"salt", 1000).hex()


class Runner(NamedTuple):
    """How an example is run.

    :param example: the name of its file, without the suffix.
    :param command: the module that runs it, and its arguments.
    :param passes: what it says of tests that pass.
    :param fails: what it says once their assertion is a wrong one; empty if it has none.
    :param connections: how many there are, each counted at both of its ends that are ours.
    """

    example: str
    command: tuple[str, ...]
    passes: str
    fails: str = ""
    connections: int = 4


RUNNERS = (
    Runner(
        "with_pytest_asyncio",
        (
            *PYTEST,
            *("-p", "no:trio", "-p", "no:twisted"),
            *("-o", "asyncio_default_fixture_loop_scope=function", "{file}"),
        ),
        "1 passed",
        "1 failed",
    ),
    Runner(
        "with_pytest_trio",
        (*PYTEST, "-p", "no:asyncio", "-p", "no:twisted", "{file}"),
        "1 passed",
        "1 failed",
    ),
    Runner(
        "with_pytest_twisted",
        (*PYTEST, "-p", "no:asyncio", "-p", "no:trio", "{file}"),
        "1 passed",
        "1 failed",
    ),
    Runner("with_anyio_plugin", (*PYTEST, *ALONE, "{file}"), "3 passed", "3 failed", 12),
    Runner("with_fastapi", (*PYTEST, *ALONE, "{file}"), "1 passed", "1 failed"),
    Runner("with_starlette", (*PYTEST, *ALONE, "{file}"), "1 passed", "1 failed"),
    Runner("with_unittest", ("unittest", "-v", "{name}"), "Ran 3 tests", "failures=3", 12),
    Runner("with_trial", ("twisted.trial", "{name}"), "successes=1", "failures=1"),
    Runner("start_and_stop", ("{name}",), "", "AssertionError"),
    Runner("start_and_stop_on_trio", ("{name}",), "", "AssertionError"),
    Runner("with_a_reactor", ("{name}",), "", "AssertionError"),
    Runner("with_asyncio_run", ("{name}",), "anyio+asyncio HELLO, WORLD"),
    Runner("with_uvloop_run", ("{name}",), "anyio+uvloop HELLO, WORLD"),
    Runner("with_trio_run", ("{name}",), "anyio+trio HELLO, WORLD"),
    Runner("with_anyio_listener", ("{name}",), "HELLO, WORLD", connections=2),
    Runner("with_anyio_listener", ("{name}", "trio"), "HELLO, WORLD", connections=2),
    Runner("with_trio_listener", ("{name}",), "HELLO, WORLD", connections=2),
    Runner("with_as_factory", ("{name}",), "HELLO, WORLD", connections=2),
    Runner("beside_a_loop", ("{name}",), "HELLO, WORLD"),
    Runner("with_a_worker_thread", ("{name}",), DIGEST, connections=2),
)


def environment_of(folder: Path) -> dict[str, str]:
    """One in which only what stands in *folder* is found beside what is installed."""
    return environment({"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"})


def copied(folder: Path, example: str, *replaced: tuple[str, str]) -> Path:
    """A copy of the example, with something else in place of something."""
    text = (EXAMPLES / f"{example}.py").read_text()
    for before, after in replaced:
        assert before in text
        text = text.replace(before, after)
    file = folder / f"{example}.py"
    file.write_text(text)
    return file


def launch(folder: Path, command: tuple[str, ...], file: Path) -> tuple[int, str]:
    """Run it; the exit status, and all that it says."""
    words = [word.format(file=file.name, name=file.stem) for word in command]
    done = subprocess.run(
        [sys.executable, LAUNCH, *words],
        cwd=folder,
        env=environment_of(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    return done.returncode, done.stdout


def by_example(runner: Runner) -> str:
    return (
        " ".join((runner.example, *runner.command[1:]))
        if len(runner.command) == 2
        else (runner.example)
    )


@pytest.mark.parametrize("runner", RUNNERS, ids=by_example)
def test_a_backend_is_opened_and_left(runner: Runner, tmp_path: Path) -> None:
    file = copied(tmp_path, runner.example)
    status, said = launch(tmp_path, runner.command, file)
    assert status == 0, said
    assert runner.passes in said
    assert "skipped" not in said
    # One of them was left open, where there are two or more, and leaving has closed it.
    number = runner.connections
    assert f"connections: {number} made, {number} lost: ConnectionDone\n" in said


@pytest.mark.parametrize("runner", [runner for runner in RUNNERS if runner.fails], ids=by_example)
def test_a_failure_is_reported(runner: Runner, tmp_path: Path) -> None:
    file = copied(tmp_path, runner.example, (RIGHT, WRONG))
    status, said = launch(tmp_path, runner.command, file)
    assert status != 0
    assert runner.fails in said


class Served(NamedTuple):
    """An application that is run as its users run it.

    :param command: the module that runs it, and its arguments.
    """

    example: str
    command: tuple[str, ...]


SERVED = (
    Served("with_aiohttp", ("{name}",)),
    Served("with_aiohttp_signals", ("{name}",)),
    Served("with_fastapi", ("uvicorn", "--port=0", "{name}:app")),
    Served("with_fastapi", ("uvicorn", "--port=0", "--loop=asyncio", "{name}:app")),
)


def by_command(served: Served) -> str:
    return " ".join((served.example, *served.command[:-1]))


@contextmanager
def running(
    folder: Path, words: list[str], started: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], re.Match[str]]]:
    """A program, once it has said what *started* looks for; it is killed unless it has ended."""
    with subprocess.Popen(
        [sys.executable, "-u", *words],
        cwd=folder,
        env={**environment_of(folder), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = ""
            while not (found := re.search(started, said)):
                line = process.stdout.readline()
                assert line, said
                said += line
            yield process, found
        finally:
            process.kill()


SERVES = r"unning on (http://127\.0\.0\.1:\d+)"


@pytest.mark.parametrize("served", SERVED, ids=by_command)
def test_an_application_serves_by_it(served: Served, tmp_path: Path) -> None:
    file = copied(tmp_path, served.example)
    words = [LAUNCH, *(word.format(name=file.stem) for word in served.command)]
    with running(tmp_path, words, SERVES) as (process, found):
        url = f"{found[1]}/upper?question=half"
        with urllib.request.urlopen(url, timeout=LIMIT) as answer:
            assert answer.read() == b"HALF"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=LIMIT)
        assert process.returncode in (0, -signal.SIGINT), rest
    assert "connections: 4 made, 4 lost: ConnectionDone\n" in rest


@pytest.mark.parametrize("served", SERVED[:3], ids=lambda served: served.example)
def test_an_application_that_cannot_start_says_so(served: Served, tmp_path: Path) -> None:
    file = copied(tmp_path, served.example, ("open_backend()", 'open_backend("anyio+trio")'))
    status, said = launch(tmp_path, served.command, file)
    assert status != 0
    assert "backend 'anyio+trio': it is" in said


def test_on_trio_two_tasks_are_told_of_the_way_that_works(tmp_path: Path) -> None:
    """The start() and stop() that work on asyncio."""
    file = copied(
        tmp_path,
        "start_and_stop",
        ("import asyncio\n", "import trio\n"),
        ("await asyncio.create_task(service.start())", "await service.start()"),
        ("    await asyncio.create_task(service.stop())\n", STOP_IN_A_TASK),
        ("asyncio.run(main())", "trio.run(main)"),
    )
    status, said = launch(tmp_path, ("{name}",), file)
    assert status != 0
    assert "was left in another task than it was entered in" in said
    assert "await nursery.start(hold)" in said


STOP_IN_A_TASK = """\
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.stop)
"""


UPSTREAMS = (
    Served("with_fastapi_upstream", ("uvicorn", "--port=0", "{name}:app")),
    Served("with_aiohttp_upstream", ("{name}",)),
)


def upstream(listener: socket.socket) -> None:
    """A server that does what it is asked for, once it has read to the end; until it is closed."""
    with ExitStack() as held:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            held.enter_context(connection)
            question = read_all(connection)
            if question == b"silence":
                continue
            connection.sendall(b"half of it")
            if question == b"reset":
                reset(connection)
            else:
                connection.close()


@pytest.mark.parametrize("served", UPSTREAMS, ids=by_command)
def test_an_application_asks_a_server(served: Served, tmp_path: Path) -> None:
    """Only a whole answer is one; each other end has its status."""
    file = copied(tmp_path, served.example, ("LIMIT = 10.0", "LIMIT = 3.0"))
    words = [LAUNCH, *(word.format(name=file.stem) for word in served.command)]
    with listening() as (listener, address):
        thread = threading.Thread(target=upstream, args=(listener,), daemon=True)
        thread.start()
        with running(tmp_path, words, SERVES, UPSTREAM=address) as (process, found):

            def ask(question: bytes) -> tuple[int, bytes]:
                try:
                    with urllib.request.urlopen(f"{found[1]}/ask", question, LIMIT) as answer:
                        return answer.status, answer.read()
                except urllib.error.HTTPError as error:
                    with error:
                        return error.code, error.read()

            assert ask(b"all of it") == (200, b"half of it")
            assert ask(b"reset")[0] == 502
            assert ask(b"silence")[0] == 504
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(LIMIT)
            status, text = ask(b"nobody")
            assert (status, address.encode() in text) == (502, True)
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=LIMIT)
            assert process.returncode in (0, -signal.SIGINT), rest
    assert "connections: 3 made, 3 lost: ConnectionAborted, ConnectionDone, ConnectionLost" in rest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("example", ["until_a_signal", "until_a_signal_on_trio"])
def test_a_server_ends_in_order(example: str, number: signal.Signals, tmp_path: Path) -> None:
    """Whoever is connected reads all that was written, and a clean end."""
    file = copied(tmp_path, example)
    words = [LAUNCH, file.stem]
    with running(tmp_path, words, r"listening on tcp:127\.0\.0\.1:(\d+)") as (process, found):
        with socket.create_connection(("127.0.0.1", int(found[1])), LIMIT) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"X"
            process.send_signal(number)
            assert sock.recv(1) == b""
        rest, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, rest
    assert "connections: 1 made, 1 lost: ConnectionDone\n" in rest


def test_a_program_without_a_loop(tmp_path: Path) -> None:
    file = copied(tmp_path, "without_a_loop")
    with listening() as (listener, address):
        threading.Thread(target=upstream, args=(listener,), daemon=True).start()
        status, said = launch(tmp_path, ("{name}", address), file)
        listener.shutdown(socket.SHUT_RDWR)
    assert (status, said.startswith("half of it\n")) == (0, True)


def test_a_twisted_application(tmp_path: Path) -> None:
    """twistd ends by the signal that it got, so `launch` could tell nothing of it."""
    file = copied(tmp_path, "with_twistd")
    (tmp_path / "start.py").write_text("from twisted.scripts.twistd import run\n\nrun()\n")
    words = ["start.py", "--nodaemon", "--pidfile=", f"--python={file.name}"]
    with running(tmp_path, words, "sums on unix:") as (process, _):
        assert answered(tmp_path / "upper.sock") == b"HELLO"
        assert (
            answered(tmp_path / "sum.sock") == hashlib.sha256(b"hello").hexdigest().encode() + b"\n"
        )
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == -signal.SIGTERM
    assert "Server Shut Down" in rest
    # Whoever leaves a backend removes its sockets.
    assert not list(tmp_path.glob("*.sock"))


def test_a_twisted_application_in_the_background(tmp_path: Path) -> None:
    """Without ``--nodaemon``: twistd forks, and its services begin in the child."""
    file = copied(tmp_path, "with_twistd")
    (tmp_path / "start.py").write_text("from twisted.scripts.twistd import run\n\nrun()\n")
    pid, log = tmp_path / "pid", tmp_path / "log"
    command = ("start.py", f"--pidfile={pid}", f"--logfile={log}", f"--python={file.name}")
    subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env=environment_of(tmp_path),
        stdin=subprocess.DEVNULL,
        timeout=LIMIT,
        check=True,
    )
    try:
        wait_until(lambda: log.exists() and "sums on unix:" in log.read_text())
        assert answered(tmp_path / "upper.sock") == b"HELLO"
        assert answered(tmp_path / "sum.sock").startswith(b"2cf24dba")
    finally:
        wait_until(lambda: pid.exists() and bool(pid.read_text()))
        os.kill(int(pid.read_text()), signal.SIGTERM)
        wait_until(lambda: not pid.exists())
    assert "Server Shut Down" in log.read_text()
    assert not list(tmp_path.glob("*.sock"))


LOGGING_SERVICE = """
import logging
from twisted.application.service import Application, Service
from twisted.internet import reactor

class Logging(Service):
    def startService(self):
        {begin}
        logging.getLogger("mine").info("an info")
        logging.getLogger("mine").warning("a warning")
        reactor.callLater(0, reactor.stop)

application = Application("logging")
Logging().setServiceParent(application)
"""


@pytest.mark.parametrize("set_up", [False, True])
def test_what_twistd_shows_of_the_standard_librarys_logging(set_up: bool, tmp_path: Path) -> None:
    file = tmp_path / "logs.py"
    begin = "logging.basicConfig(level=logging.INFO)" if set_up else ""
    file.write_text(LOGGING_SERVICE.format(begin=begin))
    (tmp_path / "start.py").write_text("from twisted.scripts.twistd import run\n\nrun()\n")
    command = ("start", "--nodaemon", "--pidfile=", f"--python={file.name}")
    status, said = launch(tmp_path, command, file)
    assert status == 0, said
    assert ("a warning" in said, "an info" in said) == (True, set_up)


def test_what_is_logged_fails_a_test_of_trial(tmp_path: Path) -> None:
    file = tmp_path / "test_logs.py"
    file.write_text(
        "import logging\n"
        "from twisted.python import log\n"
        "from twisted.trial import unittest\n"
        "class TestLogs(unittest.TestCase):\n"
        "    def test_ours(self):\n"
        "        logging.error('wrong')\n"
        "    def test_theirs(self):\n"
        "        log.err(ValueError('wrong'))\n"
    )
    status, said = launch(tmp_path, ("twisted.trial", "{name}"), file)
    assert status == 1
    assert "FAILED (errors=1, successes=1)" in said


def test_under_pytest_twisted_a_reactor_runs_during_every_test(tmp_path: Path) -> None:
    file = tmp_path / "test_run.py"
    file.write_text(
        "import halfclose\nasync def main(backend): ...\ndef test_it():\n    halfclose.run(main)\n"
    )
    with_it = (*PYTEST, "-p", "no:asyncio", "-p", "no:trio", "{file}")
    status, said = launch(tmp_path, with_it, file)
    assert status != 0
    assert "a Twisted reactor" in said
    status, said = launch(tmp_path, (*PYTEST, *ALONE, "{file}"), file)
    assert status == 0, said


def answered(path: Path) -> bytes:
    """What the server there answers to a greeting."""
    with dial(f"unix:{path}") as sock:
        return ask(sock, b"hello")


RUN = {
    *(runner.example for runner in RUNNERS),
    *(served.example for served in (*SERVED, *UPSTREAMS)),
    *("until_a_signal", "until_a_signal_on_trio", "without_a_loop", "with_twistd"),
}
"""Every example that is run here."""
