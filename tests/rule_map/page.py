"""The parts of docs/contract.md that are made from the code: the table of the chapters, and the
links below each rule."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from types import FunctionType

from halfclose.testing import ContractSuite
from rule_map.contract import PAGE, anchor, chapters, statements
from rule_map.mentions import ID, Mention, mentions, sources

__all__ = ["links", "page", "places", "unkept"]

_CHAPTERS = "| chapter | what it promises |"
"""How the table of the chapters begins."""


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
    """The page's text, with those parts made anew."""
    text = re.sub(
        rf"^{re.escape(_CHAPTERS)}.*\n(\|.*\n)*",
        lambda _: _table(),
        PAGE.read_text(),
        flags=re.MULTILINE,
    )
    # What was made before is taken away, and what is made now is put below each rule.
    text = re.sub(r"^Test: .*\n\n?", "", text, flags=re.MULTILINE)
    made = links()

    def with_links(section: re.Match[str]) -> str:
        return f"{section[0].rstrip()}\n\n{made[section[1]]}\n\n"

    text = re.sub(
        r"^### ([A-Z]{3,4}-\d\d)\n.+?(?=^##|\Z)", with_links, text, flags=re.MULTILINE | re.DOTALL
    )
    return text.rstrip() + "\n"


def _table() -> str:
    lines = [f"{_CHAPTERS} {len(statements())} rules |", "| --- | --- | --- |"]
    for chapter in chapters():
        rules = " ".join(f"[{rule[-2:]}](#{anchor(rule)})" for rule in chapter.rules)
        name = f"[{chapter.name}](#{anchor(chapter.title)})"
        lines.append(f"| {name} | {chapter.about} | {len(chapter.rules)}: {rules} |")
    return "\n".join(lines) + "\n"


def links() -> dict[str, str]:
    """By id, the line of links below each rule of the page."""
    kept = places()
    rules = ContractSuite.rules()
    return {
        rule: f"Test: {_test(rules[rule].test)} · Code: {', '.join(_linked(kept[rule]))} · "
        f"Scorecard: [{rule}](scorecard.md#{anchor(rule)}){_others(rule, text)}"
        for rule, text in statements().items()
    }


def _others(rule: str, text: str) -> str:
    """Links to the rules that this one names. Its text has none, since a docstring quotes it."""
    others = [one for one in dict.fromkeys(ID.findall(text)) if one != rule]
    links = ", ".join(f"[{one}](#{anchor(one)})" for one in others)
    return f" · See: {links}" if others else ""


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
