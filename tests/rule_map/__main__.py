"""Writes the links of docs/contract.md; or, given ids of rules, prints the lines of the library
that name them."""

from __future__ import annotations

import sys

from rule_map.contract import PAGE
from rule_map.page import page, places


def main(identifiers: list[str]) -> None:
    """Print where *identifiers* are kept; without any, write the page."""
    if not identifiers:
        PAGE.write_text(page())
        return
    kept = places()
    for identifier in identifiers:
        if identifier not in kept:
            sys.exit(f"no line of the library names {identifier!r}; docs/contract.md has the rules")
        for one in kept[identifier]:
            print(f"{one.path}:{one.line}: {one.rule} in {one.owner or 'the module itself'}")


main(sys.argv[1:])
