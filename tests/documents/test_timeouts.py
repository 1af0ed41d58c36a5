"""docs/how-to/timeouts.md names every limit with its default, and its tests pass."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

import click
import halfclose
from documents.blocks import ROOT, example
from documents.sessions import Folder
from documents.tables import cells
from halfclose import ConnectionOptions
from halfclose.backend import _OPTIONS, GRACE
from halfclose.cli.commands import cli
from halfclose.io import busy_polling, connecting, lingering, listening
from halfclose_anyio import on_asyncio

PAGE = "docs/how-to/timeouts.md"

TEXT = (ROOT / PAGE).read_text()

TESTS = (
    "test_connecting_is_given_up",
    "test_a_half_that_stays_open",
    "test_a_close_that_nobody_takes",
    "test_an_idle_peer",
)


def test_these_are_all_its_tests() -> None:
    assert tuple(re.findall(r"^async def (test_\w+)", TEXT, re.MULTILINE)) == TESTS


def test_the_tests_of_the_page(folder: Folder) -> None:
    folder.save("idle.py", example(PAGE, "idle"))
    folder.save("test_timeouts.py", example(PAGE, "tests"))
    assert "`pytest test_timeouts.py`" in TEXT
    assert f"{len(TESTS)} passed" in folder.output("pytest test_timeouts.py")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table behind the paragraph that begins with *heading*."""
    _, _, after = TEXT.partition(heading)
    table = after.partition("\n|")[2].partition("\n\n")[0]
    return [cells(line) for line in ("|" + table).splitlines()[2:]]


def test_the_defaults_are_those_of_the_code() -> None:
    [(name, default, *_)] = rows("Of `backend.connect`:")
    timeout = inspect.signature(halfclose.Backend.connect).parameters["timeout"]
    assert (name, default) == ("`timeout`", str(timeout.default))
    told = {name: default for name, default, *_ in rows("Of `halfclose.ConnectionOptions`")}
    assert told == {
        f"`{field.name}`": str(field.default)
        for field in fields(ConnectionOptions)
        if field.name.endswith("_timeout")
    }
    of_backend = {name: default for name, default, *_ in rows("Of the backend (")}
    assert of_backend == {"`grace`": str(GRACE), "`busy_poll`": str(busy_polling.BUSY_POLL)}
    assert {"grace", "busy_poll", "sockets"} == _OPTIONS
    fixed = [float(seconds) for _, seconds in rows("Fixed, for all connections:")]
    assert fixed == [
        lingering.LONGEST,
        lingering.AFTER_EMPTY,
        connecting.ATTEMPT_DELAY,
        listening.RETRY_DELAY,
        on_asyncio.PATIENCE,
    ]


def test_every_option_of_the_command_is_there() -> None:
    told = {
        (option.strip("`"), command.strip("`"), default)
        for option, commands, default, _ in rows("Of the command:")
        for command in commands.split(", ")
    }
    have = set()
    for name in ("run", "connect", "listen"):
        for option in cli.commands[name].params:
            if isinstance(option, click.Option) and option.metavar == "S":
                default = "never" if option.default is None else str(option.default)
                have.add((option.opts[0], name, default))
    assert told == {
        (option, name, default if default.replace(".", "").isdigit() else "never")
        for option, name, default in have
    }
