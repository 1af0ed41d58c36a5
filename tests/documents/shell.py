"""Does what a page tells its reader to do: saves programs in a folder, and runs commands there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

__all__ = ["Folder", "Serving", "commands"]

LIMIT = 60.0
"""Seconds after which a command counts as hung."""


def commands(session: str) -> list[tuple[str, str]]:
    """Each command of a session, and what it prints."""
    parts = re.split(r"^\$ (.+)\n", session, flags=re.MULTILINE)
    assert parts[0] == "", f"a session begins with a command: {session}"
    return list(zip(parts[1::2], parts[2::2], strict=True))


class Folder:
    """A folder in which a reader works.

    :param path: an empty folder.
    :param page: the endpoint that the page has, such as ``tcp:127.0.0.1:8000``. A free port takes
        the place of its port.
    """

    def __init__(self, path: Path, page: str = "tcp:127.0.0.1:8000") -> None:
        self.path = path
        self._page = page
        self._real = page
        self._environment = {
            **{name: text for name, text in os.environ.items() if name != "HALFCLOSE_BACKEND"},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            # As a terminal has it: a line is shown when it is printed.
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "80",
            # Of all the plugins that may be installed here, a reader has these.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "-p anyio -p hypothesispytest",
        }

    def save(self, name: str, text: str) -> None:
        """Save a program of the page."""
        (self.path / name).write_text(text.replace(self._page, self._real))

    def run(self, session: str) -> None:
        """Run each command, and compare what it prints.

        The seconds that it took may differ, and so may blanks at the ends of lines.
        """
        for command, shown in commands(session):
            printed = self.output(command)
            assert _comparable(printed) == _comparable(shown), printed

    def output(self, command: str) -> str:
        """Run a command, and give what it prints."""
        result = subprocess.run(
            ["sh", "-c", command.replace(self._page, self._real)],
            cwd=self.path,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
        )
        return result.stdout.replace(self._real, self._page)

    @contextmanager
    def serving(self, session: str, *programs: str) -> Iterator[Serving]:
        """Run a session whose last command is a server, until the end of the block.

        :param programs: what has been saved and names the endpoint; it gets the port.
        """
        *first, (command, shown) = commands(session)
        for before, printed in first:
            self.run(f"$ {before}\n{printed}")
        anywhere = self._page.rpartition(":")[0] + ":0"
        assert self._page in command
        with subprocess.Popen(
            ["sh", "-c", f"exec {command.replace(self._page, anywhere)}"],
            cwd=self.path,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            watchdog = Timer(LIMIT, process.kill)
            watchdog.start()
            try:
                serving = Serving(process)
                line = serving.line()
                found = re.search(r"tcp:127\.0\.0\.1:\d+", line)
                assert found, line
                self._move(found[0], programs)
                assert line.replace(self._real, self._page) == shown
                yield serving
            finally:
                watchdog.cancel()
                process.kill()

    def _move(self, endpoint: str, programs: tuple[str, ...]) -> None:
        """Have programs and commands use *endpoint* from now on."""
        for name in programs:
            path = self.path / name
            path.write_text(path.read_text().replace(self._real, endpoint))
        self._real = endpoint


class Serving:
    """A server that runs in the other terminal."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def line(self) -> str:
        """The next line that it prints; empty if it has ended, or hung."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def has_printed(self, text: str) -> None:
        """Wait until it has printed as many lines as *text* has, and compare."""
        assert "".join(self.line() for _ in text.splitlines()) == text

    def stop(self) -> str:
        """Press ``^C``, and give what it prints until its end."""
        self._process.send_signal(signal.SIGINT)
        assert self._process.stdout is not None
        return self._process.stdout.read()


def _comparable(text: str) -> str:
    timeless = re.sub(r"\bin \d+\.\d+s$", "in N s", text, flags=re.MULTILINE)
    return re.sub(r" +$", "", timeless, flags=re.MULTILINE)
