"""docs/how-to/tls-command.md: its session, and the protocols of ``--starttls``."""

from __future__ import annotations

import re
import shutil

import pytest
from documents.blocks import ROOT
from documents.sessions import Folder
from halfclose.cli.preambles import PREAMBLES

PAGE = "docs/how-to/tls-command.md"


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_session(folder: Folder) -> None:
    folder.play(PAGE, "serve", any_order=True)


def test_every_protocol_of_starttls_is_told() -> None:
    table = (ROOT / PAGE).read_text().partition("| `--starttls` |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(PREAMBLES)
