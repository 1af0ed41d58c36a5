"""The examples of docs/how-to/testing-with-memory.md are run as they stand there."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import halfclose
import halfclose.testing
import pytest
import trio
from halfclose.examples import Echo
from halfclose.memory import Network
from halfclose.testing.networks import network
from memory.support import drive

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "how-to" / "testing-with-memory.md").read_text()


def examples() -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
    """The tests of the document, by name, all of one module as it would be written."""
    module: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL):
        exec(compile(block, "testing-with-memory.md", "exec"), module)
    return {name: test for name, test in module.items() if name.startswith("test_")}


TESTS = (
    "test_sum",
    "test_a_silent_server_is_given_ten_minutes",
    "test_any_cut_gives_the_same_sum",
    "test_a_truncated_question_gets_no_answer",
    "test_a_bad_request_is_refused",
)


def test_these_are_all_its_tests() -> None:
    assert tuple(examples()) == TESTS


@pytest.mark.parametrize("name", TESTS)
def test_an_example_passes(name: str) -> None:
    test = examples()[name]
    drive(test())
    asyncio.run(test())
    trio.run(test)


def test_the_protocol_is_that_of_the_readme() -> None:
    pattern = r"<!-- example: sum -->\n```python\n(.+?)writeConnectionLost"
    blocks = []
    for text in (TEXT, (DOCS.parent / "README.md").read_text()):
        found = re.search(pattern, text, re.DOTALL)
        assert found is not None
        blocks.append([line.partition("#")[0].strip() for line in found[1].splitlines()])
    assert blocks[0] == blocks[1]


def test_every_method_that_is_named_is_there() -> None:
    table = re.findall(r"^\| (`.+?`) \|", TEXT, re.MULTILINE)
    calls = [call for row in table for call in re.findall(r"`(\w+)\((.*?)\)`", row)]
    assert len(calls) == 11
    for name, parameters in calls:
        signature = inspect.signature(getattr(Network, name))
        known = {"sizes": "chunks"}
        for parameter in filter(None, parameters.split(", ")):
            assert known.get(parameter, parameter) in signature.parameters, name


def test_the_faults_that_the_document_leaves_out() -> None:
    faults = {
        name
        for name, method in inspect.getmembers(Network, inspect.isfunction)
        if "name" in inspect.signature(method).parameters and not name.startswith("_")
    }
    used = {"raw", "raw_listen"}
    of_the_backend = {"listen", "connect", "dial"}
    named = set(re.findall(r"`(?:net\.)?(\w+)\(", TEXT))
    assert faults - of_the_backend - used <= named


def test_the_example_of_the_docstring_passes() -> None:
    doc = inspect.getdoc(network) or ""
    found = re.search(r"::\n\n(    async with .+?)\n\n", doc, re.DOTALL)
    assert found is not None
    assert "receive_all() ==" in found[1]
    module: dict[str, Any] = {"halfclose": halfclose, "Echo": Echo}
    exec(f"async def test():\n{found[1]}", module)
    drive(module["test"]())
