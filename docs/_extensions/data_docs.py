"""Gives public constants and type aliases the string that stands below them where they are defined.

autodoc looks for it in the module whose name the reference has, which only imports them.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import sys
from pathlib import Path

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _document)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _document(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    if what != "data":
        return
    package, _, word = name.rpartition(".")
    importlib.import_module(package)
    for home, module in sorted(sys.modules.items()):
        if home.startswith(f"{package}.") and vars(module).get(word) is thing:
            told = _told(Path(module.__file__ or ""), word)
            if told:
                lines[:] = [*inspect.cleandoc(told).splitlines(), ""]
                return


def _told(path: Path, word: str) -> str:
    """The string below the assignment to *word* in the module at *path*; empty if there is none."""
    for node, after in itertools.pairwise(ast.parse(path.read_text()).body):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        sets = any(isinstance(target, ast.Name) and target.id == word for target in targets)
        if sets and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            return str(after.value.value)
    return ""
