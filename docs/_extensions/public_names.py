"""Finds the reference of a name by where it is defined.

Annotations name a class by the module that defines it, such as ``halfclose.interfaces.Transport``.
The reference has it by its public name, ``halfclose.Transport``.
"""

from __future__ import annotations

import functools
import importlib

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
def _public() -> dict[str, str]:
    """The public names, by that of the definition and by the last word."""
    found: dict[str, str] = {}
    for name in _MODULES:
        module = importlib.import_module(name)
        for word in module.__all__:
            thing = getattr(module, word)
            where = getattr(thing, "__module__", None)
            found.setdefault(f"{where}.{word}", f"{name}.{word}")
            found.setdefault(word, f"{name}.{word}")
    return found


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    if node.get("refdomain") != "py":
        return None
    domain = env.domains["py"]
    assert isinstance(domain, PythonDomain)
    target = node["reftarget"]
    # A class, or a member of one.
    for known, rest in ((target, ""), target.rpartition(".")[::2]):
        public = _public().get(known)
        if public is not None:
            wanted = f"{public}.{rest}" if rest else public
            if wanted in domain.objects:
                return domain.resolve_xref(
                    env, node["refdoc"], app.builder, "obj", wanted, node, content
                )
    return None
