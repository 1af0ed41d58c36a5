"""The commands that the command itself tells to type work, however halfclose was installed."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wheels.building import Wheels
from wheels.environments import Environment, run, uv
from wheels.jobs.documented import SYSTEM, copied, typed
from wheels.steps import say, told

__all__ = ["hints"]


@dataclass(frozen=True)
class Installed:
    """The command halfclose, installed in some way, without anything that it can do without.

    :param command: how a shell runs it.
    :param shell: words before every command that is typed there.
    """

    command: str
    shell: str = ""

    def type(self, command: str, folder: Path) -> None:
        typed(f"{self.shell} {command}" if self.shell else command, folder)


def pip(wheels: Wheels, source: Path, place: Path) -> Installed:
    """From a folder, into an environment that has pip."""
    made = Environment(place, seed=True)
    typed(f"{_quoted(made.python)} -m pip install -q ./core", source)
    return Installed(_quoted(made.command("halfclose")))


def editable(wheels: Wheels, source: Path, place: Path) -> Installed:
    """With ``-e``."""
    made = Environment(place, seed=True)
    typed(f"{_quoted(made.python)} -m pip install -q -e ./core", source)
    return Installed(_quoted(made.command("halfclose")))


def without_pip(wheels: Wheels, source: Path, place: Path) -> Installed:
    """Into an environment of uv's, by the uv that the README puts into the checkout."""
    made = Environment(place)
    (source / ".uv" / "bin").mkdir(parents=True)
    (source / ".uv" / "bin" / "uv").symlink_to(shutil.which(uv()[0]) or uv()[0])
    typed(f".uv/bin/uv pip install -q --python {_quoted(made.python)} ./core", source)
    return Installed(_quoted(made.command("halfclose")))


def without_uv(wheels: Wheels, source: Path, place: Path) -> Installed:
    """The same where uv is gone."""
    made = without_pip(wheels, source, place)
    shutil.rmtree(source / ".uv")
    return made


def wheel(wheels: Wheels, source: Path, place: Path) -> Installed:
    """From a file in a folder that has the other wheels too."""
    made = Environment(place, seed=True)
    say(made.python, "-m", "pip", "install", "-q", wheels.paths["halfclose"])
    return Installed(_quoted(made.command("halfclose")))


def repository(wheels: Wheels, source: Path, place: Path) -> Installed:
    """From a repository."""
    made = Environment(place, seed=True)
    who = "-c user.name=x -c user.email=x@example.org"
    typed(f"git init -q && git add -A && git {who} commit -qm x", source)
    url = f"git+{source.as_uri()}#subdirectory=core"
    typed(f"{_quoted(made.python)} -m pip install -q {shlex.quote(url)}", place)
    return Installed(_quoted(made.command("halfclose")))


def user(wheels: Wheels, source: Path, place: Path) -> Installed:
    """Into the user's folder of the system's Python, which the system manages."""
    home = place
    shell = f"env PYTHONUSERBASE={_quoted(home)}"
    options = "--user --break-system-packages" if _is_managed() else "--user"
    typed(f"{shell} {SYSTEM} -m pip install -q {options} ./core", source)
    return Installed(f"{SYSTEM} -m halfclose", shell)


def target(wheels: Wheels, source: Path, place: Path) -> Installed:
    """Into a folder, with ``--target``, which pip does in no environment at all."""
    folder = place
    typed(f"{SYSTEM} -m pip install -q --target {_quoted(folder)} ./core", source)
    return Installed(f"{SYSTEM} -m halfclose", f"env PYTHONPATH={_quoted(folder)}")


def tool(wheels: Wheels, source: Path, place: Path) -> Installed:
    """As a tool of uv's."""
    folder = place
    places = f"UV_TOOL_DIR={_quoted(folder)} UV_TOOL_BIN_DIR={_quoted(folder / 'bin')}"
    shell = f"env UV={_quoted(uv()[0])} {places}"
    typed(f"{shell} {shlex.join(uv())} tool install -q ./core", source)
    return Installed(_quoted(folder / "bin" / "halfclose"), shell)


def pipx(wheels: Wheels, source: Path, place: Path) -> Installed:
    """By pipx."""
    made = Environment(place / "own", seed=True)
    made.install("pipx")
    home = place / "home"
    shell = f"env PIPX_HOME={_quoted(home)} PIPX_BIN_DIR={_quoted(home / 'bin')}"
    typed(f"{shell} {_quoted(made.command('pipx'))} install -q ./core", source)
    return Installed(_quoted(home / "bin" / "halfclose"), shell)


WAYS: tuple[Callable[[Wheels, Path, Path], Installed], ...] = (
    pip,
    editable,
    without_pip,
    without_uv,
    wheel,
    repository,
    user,
    target,
    tool,
    pipx,
)


def hints(wheels: Wheels) -> None:
    """After each way of installing core alone, what the command asks for is all that it needs."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tries = [pool.submit(_try, way, wheels) for way in WAYS]
        tries.append(pool.submit(gone, wheels))
    failed = [str(each.exception()) for each in tries if each.exception()]
    assert not failed, "\n".join(failed)


def _try(way: Callable[[Wheels, Path, Path], Installed], wheels: Wheels) -> None:
    source = copied(wheels.folder / f"source of {way.__name__}")
    place = wheels.folder / f"hints {way.__name__}"
    try:
        made = way(wheels, source, place)
        _follow(made, ["demo"], wheels.folder)
        if way is pip:
            _follow(made, ["contract", "anyio+asyncio", "--only", "EVT-01"], wheels.folder)
    except AssertionError as failure:
        raise AssertionError(f"{way.__name__}: {failure}") from failure
    finally:
        # So that no other way can find any of it, and none fills the disk.
        shutil.rmtree(place, ignore_errors=True)


def gone(wheels: Wheels) -> None:
    """What core needs is told also where its folder is gone, and no command that cannot work."""
    source = copied(wheels.folder / "source that goes")
    made = pip(wheels, source, wheels.folder / "hints gone")
    shutil.rmtree(source)
    _follow(made, ["backends"], wheels.folder)
    said = _said(made, ["demo"], wheels.folder)
    assert "not where halfclose came from" in said, said
    assert " install -" not in said, said


def _follow(made: Installed, command: list[str], folder: Path) -> None:
    """Type *command*, and what it tells to type, until it works."""
    for _ in range(4):
        said = _said(made, command, folder)
        if not said:
            return
        made.type(told(said), folder)
    raise AssertionError(f"{command}: {said}")


def _said(made: Installed, command: list[str], folder: Path) -> str:
    """The last line of what *command* says is wrong; empty if it works."""
    shell = f"{made.shell} {made.command} {shlex.join(command)}"
    path = f"PATH={sys.base_prefix}/bin:/usr/bin:/bin"
    done = run("env", "-u", "UV", path, "bash", "-c", shell, cwd=folder)
    if not done.returncode:
        return ""
    assert done.stderr, done
    return done.stderr.strip().splitlines()[-1]


def _is_managed() -> bool:
    code = "import sysconfig; print(sysconfig.get_path('stdlib'))"
    return (Path(say(SYSTEM, "-c", code).strip()) / "EXTERNALLY-MANAGED").exists()


def _quoted(path: Path | str) -> str:
    return shlex.quote(str(path))
