"""What the release script makes: the same bytes twice, elsewhere, under another umask and zone."""

from __future__ import annotations

from release.bill import bill
from release.building import built_twice
from wheels.building import Wheels

__all__ = ["reproducible"]


def reproducible(wheels: Wheels) -> None:
    """Of the last commit, since what is released is one."""
    folder = wheels.folder / "twice"
    built = [path for path in built_twice("HEAD", folder) if path.suffix == ".whl"]
    for wheel in built:
        bills = [bill(wheel, built, folder / place).read_bytes() for place in ("here", "there")]
        assert bills[0] == bills[1], f"the bill of {wheel.name} is another one each time"
        assert str(folder).encode() not in bills[0], f"the bill of {wheel.name} has a path"
