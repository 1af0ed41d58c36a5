"""What to type to install something that belongs to this installation of halfclose.

A distribution that came from a folder, as from a checkout or from wheels in one, is in no index
for all we know. So a command that is told has to name that folder, and to reach this interpreter.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["install_command", "is_installed", "is_known", "localized"]

_OURS = "halfclose"

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<extras>\[[^\]]*\])?$")


def localized(command: str) -> str:
    """*command*, ``pip install ...``, so that it works here; another command as it is."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    if words[:2] != ["pip", "install"]:
        return command
    return install_command(*words[2:])


def install_command(*requirements: str) -> str:
    """The shell's command that installs *requirements* here, beside this halfclose.

    :param requirements: such as "halfclose[cli]"; one that comes from where halfclose itself did
        is told by its path.
    """
    pip = _pip()
    words: list[str] = []
    wheels: Path | None = None
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        found = _source(match["name"]) if match else None
        if match is None or found is None:
            words.append(requirement)
        elif found.suffix == ".whl":
            wheels = found.parent
            words.append(requirement)
        else:
            words += ["-e"] if _is_editable(match["name"]) else []
            words.append(f"{found}{match['extras'] or ''}")
    found_in = [] if wheels is None else ["--find-links", str(wheels)]
    command = shlex.join([*pip, *found_in, *words])
    if (
        pip[0] == sys.executable
        and find_spec("pip") is None
        and _is_own()
        and find_spec("ensurepip")
    ):
        return f"{shlex.join([sys.executable, '-m', 'ensurepip'])} && {command}"
    return command


def is_installed(name: str) -> bool:
    """Whether a distribution of that *name* is here already."""
    return _distribution(name) is not None


def is_known(name: str) -> bool:
    """Whether a distribution of that *name* can be installed: an index may have any."""
    return _origin(_distribution(_OURS)) is None or _source(name) is not None


def _pip() -> list[str]:
    """What installs into this interpreter's environment."""
    if find_spec("pip") is None:
        uv = _uv()
        if uv is not None:
            return [uv, "pip", "install", "--python", sys.executable]
    pip = [sys.executable, "-m", "pip", "install"]
    if _is_own():
        return pip
    # Who came to be installed here has been told so before (PEP 668).
    marker = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return [*pip, "--break-system-packages"] if marker.exists() else pip


def _is_own() -> bool:
    """Whether this is an environment of the user's own, which no system manages."""
    return sys.prefix != sys.base_prefix


def _uv() -> str | None:
    """uv, as what a shell finds it by; None if it is not here."""
    if shutil.which("uv") is not None:
        return "uv"
    ours = _origin(_distribution(_OURS))
    # Where the README puts it, in a checkout.
    put = [] if ours is None else [str(ours.parent / ".uv" / "bin" / "uv")]
    # uv tells the programs that it runs where it is.
    told = os.environ.get("UV")
    for path in [told, *put] if told else put:
        if os.access(path, os.X_OK):
            return path
    return None


def _distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _direct_url(found: Distribution | None) -> dict[str, object]:
    """What PEP 610 says of where a distribution came from."""
    try:
        text = None if found is None else found.read_text("direct_url.json")
        read = json.loads(text) if text else {}
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _origin(found: Distribution | None) -> Path | None:
    """The folder, or file, that a distribution was installed from; None if from an index."""
    url = urlsplit(str(_direct_url(found).get("url", "")))
    path = Path(url2pathname(url.path))
    if url.scheme == "file" and path.exists():
        return path
    if found is None:
        # It is only on the path: a checkout's own folder of sources, or not.
        source = Path(__file__).parents[2]
        return source if (source / "pyproject.toml").exists() else None
    return None


def _is_editable(name: str) -> bool:
    info = _direct_url(_distribution(name)).get("dir_info")
    return isinstance(info, dict) and bool(info.get("editable"))


def _source(name: str) -> Path | None:
    """Where the distribution of that *name* is to be had, if not from an index."""
    own = _distribution(name)
    if own is not None and (origin := _origin(own)) is not None:
        return origin
    ours = _origin(_distribution(_OURS))
    if ours is None:
        return None
    return next((path for path in _beside(ours) if _named(path) == _normal(name)), None)


def _beside(ours: Path) -> Iterator[Path]:
    """What lies beside our own source: wheels, or the projects of a checkout."""
    if ours.suffix == ".whl":
        yield from ours.parent.glob("*.whl")
    elif ours.is_dir():
        for project in sorted(
            [*ours.parent.glob("*/pyproject.toml"), *ours.parent.glob("*/*/pyproject.toml")]
        ):
            yield project.parent


def _named(source: Path) -> str:
    """The name of the distribution that *source* is, or makes."""
    if source.suffix == ".whl":
        return _normal(source.name.partition("-")[0])
    try:
        text = (source / "pyproject.toml").read_text()
    except (OSError, ValueError):
        return ""
    match = re.search(r'^\[project\]\s*$.*?^name\s*=\s*"([^"]*)"', text, re.DOTALL | re.MULTILINE)
    return _normal(match[1]) if match else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
