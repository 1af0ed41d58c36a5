"""Finds the installed plugins, and remembers them until something is installed.

To find entry points, `importlib.metadata` reads a file of every installed distribution. That takes
some milliseconds, and it would happen each time that a backend is opened. The result can change
only if ``sys.path`` or a folder on it changes, so this looks at the folders' times of change, as
`importlib` does before it lists a folder again.
"""

from __future__ import annotations

import functools
import os
import sys
from importlib.metadata import Distribution, EntryPoint, entry_points

__all__ = ["distribution_name", "installed_plugins"]

_Key = tuple[object, ...]

_known: tuple[_Key, dict[str, tuple[EntryPoint, ...]]] | None = None
"""The state of the path at the last search, and the entry points that were found, by group."""


def installed_plugins(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of *group* in all distributions on the path."""
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
    """The name of *distribution*.

    It is cached, because `importlib` parses the whole metadata of the distribution for it.
    """
    return distribution.name


def _path() -> _Key:
    """The state of the path: the finders, and each folder with its time of change."""
    return (*map(id, sys.meta_path), *((folder, _changed(folder)) for folder in sys.path))


def _changed(folder: str) -> tuple[int, ...]:
    """The identity of *folder* and its time of change; empty if there is no such folder."""
    try:
        found = os.stat(folder or ".")
    except (OSError, ValueError, TypeError):
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns
