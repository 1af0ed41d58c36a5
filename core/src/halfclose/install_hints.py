"""Makes the commands that messages suggest for installing what is missing.

If halfclose was installed from a folder (a checkout, or a folder of wheels), its other
distributions may be in no package index. The command then has to name that folder. It also has to
install into the environment of this interpreter.
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
    """A command that does here what *command*, ``pip install ...``, is meant to do.

    A command that is no ``pip install`` is given back unchanged.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    if words[:2] != ["pip", "install"]:
        return command
    return install_command(*words[2:])


def install_command(*requirements: str) -> str:
    """The shell command that installs *requirements* into this interpreter's environment.

    :param requirements: such as "halfclose[cli]". One that is in the folder from which halfclose
        was installed is replaced by its path.
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
    """Whether a distribution called *name* is installed."""
    return _distribution(name) is not None


def is_known(name: str) -> bool:
    """Whether a distribution called *name* may exist.

    If halfclose came from an index, that index may have any distribution. If it came from a folder,
    only the distributions there are known to exist.
    """
    return _origin(_distribution(_OURS)) is None or _source(name) is not None


def _pip() -> list[str]:
    """The words of a command that installs into this interpreter's environment."""
    if find_spec("pip") is None:
        uv = _uv()
        if uv is not None:
            return [uv, "pip", "install", "--python", sys.executable]
    pip = [sys.executable, "-m", "pip", "install"]
    if _is_own():
        return pip
    # The system's own environment: pip refuses to install there without this option (PEP 668). The
    # user must have given it already to install halfclose.
    marker = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return [*pip, "--break-system-packages"] if marker.exists() else pip


def _is_own() -> bool:
    """Whether this is a virtual environment, not the environment that the system manages."""
    return sys.prefix != sys.base_prefix


def _uv() -> str | None:
    """The name or path by which a shell finds uv; None if uv is not installed."""
    if shutil.which("uv") is not None:
        return "uv"
    ours = _origin(_distribution(_OURS))
    # The README's commands put uv here in a checkout.
    put = [] if ours is None else [str(ours.parent / ".uv" / "bin" / "uv")]
    # uv sets this variable for the programs that it runs.
    told = os.environ.get("UV")
    for path in [told, *put] if told else put:
        if os.access(path, os.X_OK):
            return path
    return None


def _distribution(name: str) -> Distribution | None:
    """The installed distribution called *name*; None if it is not installed."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _direct_url(found: Distribution | None) -> dict[str, object]:
    """The record of where a distribution came from (PEP 610); empty if it has none."""
    try:
        text = None if found is None else found.read_text("direct_url.json")
        read = json.loads(text) if text else {}
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _origin(found: Distribution | None) -> Path | None:
    """The folder or file that a distribution was installed from; None if it was an index."""
    url = urlsplit(str(_direct_url(found).get("url", "")))
    path = Path(url2pathname(url.path))
    if url.scheme == "file" and path.exists():
        return path
    if found is None:
        # halfclose is not installed but on the path. This may be its folder in a checkout.
        source = Path(__file__).parents[2]
        return source if (source / "pyproject.toml").exists() else None
    return None


def _is_editable(name: str) -> bool:
    """Whether the distribution called *name* was installed with ``pip install -e``."""
    info = _direct_url(_distribution(name)).get("dir_info")
    return isinstance(info, dict) and bool(info.get("editable"))


def _source(name: str) -> Path | None:
    """The folder or wheel from which *name* can be installed; None: it has to be an index."""
    own = _distribution(name)
    if own is not None and (origin := _origin(own)) is not None:
        return origin
    ours = _origin(_distribution(_OURS))
    if ours is None:
        return None
    return next((path for path in _beside(ours) if _named(path) == _normal(name)), None)


def _beside(ours: Path) -> Iterator[Path]:
    """The wheels in the folder of our own wheel, or the projects of our checkout.

    :param ours: the folder or file from which halfclose was installed.
    """
    if ours.suffix == ".whl":
        yield from ours.parent.glob("*.whl")
    elif ours.is_dir():
        for project in sorted(
            [*ours.parent.glob("*/pyproject.toml"), *ours.parent.glob("*/*/pyproject.toml")]
        ):
            yield project.parent


def _named(source: Path) -> str:
    """The name of a distribution; empty if it cannot be read.

    :param source: its wheel, or the folder of its project.
    """
    if source.suffix == ".whl":
        return _normal(source.name.partition("-")[0])
    try:
        text = (source / "pyproject.toml").read_text()
    except (OSError, ValueError):
        return ""
    match = re.search(r'^\[project\]\s*$.*?^name\s*=\s*"([^"]*)"', text, re.DOTALL | re.MULTILINE)
    return _normal(match[1]) if match else ""


def _normal(name: str) -> str:
    """*name* in the normal form of PEP 503, in which names of distributions can be compared."""
    return re.sub(r"[-_.]+", "-", name).lower()
