"""The reference has every public name once, and every docstring says all that it has to.

Each test looks at all names, and tells those that are wrong: a test for each name would cost more
than what it does.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from collections import Counter
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import halfclose
import halfclose.memory
from documents.docstrings import fields
from documents.public import Entry, constant_doc, documented, entries, members, names, own_doc

ENTRIES = entries()


def test_every_public_name_is_there_once() -> None:
    there = Counter(entry.name for entry in ENTRIES)
    assert [name for name, times in there.items() if times > 1] == []
    assert sorted(set(names()) - set(there)) == []


def test_it_says_what_it_is() -> None:
    assert [entry.name for entry in ENTRIES if not _says_what_it_is(entry)] == []


def _says_what_it_is(entry: Entry) -> bool:
    thing = documented(entry)
    told = own_doc(thing) if isinstance(thing, (type, FunctionType)) else constant_doc(entry)
    return bool(told)


def test_no_member_is_undocumented() -> None:
    every = [member for entry in ENTRIES for member in members(entry)]
    assert [member.name for member in every if not member.doc] == []


def _functions(entry: Entry) -> Iterator[tuple[str, FunctionType, str]]:
    """The functions of *entry*, each with its docstring; a constructor has that of its class."""
    thing = documented(entry)
    if isinstance(thing, FunctionType):
        yield entry.name, thing, own_doc(thing)
    if isinstance(thing, type):
        constructor = vars(thing).get("__init__")
        if isinstance(constructor, FunctionType) and not getattr(thing, "_is_protocol", False):
            yield entry.name, constructor, own_doc(thing)
        for member in members(entry):
            function: Any = member.thing
            if isinstance(function, property):
                function = function.fget
            if function is not None:
                yield member.name, function, member.doc


def test_it_says_what_each_parameter_is() -> None:
    """In the order in which they are taken."""
    wrong = {}
    for name, function, doc in _every_function():
        told = [field.name for field in fields(doc) if field.kind == "param"]
        taken = [each for each in inspect.signature(function).parameters if each not in _SELF]
        if told != taken:
            wrong[name] = (told, taken)
    assert wrong == {}


def _every_function() -> Iterator[tuple[str, FunctionType, str]]:
    for entry in ENTRIES:
        yield from _functions(entry)


_SELF = ("self", "cls")


def test_it_says_what_it_raises() -> None:
    silent = {}
    for name, function, doc in _every_function():
        told = {field.name for field in fields(doc) if field.kind == "raises"}
        missing = {error for error in _raised(function) if not _is_told(error, told)}
        if missing:
            silent[name] = missing
    assert silent == {}


def _raised(function: FunctionType) -> Iterator[str]:
    """The classes of the exceptions that the text of *function* itself raises."""
    if function.__code__.co_filename == "<string>":
        return  # The constructor of a dataclass.
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(error, ast.Name) and error.id[0].isupper():
                yield error.id


def _is_told(error: str, told: set[str]) -> bool:
    """Whether *told* has *error*, or a base class of it."""
    for home in (builtins, halfclose, halfclose.memory):
        cls = getattr(home, error, None)
        if isinstance(cls, type):
            return any(base.__name__ in told for base in cls.__mro__)
    return error in told
