"""Tells where halfclose came from, and how pip finds its other distributions there.

pip and uv record it (PEP 610) if it was not an index: a folder, such as a checkout; a wheel or a
source distribution; a repository; an archive of one. Then the other distributions may be in no
index, and a command that asks one for them fails, or gets what somebody else has put there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from string import punctuation
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

__all__ = ["OURS", "folder", "installed", "place", "source"]

OURS = "halfclose"

_SUBDIRECTORIES = {
    "halfclose": "core",
    "halfclose-anyio": "backends/anyio",
    "halfclose-twisted": "backends/twisted",
}
"""Where our distributions are in their repository."""

_BUILT = (".whl", ".tar.gz")


def installed(name: str) -> Distribution | None:
    """The installed distribution called *name*; None if it is not installed."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def source(name: str, extras: str = "") -> list[str] | None:
    """The words after ``pip install`` that install *name* from where it came from, or halfclose.

    :param extras: such as "[cli]"; empty for none.
    :returns: None if there is no such distribution there.
    """
    own = installed(name)
    if own is not None:
        record = _direct_url(own)
        found = _words(record, name, extras, own=True) if record else [name + extras]
        if found is not None:
            return found
    ours = _of_ours()
    return [name + extras] if ours is None else _words(ours, name, extras, own=False)


def place() -> str:
    """Where halfclose came from: a path or an address; empty if it was an index."""
    record = _of_ours() or {}
    path = _path(record)
    return str(path) if path is not None else str(record.get("url", ""))


def folder() -> Path | None:
    """The folder that halfclose was installed from; None if it was none, or is gone."""
    path = _path(_of_ours() or {})
    return path if path is not None and path.is_dir() else None


def _of_ours() -> dict[str, Any] | None:
    """The record of where halfclose came from; None if it was an index."""
    ours = installed(OURS)
    if ours is not None:
        return _direct_url(ours) or None
    # Not installed but on the path. This may be its folder in a checkout.
    checkout = Path(__file__).parents[2]
    return {"url": checkout.as_uri()} if (checkout / "pyproject.toml").exists() else None


def _direct_url(found: Distribution) -> dict[str, Any]:
    """The record of where a distribution came from; empty if it has none."""
    try:
        read = json.loads(found.read_text("direct_url.json") or "{}")
        if not isinstance(read, dict) or not isinstance(read.get("url"), str):
            return {}
        urlsplit(read["url"])
    except (OSError, ValueError):
        return {}
    return read


def _words(record: dict[str, Any], name: str, extras: str, *, own: bool) -> list[str] | None:
    """What installs *name* from where *record* says; None if it is not there.

    :param own: whether the record is that of *name* itself, not that of halfclose.
    """
    path = _path(record)
    if path is None:
        return _remote(record, name, extras, own=own)
    if not path.exists():
        return None
    if not own:
        path = next((each for each in _beside(path) if _named(each) == _normal(name)), None)
        if path is None:
            return None
    info = record.get("dir_info")
    editable = isinstance(info, dict) and bool(info.get("editable"))
    return [*(["-e"] if editable else []), f"{path}{extras}"]


def _path(record: dict[str, Any]) -> Path | None:
    """The folder or file of *record*; None if it is a repository, or not on this machine."""
    url = urlsplit(record.get("url", ""))
    return Path(url2pathname(url.path)) if url.scheme == "file" and not _vcs(record) else None


def _vcs(record: dict[str, Any]) -> dict[str, Any]:
    info = record.get("vcs_info")
    return info if isinstance(info, dict) else {}


def _remote(record: dict[str, Any], name: str, extras: str, *, own: bool) -> list[str] | None:
    """What installs *name* from the repository or the archive of *record*."""
    within = record.get("subdirectory", "")
    if not own:
        if within != _SUBDIRECTORIES[OURS] or _normal(name) not in _SUBDIRECTORIES:
            return None
        within = _SUBDIRECTORIES[_normal(name)]
    # The record may have a path's spaces as they are, which no requirement can have.
    url, vcs = quote(record["url"], safe=punctuation), _vcs(record)
    if vcs:
        url = f"{vcs.get('vcs')}+{url}@{vcs.get('commit_id')}"
    return [f"{name}{extras} @ {url}" + (f"#subdirectory={within}" if within else "")]


def _beside(ours: Path) -> Iterator[Path]:
    """The projects of our checkout, or the wheels and source distributions beside our own.

    :param ours: the folder or file from which halfclose was installed.
    """
    if ours.is_dir():
        for pattern in ("*/pyproject.toml", "*/*/pyproject.toml"):
            yield from (found.parent for found in sorted(ours.parent.glob(pattern)))
        return
    version = _version(ours)
    files = [path for ending in _BUILT for path in sorted(ours.parent.glob(f"*{ending}"))]
    # That of our own version first: all are released together.
    yield from sorted(files, key=lambda path: _version(path) != version)


def _version(file: Path) -> str:
    """The version in the name of a wheel or source distribution; empty if it has none."""
    for ending in _BUILT:
        if file.name.endswith(ending):
            # Any other file may lie there too, with no version in its name.
            return file.name.removesuffix(ending).partition("-")[2].partition("-")[0]
    return ""


def _named(found: Path) -> str:
    """The name of a distribution; empty if it cannot be read.

    :param found: its wheel or source distribution, or the folder of its project.
    """
    if not found.is_dir():
        return _normal(found.name.partition("-")[0])
    try:
        text = (found / "pyproject.toml").read_text()
    except (OSError, ValueError):
        return ""
    match = re.search(r'^\[project\]\s*$.*?^name\s*=\s*"([^"]*)"', text, re.DOTALL | re.MULTILINE)
    return _normal(match[1]) if match else ""


def _normal(name: str) -> str:
    """*name* in the normal form of PEP 503, in which names of distributions can be compared."""
    return re.sub(r"[-_.]+", "-", name).lower()
