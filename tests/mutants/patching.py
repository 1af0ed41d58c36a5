"""How a mutant changes the code: what a name stands for, or a line of a function by its text.

What is changed must be there: a patch of a name or of a line that is gone fails. Most mutants wrap
a public name (see `wrapping`). One edits text only where the mistake can be made nowhere else.
"""

from __future__ import annotations
import __future__

import inspect
import textwrap
from types import CodeType, FunctionType
from typing import Any

import pytest

__all__ = ["Patch"]


class Patch:
    """Changes to this process, taken back by *monkeypatch*."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._edited: dict[FunctionType, str] = {}
        self.changes = 0
        """How many there were."""

    def edit(self, function: Any, old: str, new: str) -> None:
        """Run *function* as if its source had *new* where it has *old*.

        In place, so that whoever has imported it, or has bound it, has the mutant too.

        :param function: a function; of a method, the class's own; of a property, its getter.
        :raises LookupError: *old* is not there, or more than once.
        """
        assert isinstance(function, FunctionType)
        source = self._edited.get(function) or textwrap.dedent(inspect.getsource(function))
        if source.count(old) != 1:
            raise LookupError(
                f"{function.__qualname__} has {source.count(old)} times the text {old!r}"
            )
        self._edited[function] = source = source.replace(old, new)
        self._monkeypatch.setattr(function, "__code__", _compiled(source, function))
        self.changes += 1

    def put(self, owner: Any, name: str, value: Any) -> None:
        """Have *value* in the place of *owner*'s attribute *name*.

        :raises AttributeError: it has none.
        """
        self._monkeypatch.setattr(owner, name, value)
        self.changes += 1

    def put_item(self, mapping: dict[Any, Any], key: object, value: object) -> None:
        """Have *value* in the place of what *mapping* has for *key*.

        :raises LookupError: it has nothing.
        """
        if key not in mapping:
            raise LookupError(f"there is no {key!r}")
        self._monkeypatch.setitem(mapping, key, value)
        self.changes += 1


def _compiled(source: str, function: FunctionType) -> CodeType:
    if "__class__" in function.__code__.co_freevars:
        # It calls super(), which wants to be in a class; of this name, none is mangled.
        source = "class _:\n" + textwrap.indent(source, "    ")
    compiled = compile(
        source,
        f"<mutant of {function.__qualname__}>",
        "exec",
        function.__code__.co_flags & __future__.annotations.compiler_flag,
        dont_inherit=True,
    )
    code = _find(compiled, function.__name__)
    if code.co_freevars != function.__code__.co_freevars:
        raise LookupError(f"{function.__qualname__} has other free variables now")
    return code


def _find(code: CodeType, name: str) -> CodeType:
    inside = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    for one in inside:
        if one.co_name == name:
            return one
    return _find(inside[0], name)
