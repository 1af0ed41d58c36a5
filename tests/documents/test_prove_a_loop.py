"""docs/how-to/prove-a-loop.md: the session is what the command prints."""

from __future__ import annotations

import re

from cli.support import halfclose_
from documents.blocks import example


def test_the_session() -> None:
    command, _, shown = example("docs/how-to/prove-a-loop.md", "one rule", "session").partition(
        "\n"
    )
    program, *arguments = command.removeprefix("$ ").split()
    assert program == "halfclose"
    result = halfclose_(*arguments)
    assert (result.status, result.err) == (0, "")
    assert _timeless(result.out.decode()) == _timeless(shown)


def _timeless(text: str) -> str:
    lines = (line.rstrip() for line in text.splitlines())
    return re.sub(r"\d+\.\d s\.$", "N s.", "\n".join(lines), flags=re.MULTILINE)
