"""A reader, who saves the programs of a page in a folder, and gives its commands to a shell there.

A shell and what it starts are new processes, as at a reader's. The sessions that need a peer which
does something at a certain time are done by hand in the tests, with `steps`.
"""

from __future__ import annotations

import difflib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cli.support import Command
from documents.blocks import example
from environment import environment

__all__ = ["Folder", "Server", "comparable", "steps"]

LIMIT = 60.0
"""Seconds after which a command counts as hung."""

Step = tuple[str, list[str]]


def steps(page: str, name: str) -> list[Step]:
    """Each command of a session, with the lines that are printed until the next one."""
    found: list[Step] = []
    for line in example(page, name, "session").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            assert found, f"a session begins with a command: {line}"
            found[-1][1].append(line)
    return found


_ADDRESS = re.compile(r"(\b127\.0\.0\.1:)(\d+)")


def comparable(lines: Sequence[str], ports: Collection[str]) -> list[str]:
    """*lines*, without what differs each time.

    These are the ports and processes that the system chose, how long something took, and blanks at
    the ends of lines.

    :param ports: those that the page chose.
    """
    return [_comparable(line, ports) for line in lines]


def _comparable(line: str, ports: Collection[str]) -> str:
    line = _ADDRESS.sub(lambda found: found[0] if found[2] in ports else "ADDRESS", line.rstrip())
    line = re.sub(r"\b(PID|Child) \d+", r"\1 NUMBER", line)
    return re.sub(r"(\bin \d+\.\d+s|\b\d+\.\d{3} s|; \d+\.\d s\.)$", "SECONDS", line)


class Folder:
    """A folder in which a reader works.

    Each port of 127.0.0.1 in a program or a command stands for one that is free here.

    :param path: where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = environment(
            {
                # As a terminal has it: a line is shown when it is printed.
                "PYTHONUNBUFFERED": "1",
                "COLUMNS": "80",
                # Of all the plugins that may be installed here, a reader has these.
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTEST_ADDOPTS": "-p anyio -p hypothesispytest",
            }
        )
        self._ports: dict[str, str] = {}
        self._held = ExitStack()

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def save(self, name: str, text: str) -> None:
        """Save a program of the page."""
        (self.path / name).write_text(self._here(text))

    def play(self, page: str, name: str, *, any_order: bool = False, status: int = 0) -> None:
        """Do a session, and compare what it prints.

        The next command is given when as many lines have come as the page shows. What differs each
        time does not count: see `comparable`.

        :param any_order: whether the lines between two commands may come in another order, as they
            do where several programs print.
        :param status: how the last command ends.
        """
        self._play(steps(page, name), any_order, status)

    def _play(self, session: Sequence[Step], any_order: bool, status: int) -> None:
        with self._started("bash", "--norc", "--noprofile", stdin=subprocess.PIPE) as shell:
            for command, shown in session:
                shell.stdin.write(self._here(command).encode() + b"\n")
                came = self._lines(shell, len(shown))
                expected = comparable(shown, self._ports)
                if any_order:
                    came, expected = sorted(came), sorted(expected)
                _same(came, expected, command)
            result = shell.finish(b"", LIMIT)
        assert (result.out, result.status) == (b"", status)

    def output(self, command: str) -> str:
        """Run a command, and give what it prints."""
        with self._started("bash", "-c", self._here(command)) as shell:
            return self._there(shell.finish(None, LIMIT).out.decode())

    @contextmanager
    def serving(self, page: str, name: str) -> Iterator[Server]:
        """Do a session whose last command is a server, in another terminal, for the block."""
        *first, (command, shown) = steps(page, name)
        self._play(first, False, 0)
        with self._started("bash", "-c", f"exec {self._here(command)}") as running:
            server = Server(self, running)
            server.has_printed("".join(f"{line}\n" for line in shown))
            yield server

    def _lines(self, command: Command, number: int) -> list[str]:
        """The next lines that *command* prints, to be compared."""
        lines = [self._there(command.line(LIMIT)) for _ in range(number)]
        return comparable(lines, self._ports)

    @contextmanager
    def _started(self, *words: str, stdin: int = subprocess.DEVNULL) -> Iterator[Command]:
        with subprocess.Popen(
            words,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.path,
            env=self.environment,
            bufsize=0,
            start_new_session=True,
        ) as process:
            try:
                yield Command(process)
            finally:
                # All of its background jobs too.
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def _here(self, text: str) -> str:
        """*text* of the page, with our ports."""
        return _ADDRESS.sub(lambda found: f"{found[1]}{self._port(found[2])}", text)

    def _port(self, shown: str) -> str:
        if shown not in self._ports:
            self._ports[shown] = str(self._held.enter_context(_free_port()))
        return self._ports[shown]

    def _there(self, text: str) -> str:
        """*text* of a program, with the page's ports."""
        shown = {ours: port for port, ours in self._ports.items()}
        return _ADDRESS.sub(lambda found: f"{found[1]}{shown.get(found[2], found[2])}", text)


class Server:
    """A server that runs in the other terminal."""

    def __init__(self, folder: Folder, command: Command) -> None:
        self._folder = folder
        self._command = command

    def has_printed(self, text: str) -> None:
        """Wait until it has printed as many lines as *text* has, and compare."""
        lines = text.splitlines()
        came = self._folder._lines(self._command, len(lines))
        _same(came, comparable(lines, self._folder._ports), "the server")

    def stop(self) -> str:
        """Press ``^C``, and give what it prints until its end."""
        self._command.send(signal.SIGINT)
        return self._command.finish(None, LIMIT).out.decode()


def _same(came: list[str], expected: list[str], command: str) -> None:
    """Fail, with a comparison, if what *command* printed is not what the page shows."""
    if came != expected:
        lines = difflib.unified_diff(expected, came, "the page", command, lineterm="")
        raise AssertionError("\n".join([f"{command} printed something else:", *lines]))


@contextmanager
def _free_port() -> Iterator[int]:
    """A port of 127.0.0.1 that nobody else gets, and on which a server can listen."""
    with socket.socket() as sock:
        # Bound by two that both set this, and listened on by one of them.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
