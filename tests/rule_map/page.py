"""docs/rules.md: each rule, its test, and the code that keeps it."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from types import FunctionType

from halfclose.testing import ContractSuite
from rule_map.mentions import ROOT, Mention, mentions, sources

__all__ = ["PAGE", "page", "places", "unkept"]

PAGE = ROOT / "docs" / "rules.md"

_HEAD = """\
# Each rule, its test and its code

Made from the code by `python -m rule_map` (run in `tests/`); a test compares the two. The rules
themselves are in [the contract](contract.md). A rule's test stands in the contract suite. The code
that keeps it is whatever names the rule's id, in a comment or a docstring, outside of the suite: so
who adds a rule writes its id where it is kept. Each link leads to the line, and a number to one
more line of the same function or class. This prints the lines of a rule:

```sh
cd tests && ../.uv/bin/uv run python -m rule_map EVT-05
```
"""


def places() -> dict[str, list[Mention]]:
    """Where each rule is kept, by its id."""
    found: dict[str, list[Mention]] = defaultdict(list)
    for path in sources():
        for mention in mentions(path):
            found[mention.rule].append(mention)
    return found


def unkept() -> list[str]:
    """The rules that no line of the library names, and the ids that it names without a rule."""
    return sorted(set(ContractSuite.rules()) ^ set(places()))


def page() -> str:
    """The page's text."""
    kept = places()
    rules = ContractSuite.rules()
    lines = [_HEAD.rstrip()]
    for title, identifiers in _chapters():
        lines += ["", f"## {title}", "", "| rule | test | kept in |", "| --- | --- | --- |"]
        for identifier in identifiers:
            lines.append(
                f"| {identifier} | {_test(rules[identifier].test)} | "
                f"{', '.join(_linked(kept[identifier]))} |"
            )
    return "\n".join(lines) + "\n"


def _chapters() -> list[tuple[str, list[str]]]:
    """The contract's chapters, each with the ids of its rules."""
    text = (ROOT / "docs" / "contract.md").read_text()
    found = []
    for chapter in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        identifiers = re.findall(r"^- ([A-Z]{3,4}-\d\d) ", chapter, re.MULTILINE)
        if identifiers:
            found.append((chapter.splitlines()[0], identifiers))
    return found


def _test(function: FunctionType) -> str:
    """A link to a rule's test, called by its name."""
    path = inspect.getsourcefile(function)
    assert path is not None
    where = path[path.index("core/src/") :]
    return f"[`{function.__name__}`](../{where}#L{_line(function)})"


def _line(function: FunctionType) -> int:
    """The line of *function*'s ``def``, below its decorators."""
    lines, first = inspect.getsourcelines(function)
    return first + next(n for n, line in enumerate(lines) if line.lstrip().startswith(_DEF))


_DEF = ("def ", "async def ")


def _linked(found: list[Mention]) -> list[str]:
    """For each function that names the rule, links to the lines where it does."""
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for one in found:
        places[one.path, one.owner].append(one.line)
    return [
        " ".join(
            f"[{text}](../{path}#L{line})"
            for text, line in zip(
                [f"`{owner or path.rpartition('/')[2]}`", *map(str, lines[1:])], lines, strict=True
            )
        )
        for (path, owner), lines in places.items()
    ]
