"""The recipes of docs/how-to/testing-with-memory.md, run as they stand there."""

from __future__ import annotations

import asyncio
import functools
import inspect
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio
from documents.blocks import ROOT, example
from documents.sessions import Folder
from halfclose.memory import Network
from memory.support import drive

PAGE = "docs/how-to/testing-with-memory.md"
TEXT = (ROOT / PAGE).read_text()

EXAMPLES = ("sum", "timeout", "cuts", "truncated", "expected")
TESTS = {
    name: "".join(re.findall(r"async def (test_\w+)", example(PAGE, name))) for name in EXAMPLES
}


@functools.cache
def module() -> dict[str, Any]:
    """The blocks of the page, one below the other, as one file."""
    names: dict[str, Any] = {}
    for name in EXAMPLES:
        exec(compile(example(PAGE, name), f"{PAGE}, {name}", "exec"), names)
    return names


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_passes(name: str) -> None:
    test: Callable[[], Coroutine[Any, Any, None]] = module()[TESTS[name]]
    drive(test())
    asyncio.run(test())
    trio.run(test)


def test_all_pass_by_the_plugin_of_anyio(folder: Folder) -> None:
    """As one file; each once, as the page says."""
    folder.save("test_sum.py", "\n\n".join(example(PAGE, name) for name in EXAMPLES))
    assert f"\n{len(EXAMPLES)} passed" in folder.output("pytest -q test_sum.py")


def test_every_method_that_is_named_is_there() -> None:
    table = re.findall(r"^\| (`.+?`) \|", TEXT, re.MULTILINE)
    calls = [call for row in table for call in re.findall(r"`(\w+)\((.*?)\)`", row)]
    assert len(calls) == 11
    for name, parameters in calls:
        signature = inspect.signature(getattr(Network, name))
        known = {"sizes": "chunks"}
        for parameter in filter(None, parameters.split(", ")):
            assert known.get(parameter, parameter) in signature.parameters, name


def test_no_fault_is_left_out() -> None:
    faults = {
        name
        for name, method in inspect.getmembers(Network, inspect.isfunction)
        if "name" in inspect.signature(method).parameters and not name.startswith("_")
    }
    used = {"raw", "raw_listen"}
    of_the_backend = {"listen", "connect", "dial"}
    named = set(re.findall(r"`(?:net\.)?(\w+)\(", TEXT))
    assert faults - of_the_backend - used <= named
