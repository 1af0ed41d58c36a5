"""Builds the wheels and source distributions of all three, and looks into them."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from wheels.environments import Environment, build

__all__ = ["PROJECTS", "ROOT", "Wheels", "build_all", "dependencies", "files_of", "metadata_of"]

ROOT = Path(__file__).parents[2]

PROJECTS = {
    "halfclose": ROOT / "core",
    "halfclose-twisted": ROOT / "backends" / "twisted",
    "halfclose-anyio": ROOT / "backends" / "anyio",
}


@dataclass(frozen=True)
class Wheels:
    """The wheels and source distributions, by their names, and a folder for what is made of them.

    :param pythons: the versions of Python on which the bounds of the dependencies are tried: of
        each group the first that is found.
    """

    folder: Path
    pythons: Sequence[Sequence[str]] = ()
    paths: dict[str, Path] = field(default_factory=dict)
    sdists: dict[str, Path] = field(default_factory=dict)

    def environment(self, name: str, *wanted: str) -> Environment:
        """A fresh environment with *wanted*, wheels such as "NAME" or "NAME[EXTRA,...]"."""
        made = Environment(self.folder / name)
        made.install(*self.requirements(wanted))
        return made

    def wheel(self, wanted: str) -> Path:
        """The wheel of "NAME" or "NAME[EXTRA,...]"."""
        return self.paths[wanted.partition("[")[0]]

    def requirements(self, wanted: Sequence[str]) -> list[str]:
        """*wanted* as an installer takes them."""
        return [f"{one} @ {self.wheel(one).as_uri()}" for one in wanted]


def files_of(built: Path) -> dict[str, bytes]:
    """The files of a wheel or source distribution, by name; for the latter without its folder."""
    if built.suffix == ".whl":
        with zipfile.ZipFile(built) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(built) as archive:
        opened = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name.partition("/")[2]: file.read() for name, file in opened.items() if file}


def metadata_of(wheel: Path) -> Message:
    """The metadata of *wheel*."""
    (found,) = (text for name, text in files_of(wheel).items() if name.endswith("info/METADATA"))
    return message_from_bytes(found)


def dependencies(wheel: Path) -> list[str]:
    """What *wheel* depends on, with any of its extras, but for the other wheels."""
    found = [
        line.partition(";")[0].strip() for line in metadata_of(wheel).get_all("Requires-Dist", [])
    ]
    return [requirement for requirement in found if not requirement.startswith("halfclose")]


def build_all(wheels: Wheels) -> None:
    """Build everything; what each source distribution builds is the wheel, byte for byte."""
    for name, source in PROJECTS.items():
        wheels.paths[name] = build(source, wheels.folder / "wheels")
        wheels.sdists[name] = build(source, wheels.folder / "sdists", kind="sdist")
        again = build(wheels.sdists[name], wheels.folder / "again")
        ours, theirs = files_of(wheels.paths[name]), files_of(again)
        different = sorted(
            file for file in ours.keys() | theirs.keys() if ours.get(file) != theirs.get(file)
        )
        assert not different, f"{wheels.sdists[name].name} builds another wheel: {different}"
        assert wheels.paths[name].read_bytes() == again.read_bytes(), again
