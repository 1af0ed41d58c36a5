"""Writes docs/pictures; or, given names of pictures, only those."""

from __future__ import annotations

import sys

from pictures.catalogue import FOLDER, PICTURES


def main(names: list[str]) -> None:
    """Draw the pictures of *names*; without any, all."""
    for name in names or PICTURES:
        if name not in PICTURES:
            sys.exit(f"there is no picture {name!r}; there are {', '.join(PICTURES)}")
        (FOLDER / f"{name}.svg").write_text(PICTURES[name]())


main(sys.argv[1:])
