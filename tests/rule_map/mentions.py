"""Where the code names a rule of the contract: in a comment, a docstring or a message."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rule_map.contract import ROOT

__all__ = ["ID", "Mention", "mentions", "sources"]

ID = re.compile(r"\b[A-Z]{3,4}-\d\d\b")
"""The id of a rule, in any text."""

_TEXT = {tokenize.COMMENT, tokenize.STRING}


@dataclass(frozen=True, order=True)
class Mention:
    """One place that names a rule.

    :param path: the file, from the root of the repository.
    :param owner: the function, method or class around the place, by its qualified name; empty
        where it stands in the module itself.
    :param line: the number of the line.
    :param rule: the rule's id.
    """

    path: str
    owner: str
    line: int
    rule: str


def sources() -> list[Path]:
    """Every file of the library that can keep a rule: not the kit, the command and the examples,
    which name rules to people."""
    core = ROOT / "core/src/halfclose"
    folders = [core, *sorted(ROOT.glob("backends/*/src/*"))]
    others = {core / "testing", core / "cli", core / "examples.py"}
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return [path for path in files if others.isdisjoint({path, *path.parents})]


def mentions(path: Path) -> Iterator[Mention]:
    """The places of one file, in order."""
    text = path.read_text()
    owners = _owners(ast.parse(text))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _TEXT:
            continue
        for number, line in enumerate(token.string.splitlines(), token.start[0]):
            for rule in dict.fromkeys(ID.findall(line)):
                yield Mention(str(path.relative_to(ROOT)), owners.get(number, ""), number, rule)


def _owners(tree: ast.Module) -> dict[int, str]:
    """By line, the innermost function or class that the line belongs to."""
    owners: dict[int, str] = {}

    def visit(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = f"{name}.{child.name}" if name else child.name
                # What is visited later stands further inside, and so has the last word.
                lines = range(child.lineno, (child.end_lineno or 0) + 1)
                owners.update(dict.fromkeys(lines, inner))
            visit(child, inner)

    visit(tree, "")
    return owners
