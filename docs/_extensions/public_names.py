"""Finds the reference of a name that a docstring or an annotation mentions in another way.

- An annotation names a class by the module that defines it (``halfclose.interfaces.Transport``);
  the reference has it by its public name (``halfclose.Transport``).
- A docstring says ``Backend.connect`` of a method that a base class documents.
- A field of a dataclass has no entry of its own: its class's docstring describes it.
- A type variable is described nowhere, and is no link.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from typing import Any, TypeVar

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.environment import BuildEnvironment

# The first that has a name is its home.
_MODULES = (
    "halfclose",
    "halfclose.memory",
    "halfclose.testing",
    "halfclose.examples",
    "halfclose_anyio",
    "halfclose_twisted",
)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


@functools.cache
def by_public_name() -> dict[str, str]:
    """The public names, by that of the definition, by the last word, and by themselves."""
    found: dict[str, str] = {}
    for name in _MODULES:
        module = importlib.import_module(name)
        for word in module.__all__:
            public = f"{name}.{word}"
            where = getattr(getattr(module, word), "__module__", None)
            for known in (f"{where}.{word}", word, public):
                found.setdefault(known, public)
    return found


def home_of(owner: str, member: str) -> list[str]:
    """The names that the reference may have for *member* of the class *owner*, the best first.

    A class above it may document the member, or its own docstring.
    """
    public = by_public_name().get(owner)
    cls = _object(public) if public is not None else None
    if not isinstance(cls, type) or public is None:
        return []
    found = []
    if hasattr(cls, member):
        homes = (f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__)
        found = [f"{by_public_name()[home]}.{member}" for home in homes if home in by_public_name()]
    if found or member in getattr(cls, "__annotations__", ()):
        found.append(public)
    return found


def _object(name: str) -> Any:
    """The object that has the dotted *name*; None if there is none."""
    module, _, word = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module or "builtins"), word, None)
    except ImportError:
        return None


def _candidates(node: pending_xref) -> Iterator[str]:
    """The names under which the reference may have what *node* names, the best first."""
    target = node["reftarget"]
    if target in by_public_name():
        yield by_public_name()[target]
    owner, _, member = target.rpartition(".")
    yield from home_of(owner or f"{node.get('py:module')}.{node.get('py:class')}", member)


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    if node.get("refdomain") != "py":
        return None
    if isinstance(_object(node["reftarget"]), TypeVar):
        return content
    domain = env.domains["py"]
    assert isinstance(domain, PythonDomain)
    for name in _candidates(node):
        if name in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, content)
    return None
