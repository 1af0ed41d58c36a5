"""The plugins that are installed, looked up again only where something was installed meanwhile.

To find entry points, `importlib.metadata` reads a file of every installed distribution: some
milliseconds, each time that a backend is opened. What it would find changes with the path, and
with the folders on it; their times of change are looked at instead, as `importlib` does before it
lists a folder again.
"""

from __future__ import annotations

import functools
import os
import sys
from importlib.metadata import Distribution, EntryPoint, entry_points

__all__ = ["distribution_name", "installed_plugins"]

_Key = tuple[object, ...]

_known: tuple[_Key, dict[str, tuple[EntryPoint, ...]]] | None = None
"""What the path was the last time, and what was found then, by group."""


def installed_plugins(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of *group*, of all distributions on the path."""
    global _known
    key = _path()
    if _known is None or _known[0] != key:
        _known = key, {}
    found = _known[1]
    if group not in found:
        found[group] = tuple(entry_points(group=group))
    return found[group]


@functools.cache
def distribution_name(distribution: Distribution) -> str:
    """The name of *distribution*, for which `importlib` parses all that it says of itself."""
    return distribution.name


def _path() -> _Key:
    return (*map(id, sys.meta_path), *((folder, _changed(folder)) for folder in sys.path))


def _changed(folder: str) -> tuple[int, ...]:
    try:
        found = os.stat(folder or ".")
    except (OSError, ValueError, TypeError):
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns
