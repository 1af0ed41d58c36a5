"""The release script's build: the same bytes twice, elsewhere, with another umask and time zone."""

from __future__ import annotations

from release.building import built_twice
from wheels.building import Wheels

__all__ = ["reproducible"]


def reproducible(wheels: Wheels) -> None:
    """Of the last commit, since what is released is one."""
    built_twice("HEAD", wheels.folder / "twice")
