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

_known: dict[str, tuple[_Key, tuple[EntryPoint, ...]]] = {}
"""By group, what was found the last time, and what the path was then."""


def installed_plugins(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of *group*, of all distributions on the path."""
    key = _path()
    known = _known.get(group)
    if known is None or known[0] != key:
        known = _known[group] = key, tuple(entry_points(group=group))
    return known[1]


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
