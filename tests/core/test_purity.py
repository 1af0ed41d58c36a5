"""Core knows no framework, and the backends use only what their frameworks make public."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import halfclose
import halfclose_anyio
import halfclose_twisted
import pytest

FRAMEWORKS = {"twisted", "anyio", "trio", "asyncio", "uvloop", "zope", "sniffio", "halfclose_anyio"}
FRAMEWORKS |= {"halfclose_twisted", "tornado", "gevent", "curio"}


def sources(package: object) -> list[Path]:
    file = getattr(package, "__file__", None)
    assert isinstance(file, str)
    return sorted(Path(file).parent.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


CORE = sources(halfclose)
BACKENDS = [*sources(halfclose_twisted), *sources(halfclose_anyio)]


def label(path: Path) -> str:
    return "/".join(path.parts[-2:])


def framework_names(tree: ast.AST) -> Iterator[str]:
    """Imports, identifiers, and strings that name a framework's module, but no prose."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.arg):
            names = [node.arg]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]
        for name in names:
            if name.split(".")[0].split("+")[0] in FRAMEWORKS:
                line = getattr(node, "lineno", 0)
                yield f"{name!r} in line {line}"


@pytest.mark.parametrize("path", CORE, ids=label)
def test_core_names_no_framework(path: Path) -> None:
    assert list(framework_names(parsed(path))) == []


def test_the_check_itself_sees_what_it_must() -> None:
    for source in (
        "import twisted",
        "import twisted.internet.reactor as r",
        "from trio import lowlevel",
        "from twisted.internet import reactor",
        "import_module('asyncio')",
        "sys.modules['twisted.internet.reactor']",
        "asyncio.get_running_loop()",
        "def f(trio): ...",
        "name == 'anyio+trio'",
    ):
        assert list(framework_names(ast.parse(source))), source
    for source in ('"""Like trio."""', "raise E('pip install halfclose-anyio')", "# twisted"):
        assert not list(framework_names(ast.parse(source))), source


def defined(tree: ast.AST) -> set[str]:
    """Private names that a module makes: functions, classes, variables, attributes of self."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id == "self"
        ):
            names.add(node.attr)
    return names


@cache
def made_in(path: Path) -> set[str]:
    """`defined`, for a file that is asked of again and again."""
    return defined(parsed(path))


BY_NAME = ("getattr", "setattr", "hasattr", "delattr")


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def private_uses(tree: ast.AST, own: set[str], inherited: set[str]) -> Iterator[str]:
    """Private names of others: as attributes, imports, or strings for getattr and its like.

    An approximation: an attribute of ``self`` must be made somewhere in core or this backend;
    one of anything else must be made in this very module.
    """
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            on_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if node.attr not in (own | inherited if on_self else own):
                yield f"{ast.unparse(node)} in line {line}"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            module = getattr(node, "module", None) or ""
            for alias in node.names:
                if any(is_private(part) for part in f"{module}.{alias.name}".split(".")):
                    yield f"import of {module}.{alias.name} in line {line}"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in BY_NAME:
            for argument in node.args[1:2]:
                if isinstance(argument, ast.Constant) and is_private(str(argument.value)):
                    yield f"{ast.unparse(node)} in line {line}"


@pytest.mark.parametrize("path", BACKENDS, ids=label)
def test_backends_use_nothing_private_of_a_framework(path: Path) -> None:
    tree = parsed(path)
    inherited = {name for other in [*CORE, *path.parent.glob("*.py")] for name in made_in(other)}
    assert list(private_uses(tree, defined(tree), inherited)) == []


def test_the_private_check_sees_what_it_must() -> None:
    for source in (
        "reactor._selectables",
        "self.reactor._started",
        "self._loop._ready",
        "getattr(loop, '_csock')",
        "from twisted.internet._sslverify import x",
        "import trio._core",
        "self._not_made_here",
    ):
        assert list(private_uses(ast.parse(source), set(), set())), source
    assert not list(private_uses(ast.parse("self.__class__; a.b; self._x = 1"), {"_x"}, set()))


@pytest.mark.parametrize("path", [*CORE, *BACKENDS], ids=label)
def test_no_private_module_of_the_standard_library(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert not alias.name.startswith("_"), alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            assert not module.startswith("_") or module == "__future__"
