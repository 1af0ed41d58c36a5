"""Makes the commands that messages suggest for installing what is missing.

Each works as it is printed: with the installer that this environment has, into this environment,
and from where halfclose came from, since its distributions may be in no index. What an installed
distribution needs stands in its metadata, so the command for that names only that, and works also
where halfclose came from a folder that is gone.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import site
import sys
import sysconfig
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from . import origins

__all__ = ["install_command", "is_installed", "is_known", "localized"]

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<extras>\[[^\]]*\])?$")

_EXTRA = re.compile(r"extra == ['\"]([^'\"]*)['\"]")

_OTHER = re.compile(rf"{_EXTRA.pattern}|sys_platform != ['\"]win32['\"]|\band\b|[()\s]")
"""What of a marker is known to be true for the extra that is wanted, on POSIX systems."""


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

    :param requirements: such as "halfclose[cli]". One that is installed already is replaced by what
        it needs, and one that is where halfclose came from by its place there.
    """
    words = [word for requirement in requirements for word in _words(requirement)]
    before, installer = _installer()
    options = _options(pip=find_spec("pip") is not None)
    if "--target" in options and _depend_on_ours(requirements):
        # With this option pip takes nothing for installed, and so looks for halfclose too.
        words = [*(origins.source(origins.OURS) or []), *words]
    command = shlex.join([*installer, *options, *words])
    return f"{shlex.join(before)} && {command}" if before else command


def is_installed(name: str) -> bool:
    """Whether a distribution called *name* is installed."""
    return origins.installed(name) is not None


def is_known(name: str) -> bool:
    """Whether a distribution called *name* may exist.

    If halfclose came from an index, that index may have any distribution. Otherwise only those are
    known to exist that are where it came from.
    """
    return origins.source(name) is not None


def _words(requirement: str) -> list[str]:
    """What pip is told for *requirement*."""
    match = _REQUIREMENT.match(requirement)
    if match is None:
        return [requirement]
    name, extras = match["name"], match["extras"] or ""
    return _needs(name, extras) or origins.source(name, extras) or [requirement]


def _depend_on_ours(requirements: Iterable[str]) -> bool:
    """Whether one of *requirements* is another distribution of ours that is not installed yet."""
    matches = [_REQUIREMENT.match(requirement) for requirement in requirements]
    names = [match["name"] for match in matches if match is not None]
    return any(name.startswith(origins.OURS) and not is_installed(name) for name in names)


def _needs(name: str, extras: str) -> list[str]:
    """What the installed *name* needs for *extras*, or without any for itself; empty if unknown."""
    found = origins.installed(name)
    wanted = {extra.strip() for extra in extras.strip("[]").split(",") if extra.strip()}
    needs = []
    for line in (found.requires if found is not None else None) or ():
        need, _, marker = line.partition(";")
        extra = _EXTRA.search(marker)
        if (extra[1] if extra else "") not in (wanted or {""}):
            continue
        if _OTHER.sub("", marker):
            # Only pip can tell whether that is needed here.
            return []
        if not need.startswith(origins.OURS):
            needs.append(need.strip())
    return needs


# -- the installer -----------------------------------------------------------------------------


def _installer() -> tuple[list[str], list[str]]:
    """What installs into this interpreter's environment: a command to run before it, and its words.

    The first command is empty if none is needed.
    """
    # Where Python is embedded in another program, it may not know its own path.
    python = sys.executable or "python3"
    pip = [python, "-m", "pip", "install"]
    if find_spec("pip") is not None:
        return [], pip
    uv = _uv()
    if uv is not None:
        return [], [uv, "pip", "install", "--python", python]
    if _is_own() and find_spec("ensurepip") is not None:
        return [python, "-m", "ensurepip"], pip
    for name in ("pip3", "pip"):
        # That of another interpreter, as Debian's, for an environment that uv has made.
        if shutil.which(name) is not None:
            return [], [name, "--python", python, "install"]
    return [], pip


def _options(*, pip: bool) -> list[str]:
    """The options with which an installer puts things beside halfclose.

    :param pip: whether it is this interpreter's pip. Only that knows the user's own folder.
    """
    if _is_own():
        return []
    # The system's own environment: an installer refuses to touch it without this option (PEP 668).
    # The user must have given it already to install halfclose.
    marker = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    options = ["--break-system-packages"] if marker.exists() else []
    ours = origins.installed(origins.OURS)
    home = None if ours is None else Path(str(ours.locate_file(""))).resolve()
    if home is None or home in _sites():
        return options
    if pip and home == Path(site.getusersitepackages()).resolve():
        return ["--user", *options]
    # A folder that halfclose was put into by this option, which asks for no other.
    return ["--target", str(home)]


def _sites() -> set[Path]:
    """The folders in which installers put packages for this interpreter by themselves."""
    folders = [*site.getsitepackages()]
    folders += [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return {Path(folder).resolve() for folder in folders}


def _is_own() -> bool:
    """Whether this is a virtual environment, not the environment that the system manages."""
    return sys.prefix != sys.base_prefix


def _uv() -> str | None:
    """The name or path by which a shell finds uv; None if uv is not installed."""
    if shutil.which("uv") is not None:
        return "uv"
    ours = origins.folder()
    # The README's commands put uv here in a checkout.
    put = [] if ours is None else [str(ours.parent / ".uv" / "bin" / "uv")]
    # uv sets this variable for the programs that it runs.
    told = os.environ.get("UV")
    for path in [told, *put] if told else put:
        if os.access(path, os.X_OK):
            return path
    return None
