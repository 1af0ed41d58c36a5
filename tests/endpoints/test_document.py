"""docs/how-to/writing-an-endpoint.md has all of the plugin, and tells all that a scheme can say.

That it quotes word for word, `documents` sees.
"""

from __future__ import annotations

import re

from documents.blocks import ROOT, blocks
from halfclose import Scheme

PAGE = ROOT / "docs" / "how-to" / "writing-an-endpoint.md"

PLUGIN = "tests/endpoints/temporary_unix.py"


def test_all_of_the_plugin_but_its_imports_is_quoted() -> None:
    quoted = [block.text for block in blocks(PAGE) if block.name == PLUGIN]
    code = (ROOT / PLUGIN).read_text()
    assert code.endswith("\n\n\n".join(quoted).replace("\n\n\n\n", "\n\n\n"))


def test_all_that_a_scheme_can_say_is_in_the_table() -> None:
    words = {name for name in (*vars(Scheme), *Scheme.__annotations__) if not name.startswith("_")}
    told = re.findall(r"^\| `(\w+)", PAGE.read_text(), re.MULTILINE)
    assert sorted(told) == sorted(words)
