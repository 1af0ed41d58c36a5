"""Whoever follows a page knows under which name to save each of its programs."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from documents.blocks import ROOT, blocks, pages


def _used(page: Path) -> Iterator[str]:
    """The files that the page runs or imports, as if they were there."""
    for block in blocks(page):
        if block.language in ("console", "sh", "text"):
            made = set(re.findall(r"> (\w+\.py)$", block.text, re.MULTILINE))
            run = re.findall(r"\b(?:python|pytest)(?: -\w+)* (\w+\.py)\b", block.text)
            run += [f"{name}.py" for name in re.findall(r" \./(\w+)\.py:", block.text)]
            yield from set(run) - made
        elif block.language == "python" and block.mark == "example":
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.Import):
                    yield from (f"{name.name}.py" for name in node.names if _is_missing(name.name))
                elif isinstance(node, ast.ImportFrom) and _is_missing(node.module or ""):
                    yield f"{node.module}.py"


def _is_missing(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is None


def test_a_page_says_the_name() -> None:
    missing = {}
    for page in pages():
        prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        names = {name for name in _used(page) if f"`{name}`" not in prose}
        if names:
            missing[str(page.relative_to(ROOT))] = names
    assert missing == {}
