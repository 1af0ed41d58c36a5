"""Which module imports which, and whether that goes one way only.

Every import counts: one under ``if TYPE_CHECKING`` and one inside a function too, since who reads
the one module has to know the other all the same.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

__all__ = ["Arrow", "arrows", "circle", "homeless", "read", "wrong"]


@dataclass(frozen=True)
class Arrow:
    """One import.

    :param line: where it stands in the importing file.
    """

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer} -> {self.imported} (line {self.line})"


def read(package: Path) -> dict[str, str]:
    """The text of every file of *package*, by its path from the folder above."""
    return {
        path.relative_to(package.parent).as_posix(): path.read_text()
        for path in sorted(package.rglob("*.py"))
    }


def arrows(files: Mapping[str, str]) -> list[Arrow]:
    """The imports of *files* among each other.

    :param files: the text of each by its path, such as ``"package/module.py"``.
    """
    modules = {_name(path) for path in files}
    found: dict[Arrow, None] = {}
    for path, text in files.items():
        importer = _name(path)
        package = importer if path.endswith("__init__.py") else importer.rpartition(".")[0]
        for node in ast.walk(ast.parse(text, path)):
            line = getattr(node, "lineno", 0)
            for name in _imported(node, package):
                imported = _nearest(name, modules)
                if imported is not None and imported != importer:
                    found[Arrow(importer, imported, line)] = None
    return list(found)


def _name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    """The full names that *node*, in a module of *package*, imports: of modules or of what is in
    them."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, *filter(None, [node.module])])
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _nearest(name: str, modules: set[str]) -> str | None:
    """The module of which *name* is, or is part of; None: it is none of *modules*."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def circle(found: Sequence[Arrow]) -> str | None:
    """A circle of modules that import each other, as ``"a -> b -> a"``; None: there is none."""
    graph: dict[str, set[str]] = {}
    for arrow in found:
        graph.setdefault(arrow.importer, set()).add(arrow.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(reversed(error.args[1]))
    return None


def homeless(files: Mapping[str, str], order: Sequence[str]) -> list[str]:
    """The modules of *files* that are in no layer of *order*."""
    return [name for name in map(_name, files) if _layer(name, order) is None]


def wrong(found: Sequence[Arrow], order: Sequence[str]) -> list[str]:
    """The arrows that go up in *order*, each with what the importer may import.

    :param order: the modules and packages of a package, the lowest first. Those that start the
        package or are imported in its name, ``__main__`` and ``__init__``, are above all.
    """
    complaints = []
    for arrow in found:
        importer, imported = _layer(arrow.importer, order), _layer(arrow.imported, order)
        if importer is not None and imported is not None and imported > importer:
            below = f"{order[importer - 1]} and what is below" if importer else "nothing"
            complaints.append(f"{arrow}: {order[importer]} may import {below}")
    return complaints


def _layer(module: str, order: Sequence[str]) -> int | None:
    part = ".".join(module.split(".")[1:2])
    if part in ("", "__main__"):
        return len(order)
    return order.index(part) if part in order else None
