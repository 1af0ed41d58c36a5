"""Meets every peer, records what was seen, and writes the tables of docs/tls.md."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from documents.blocks import ROOT
from documents.made import anew
from tls_peers import credentials
from tls_peers.catalogue import PEERS, Seen, cells, see
from tls_peers.expected import EXPECTED
from tls_peers.results import Results, save
from tls_peers.setting import Side

PAGE = "docs/tls.md"


def main() -> None:
    """It needs all of them, because the tables have all of them."""
    if missing := {peer.missing for peer in PEERS if peer.missing is not None}:
        sys.exit("\n".join(sorted(missing)))
    everything: dict[str, dict[Side, dict[str, Seen]]] = {}
    differ = False
    with TemporaryDirectory() as folder:
        files = Path(folder)
        credentials.make(files)
        for cell in cells():
            seen = see(cell, files)
            sides = everything.setdefault(cell.peer.name, {})
            sides.setdefault(cell.side, {})[cell.version] = seen
            print(f"{cell!s:30} {cell.variant:20}", *(each or "-" for each in seen), sep=" | ")
            if seen != EXPECTED[cell.peer.name][cell.side][cell.version]:
                differ = True
                print("  not as in expected.py")
    save(Results({peer.name: peer.version() for peer in PEERS}, everything))
    (ROOT / PAGE).write_text(anew(PAGE))
    sys.exit(differ)


main()
