"""What the reference has to have: the public names, and the public members of the classes."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

from documents.blocks import ROOT

__all__ = [
    "Entry",
    "Member",
    "constant_doc",
    "documented",
    "entries",
    "members",
    "names",
    "own_doc",
]

MODULES = (
    "halfclose",
    "halfclose.testing",
    "halfclose.memory",
    "halfclose.examples",
    "halfclose_anyio",
    "halfclose_twisted",
)


def names() -> Iterator[str]:
    """The public names of every public module."""
    for module in MODULES:
        for name in importlib.import_module(module).__all__:
            if name != "__version__":
                yield f"{module}.{name}"


class Entry(NamedTuple):
    """A directive of the reference.

    :param page: the name of its page.
    :param name: what it documents.
    :param until: the base class whose members it leaves out; empty: it leaves out all that the
        class inherits.
    """

    page: str
    name: str
    until: str


_DIRECTIVE = re.compile(
    r"^\.\. auto(?:class|exception|function|data):: (\S+)\n(?:   :inherited-members: (\S+)\n)?",
    re.MULTILINE,
)


def entries() -> list[Entry]:
    """The directives of the reference that document something."""
    return [
        Entry(page.name, name, until)
        for page in sorted((ROOT / "docs" / "reference").glob("*.md"))
        for name, until in _DIRECTIVE.findall(page.read_text())
    ]


def documented(entry: Entry) -> Any:
    """The object that *entry* documents."""
    module, _, name = entry.name.rpartition(".")
    return getattr(importlib.import_module(module), name)


class Member(NamedTuple):
    """A public member of a class that the reference documents.

    :param name: with that of its class, as in the reference.
    :param thing: a function or a property; None: an attribute.
    :param doc: its docstring, its own or that of the class's parameter; empty: it has none.
    """

    name: str
    thing: FunctionType | property | None
    doc: str


def members(entry: Entry) -> Iterator[Member]:
    """The members of the class of *entry*, without those that a base class documents."""
    cls = documented(entry)
    if not isinstance(cls, type):
        return
    bases = cls.__mro__[
        : 1 + [base.__name__ for base in cls.__mro__].index(entry.until or cls.__name__)
    ]
    seen: set[str] = set()
    for base in bases:
        if entry.until and base.__name__ == entry.until:
            break
        attributes = _attributes(base)
        for name in [*vars(base), *(name for name in attributes if name not in vars(base))]:
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            thing = vars(base).get(name)
            if isinstance(thing, (classmethod, staticmethod)):
                thing = thing.__func__
            if name in attributes:
                thing, doc = None, attributes[name] or _field(base, name)
            elif isinstance(thing, (FunctionType, property)):
                doc = own_doc(thing)
            else:
                continue  # What a decorator has made, such as a dataclass's.
            if not doc and _inherits(cls, base, name):
                continue
            yield Member(f"{entry.name}.{name}", thing, doc)


def constant_doc(entry: Entry) -> str:
    """The string below the constant or type alias of *entry*, in the module that defines it."""
    package, _, word = entry.name.rpartition(".")
    for home, module in sorted(sys.modules.items()):
        if f"{home}.".startswith(f"{package}.") and vars(module).get(word) is documented(entry):
            told = _followed(ast.parse(Path(module.__file__ or "").read_text()).body, of_self=False)
            if told.get(word):
                return told[word]
    return ""


def own_doc(thing: Any) -> str:
    """The docstring of *thing*, tidied."""
    return inspect.cleandoc(thing.__doc__ or "")


def _inherits(cls: type, base: type, name: str) -> bool:
    """Whether a class above *base* says what *name* is."""
    above = cls.__mro__[cls.__mro__.index(base) + 1 :]
    return any(
        getattr(vars(each).get(name), "__doc__", None) or _attributes(each).get(name)
        for each in above
        if name in vars(each) or name in _attributes(each)
    )


def _field(cls: type, name: str) -> str:
    """What the docstring of *cls* says of the parameter *name*."""
    found = re.search(rf"^:param {name}:(.+)", inspect.cleandoc(cls.__doc__ or ""), re.MULTILINE)
    return found[1] if found else ""


@cache
def _attributes(cls: type) -> dict[str, str]:
    """The public attributes that the text of *cls* sets, each with the string behind it."""
    if not cls.__module__.startswith("halfclose"):
        return {}
    path = inspect.getsourcefile(cls)
    assert path is not None
    body = next(
        node.body
        for node in ast.walk(ast.parse(Path(path).read_text()))
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__
    )
    found = _followed(body, of_self=False)
    for each in body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            found |= _followed(each.body, of_self=True)
    return found


def _followed(block: list[ast.stmt], *, of_self: bool) -> dict[str, str]:
    """The attributes that *block* sets, each with the string in the line below it."""
    found: dict[str, str] = {}
    for node, after in zip(block, [*block[1:], None], strict=True):
        for name in _targets(node, of_self):
            found[name] = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found[name] = str(after.value.value)
    return found


def _targets(node: ast.stmt, of_self: bool) -> Iterator[str]:
    """The public attributes that *node* sets."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        if of_self and isinstance(target, ast.Attribute) and not target.attr.startswith("_"):
            if isinstance(target.value, ast.Name) and target.value.id == "self":
                yield target.attr
        elif not of_self and isinstance(target, ast.Name) and not target.id.startswith("_"):
            yield target.id
