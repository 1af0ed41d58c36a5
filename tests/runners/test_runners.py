"""Other people's runners, for real: each opens a backend in its fixture, and leaves it there.

Each runs in a process of its own, on an example that docs/how-to/running-inside.md shows.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"
LAUNCH = str(HERE / "launch.py")

LIMIT = 60.0
"""Seconds that any of them may take; nothing here comes near it unless it hangs."""

PYTEST = ("pytest", "-v", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error", "--rootdir=.")
RIGHT, WRONG = 'b"HELLO, WORLD"', 'b"planted"'


class Runner(NamedTuple):
    """How an example is run.

    :param example: the name of its file, without the suffix.
    :param command: the module that runs it, and its arguments.
    :param passes: what it says of tests that pass.
    :param fails: what it says once their assertion is a wrong one.
    :param backends: how many backends are opened.
    """

    example: str
    command: tuple[str, ...]
    passes: str
    fails: str
    backends: int = 1


RUNNERS = (
    Runner(
        "with_pytest_asyncio",
        (*PYTEST, "-o", "asyncio_default_fixture_loop_scope=function", "{file}"),
        "1 passed",
        "1 failed",
    ),
    Runner("with_pytest_trio", (*PYTEST, "-p", "no:asyncio", "{file}"), "1 passed", "1 failed"),
    Runner("with_anyio_plugin", (*PYTEST, "-p", "no:asyncio", "{file}"), "3 passed", "3 failed", 3),
    Runner("with_fastapi", (*PYTEST, "-p", "no:asyncio", "{file}"), "1 passed", "1 failed"),
    Runner("with_unittest", ("unittest", "-v", "{name}"), "Ran 3 tests", "failures=3", 3),
    Runner("with_trial", ("twisted.trial", "{name}"), "successes=1", "failures=1"),
    Runner("start_and_stop", ("{name}",), "", "AssertionError"),
    Runner("start_and_stop_on_trio", ("{name}",), "", "AssertionError"),
    Runner("with_a_reactor", ("{name}",), "", "AssertionError"),
)


def environment(folder: Path) -> dict[str, str]:
    """That of this process, without what belongs to the pytest that runs here."""
    own = ("PYTEST", "HALFCLOSE", "COV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


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
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    return done.returncode, done.stdout


def by_example(runner: Runner) -> str:
    return runner.example


@pytest.mark.parametrize("runner", RUNNERS, ids=by_example)
def test_a_backend_is_opened_and_left(runner: Runner, tmp_path: Path) -> None:
    file = copied(tmp_path, runner.example)
    status, said = launch(tmp_path, runner.command, file)
    assert status == 0, said
    assert runner.passes in said
    assert "skipped" not in said
    # Both ends of two connections, of which leaving has closed one.
    number = 4 * runner.backends
    assert f"connections: {number} made, {number} lost: ConnectionDone\n" in said


@pytest.mark.parametrize("runner", RUNNERS, ids=by_example)
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


@pytest.mark.parametrize("served", SERVED, ids=by_command)
def test_an_application_serves_by_it(served: Served, tmp_path: Path) -> None:
    file = copied(tmp_path, served.example)
    words = [word.format(name=file.stem) for word in served.command]
    with subprocess.Popen(
        [sys.executable, "-u", LAUNCH, *words],
        cwd=tmp_path,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = ""
            while not (found := re.search(r"unning on (http://127\.0\.0\.1:\d+)", said)):
                line = process.stdout.readline()
                assert line, said
                said += line
            url = f"{found[1]}/upper?question=half"
            with urllib.request.urlopen(url, timeout=LIMIT) as answer:
                assert answer.read() == b"HALF"
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode in (0, -signal.SIGINT), said + rest
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


def test_the_page_shows_these_examples() -> None:
    page = (HERE.parents[1] / "docs" / "how-to" / "running-inside.md").read_text()
    shown = dict(re.findall(r"<!-- example: (\w+) -->\n```python\n(.+?)```\n", page, re.DOTALL))
    assert shown == {file.stem: file.read_text() for file in EXAMPLES.glob("*.py")}
    run = {runner.example for runner in RUNNERS} | {served.example for served in SERVED}
    assert set(shown) == run
    # No other code is shown as Python: it would not be run.
    assert page.count("```python") == len(shown)
