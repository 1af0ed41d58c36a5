"""The repository around these pages: its root, and the links that a page has into it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["ROOT", "rewritten"]

ROOT = Path(__file__).parents[2]

# A block of code, or a piece of code in a line; then the links: Markdown's, and those of HTML.
_LINKS = re.compile(
    r"(?P<code>^(?P<fence>```+).*?^(?P=fence)$|`[^`\n]+`(?!\]))"
    r"|(?P<before>\]\(|\b(?:src|srcset|href)=\")"
    r"(?P<target>[^)\"\s:#]+)(?P<anchor>#[^)\"\s]*)?(?P<after>[)\"])",
    re.MULTILINE | re.DOTALL,
)


def rewritten(text: str, link: Callable[[str, str], str | None]) -> str:
    """*text*, a page in Markdown, with other relative links; those in code stay.

    :param link: called with the path and the anchor of each relative link; gives the new link, or
        None to keep it.
    """

    def replaced(found: re.Match[str]) -> str:
        if found["code"] is not None:
            return found[0]
        new = link(found["target"], found["anchor"] or "")
        return found[0] if new is None else f"{found['before']}{new}{found['after']}"

    return _LINKS.sub(replaced, text)
